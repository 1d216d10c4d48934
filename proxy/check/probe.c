#include "check/probe.h"

#include "base/clock.h"
#include "check/empty_message.h"
#include "check/expiry.h"
#include "check/subject.h"
#include "forward/link.h"
#include "link/outlet.h"
#include "runtime/end_hint.h"
#include "runtime/timer.h"

#include <stdlib.h>
#include <string.h>

enum {
    READ_WINDOW_BYTES = 64 * 1024, /* more than a TLS record */
    GREETING_MS = 1000,            /* how long an aggregator with a shared key may take to send its HELO */
    CHAIN_MAX = 8,                 /* certificates of the server that are judged; usual are one to three */
};

enum probe_state { PROBE_DIALLING, PROBE_WAITING, PROBE_ENDED };

struct probe {
    struct task task; /* first */
    struct probe_options options;
    enum probe_state state;
    struct outlet outlet;
    struct buffer in, out;
    struct timer timer;
    uint64_t deadline_ms; /* of PROBE_WAITING, on the reactor's clock */
    struct empty_message message;
    struct subject subject;
};

static const struct route_options *route_of(const struct probe *probe)
{
    return probe->options.dialer->route;
}

static bool has_key(const struct probe *probe)
{
    return route_of(probe)->key[SIDE_UPSTREAM] != NULL;
}

static void subject_set(struct probe *probe, const struct endpoint *endpoint)
{
    char address[ADDRESS_TEXT_BYTES], text[SUBJECT_BYTES];
    const char *name = route_of(probe)->server_name ? route_of(probe)->server_name : endpoint->server_name;

    socket_address_format(&endpoint->address, address, sizeof address);
    if (probe->options.dialer->credentials && name)
        snprintf(text, sizeof text, "%s (%s)", address, name);
    else
        snprintf(text, sizeof text, "%s", address);
    subject_of_text(&probe->subject, text);
}

/* ---- what is said ---- */

static const char *phase_words(const struct probe *probe)
{
    const char *phase = outlet_phase(&probe->outlet);

    if (probe->state == PROBE_WAITING)
        return "Forward";
    if (strcmp(phase, "handshake") == 0)
        return "TLS handshake";
    if (strcmp(phase, "confirm") == 0)
        return "after the TLS handshake";
    return strcmp(phase, "shared_key") == 0 ? "shared-key handshake" : phase;
}

/* What a failed shared-key handshake means. Fluentd and husk refuse with these words; Fluent Bit closes
 * without a word. NULL: the reason says it. */
static const char *key_words(enum end_reason reason, const char *detail)
{
    if (reason == END_KEY_WRONG || (reason == END_KEY_REJECTED && strcasestr(detail, "shared_key")) ||
        (reason == END_KEY_REJECTED && strcasestr(detail, "shared key")))
        return "the two shared keys differ";
    if (reason == END_KEY_REJECTED && strcasestr(detail, "password"))
        return "the user name or the password is wrong";
    if (reason == END_KEY_REJECTED && !detail[0])
        return "the aggregator closed the connection without an answer: the two shared keys may differ";
    return NULL;
}

static void failure_report(struct probe *probe, enum end_reason reason)
{
    const struct end_facts facts = {
        .side = SIDE_UPSTREAM,
        .reason = reason,
        .transport = probe->options.dialer->credentials ? END_TLS : END_PLAINTEXT,
        .spoken = leg_spoken(&probe->outlet.leg),
        .is_denied = leg_is_denied(&probe->outlet.leg),
        .lacks_issuer = leg_lacks_issuer(&probe->outlet.leg),
    };
    const char *detail =
        probe->state == PROBE_WAITING ? leg_detail(&probe->outlet.leg) : outlet_detail(&probe->outlet);
    const char *words = key_words(reason, detail);
    struct report *report = probe->options.report;
    struct end_hint hint = end_hint_of(&facts);
    const char *speaks = facts.spoken != SPOKEN_NOTHING ? hint.speaks : NULL;

    report_add(report, FINDING_PROBLEM, &probe->subject, "%s: %s%s%s%s%s", phase_words(probe),
               words ? words : end_reason_phrase(reason), detail[0] ? ": " : "", detail,
               speaks ? "; the peer speaks " : "", speaks ? speaks : "");
    if (hint.text)
        report_advise(report, "%s", hint.text);
    if (facts.spoken == SPOKEN_HTTP_RESPONSE &&
        socket_address_port(&probe->outlet.endpoint->address) == PROBE_PROMETHEUS_PORT)
        report_advise(report,
                      "port %d is the default port of Fluentd's prometheus input, which speaks HTTP: set "
                      "--upstream to the port of the Forward input, which is 24224 by default",
                      PROBE_PROMETHEUS_PORT);
}

/* husk trusts the server: trust/peer_check has judged the path. If another certificate of the chain is not
 * valid or weak, husk has found another way to a CA, or --allow-weak-certificates is set; other clients may
 * refuse the server. */
static void chain_report(struct probe *probe)
{
    const struct tls_channel *tls = probe->outlet.leg.tls;
    struct report *report = probe->options.report;
    size_t count = tls_channel_peer_chain_length(tls);
    struct certificate_facts facts;

    for (size_t at = 0; at < count && at < CHAIN_MAX; at++) {
        tls_channel_describe_peer(tls, at, &facts);
        expiry_report(report, &probe->subject, &facts, at ? FINDING_WARNING : FINDING_PROBLEM,
                      clock_wall_seconds());
        if (facts.flaw[0])
            report_add(report, FINDING_WARNING, &probe->subject,
                       "certificate %s of the server %s, which is weak", facts.name, facts.flaw);
        if (at && !facts.is_ca)
            report_add(report, FINDING_NOTE, &probe->subject,
                       "certificate %zu of the server, %s, is no CA: the server need not send it", at + 1,
                       facts.name);
    }
}

static void peer_report(struct probe *probe)
{
    struct tls_channel *tls = probe->outlet.leg.tls;
    struct report *report = probe->options.report;
    struct tls_facts facts = tls_channel_facts(tls);
    struct certificate_facts peer;

    tls_channel_describe_peer(tls, 0, &peer);
    report_add(report, FINDING_OK, &probe->subject,
               "TLS handshake: %s with %s and %s; husk trusts the server %s, %s",
               metrics_tls_version_name(facts.version), metrics_group_name(facts.group),
               metrics_cipher_name(facts.cipher), peer.name,
               leg_peer_protocol(&probe->outlet.leg) == TLS_PEER_UNKNOWN ? "which is no husk"
                                                                         : "which is a husk");
    chain_report(probe);
    if (peer.has_alternatives)
        return;
    report_add(report, FINDING_WARNING, &probe->subject,
               "the certificate of the server has its name in the CN only: --allow-cn-as-name accepts it");
    report_advise(report, "issue the certificate of the server again, with a subjectAltName");
}

/* A TLS 1.3 server that refuses our certificate says so after its handshake, or closes. */
static void acceptance_report(struct probe *probe)
{
    const struct tls_channel *tls = probe->outlet.leg.tls;
    struct report *report = probe->options.report;

    if (!tls)
        return;
    if (tls_channel_is_confirmed(tls)) {
        bool shows_nothing = credentials_show_nothing(probe->outlet.dialer->credentials);
        report_add(report, FINDING_OK, &probe->subject, "the server accepts %s",
                   shows_nothing ? "husk without a certificate" : "the certificate of husk");
        return;
    }
    report_add(report, FINDING_NOTE, &probe->subject,
               "the server has sent nothing that proves that it accepts the certificate of husk");
    report_advise(report, "the log of the server has a line if it refuses the certificate");
}

/* ---- the end ---- */

static void probe_end(struct probe *probe)
{
    struct leg *leg = &probe->outlet.leg;

    if (leg->fd >= 0 && leg->broken == END_NONE && leg_is_secured(leg))
        (void)leg_finish(leg);
    outlet_close(&probe->outlet, LEG_CLOSE);
    timer_stop(&probe->timer);
    buffer_clear(&probe->in);
    buffer_clear(&probe->out);
    probe->state = PROBE_ENDED;
    reactor_reap(probe->options.reactor, &probe->task);
    probe->options.on_ended(probe->options.owner);
}

static void probe_fail(struct probe *probe, enum end_reason reason)
{
    failure_report(probe, reason);
    probe_end(probe);
}

static void probe_succeed(struct probe *probe, enum finding_level level, const char *words)
{
    acceptance_report(probe);
    report_add(probe->options.report, level, &probe->subject, "Forward: %s", words);
    probe_end(probe);
}

/* ---- messages ---- */

/* The bytes are no answer: a HELO, an alert, HTTP. A few bytes may not yet tell. */
static void foreign_judge(struct probe *probe)
{
    if (leg_spoken(&probe->outlet.leg) != SPOKEN_UNCLEAR)
        probe_fail(probe, END_BAD_ACK);
}

/* Without TLS, --upstream-link on: husk speaks the link from the first byte. */
static bool speaks_link(const struct probe *probe)
{
    return !probe->outlet.leg.tls && route_of(probe)->upstream_link == ROUTE_LINK_ON;
}

static bool message_write(struct probe *probe)
{
    const char *tag = probe->options.tag;

    return speaks_link(probe) ? empty_message_write_on_link(&probe->message, tag, &probe->out)
                              : empty_message_write(&probe->message, tag, &probe->out);
}

static void ack_report(struct probe *probe)
{
    char reason[LINK_TEXT_BYTES_MAX + 1];

    if (!speaks_link(probe) || !empty_message_is_refused(&probe->in, reason, sizeof reason)) {
        probe_succeed(probe, FINDING_OK, "the upstream acknowledges a message without events");
        return;
    }
    acceptance_report(probe);
    report_add(probe->options.report, FINDING_PROBLEM, &probe->subject,
               "Forward: the husk upstream refuses a message without events: %s", reason);
    report_advise(probe->options.report,
                  "the --rule settings of this husk may not allow the tag %s (--tag sets another one)",
                  probe->options.tag);
    probe_end(probe);
}

static void answer_judge(struct probe *probe)
{
    if (probe->options.no_message) {
        foreign_judge(probe);
        return;
    }
    if (speaks_link(probe))
        empty_message_skip_frames(&probe->in);
    switch (empty_message_judge(&probe->message, &probe->in)) {
    case ANSWER_INCOMPLETE:
        return;
    case ANSWER_ACK:
        ack_report(probe);
        return;
    case ANSWER_REFUSED:
        probe_succeed(probe, FINDING_WARNING, "the upstream refuses a message without events: {}");
        report_advise(probe->options.report, "the log of the aggregator has the cause");
        return;
    case ANSWER_OTHER_ACK:
        probe_fail(probe, END_UNKNOWN_ACK);
        return;
    case ANSWER_FOREIGN:
        foreign_judge(probe);
        return;
    }
}

static void silence_report(struct probe *probe)
{
    struct report *report = probe->options.report;
    bool is_plain = !probe->outlet.leg.tls;

    if (probe->options.no_message) {
        probe_succeed(probe, FINDING_NOTE, probe->options.no_message);
        return;
    }
    probe_succeed(probe, FINDING_WARNING, "no ack of a message without events came in time");
    report_advise(report,
                  "possible causes: the aggregator acknowledges no message, or no message without events, or "
                  "waits for its own upstream; with --no-message, husk check sends no message%s",
                  is_plain ? "; if the port speaks TLS, it is for husk client" : "");
}

/* The peer has ended its direction, or the connection is broken. */
static void end_judge(struct probe *probe)
{
    struct leg *leg = &probe->outlet.leg;
    struct report *report = probe->options.report;
    size_t before = report->count;

    probe_fail(probe, leg->broken != END_NONE ? leg->broken : END_UPSTREAM_CLOSED);
    if (report->count > before && !report->findings[report->count - 1].advice)
        report_advise(report,
                      "the log of the upstream has the cause: for husk server, its --rule settings may "
                      "not allow the tag %s (--tag sets another one)",
                      probe->options.tag);
}

static void waiting_step(struct probe *probe)
{
    struct leg *leg = &probe->outlet.leg;
    enum leg_status status;

    do {
        (void)leg_write(leg, &probe->out);
        status = leg_read(leg, &probe->in, READ_WINDOW_BYTES);
        if (probe->in.length)
            answer_judge(probe);
    } while (probe->state == PROBE_WAITING && status == LEG_MOVED);
    if (probe->state != PROBE_WAITING)
        return;
    if (leg->broken != END_NONE || leg->read_over) {
        end_judge(probe);
    } else if (probe->options.reactor->now_ms >= probe->deadline_ms) {
        silence_report(probe);
    } else {
        leg_watch(leg, LEG_READ);
        timer_set(&probe->timer, probe->deadline_ms);
    }
}

/* The connection is established. */
static void waiting_begin(struct probe *probe)
{
    const struct probe_options *options = &probe->options;

    if (probe->outlet.leg.tls)
        peer_report(probe);
    else
        report_add(options->report, FINDING_OK, &probe->subject, "the upstream accepts a connection");
    if (has_key(probe))
        report_add(options->report, FINDING_OK, &probe->subject,
                   "shared-key handshake: the two shared keys are the "
                   "same");
    probe->state = PROBE_WAITING;
    if (route_of(probe)->protocol != ROUTE_FORWARD) {
        acceptance_report(probe);
        probe_end(probe);
        return;
    }
    /* After the shared-key handshake there is no HELO to wait for. */
    probe->deadline_ms = options->reactor->now_ms + (!options->no_message ? options->answer_ms
                                                     : has_key(probe)     ? 0
                                                                          : GREETING_MS);
    if (options->no_message || message_write(probe))
        waiting_step(probe);
    else
        probe_fail(probe, END_NO_MEMORY);
}

static void dialling_step(struct probe *probe)
{
    struct step step = outlet_establish(&probe->outlet, &probe->in, &probe->out);

    if (step.outcome == STEP_ENDS) {
        probe_fail(probe, step.reason);
    } else if (step.outcome == STEP_GOES_ON) {
        waiting_begin(probe);
    } else {
        outlet_watch(&probe->outlet);
        timer_set(&probe->timer, outlet_deadline(&probe->outlet));
    }
}

static void on_run(void *task)
{
    struct probe *probe = task;

    if (probe->state == PROBE_DIALLING)
        dialling_step(probe);
    else if (probe->state == PROBE_WAITING)
        waiting_step(probe);
}

bool probe_start(const struct probe_options *options, size_t at)
{
    struct probe *probe = calloc(1, sizeof *probe);

    if (!probe)
        return false;
    probe->task.run = on_run;
    probe->options = *options;
    buffer_init(&probe->in, &options->reactor->pool);
    buffer_init(&probe->out, &options->reactor->pool);
    timer_init(&probe->timer, options->reactor, on_run, probe);
    subject_set(probe, &options->dialer->endpoints.list->endpoints[at]);
    outlet_open(&probe->outlet, options->dialer, &probe->task);
    outlet_aim(&probe->outlet, at);
    reactor_queue(options->reactor, &probe->task);
    return true;
}
