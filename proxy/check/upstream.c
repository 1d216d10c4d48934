#include "check/upstream.h"

#include "check/probe.h"
#include "check/subject.h"
#include "check/unix_upstream.h"
#include "runtime/timer.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LIST_BYTES = 512 };

/* What all targets share. */
struct run {
    struct task stop; /* first: queued to leave the loop in its next turn */
    const struct upstream_check *check;
    struct report *report;
    struct log log; /* what the units below log is in the report, in other words */
    struct reactor reactor;
    struct metrics metrics; /* nobody reads them */
    struct route_options route;
    struct shared_key_slot key;
    struct credentials *credentials; /* NULL: plain, or not loaded */
    bool connects;
    size_t waiting;        /* number of look-ups, later of probes, and one for the code that begins them */
    size_t endpoint_count; /* that are probed, of all targets */
};

/* One item of `upstream`. */
struct target {
    struct run *run;                       /* borrowed */
    const struct discovery_target *target; /* borrowed */
    size_t index;                          /* in the settings */
    struct discovery_options options;
    struct discovery discovery; /* of this target alone */
    bool is_awaited;            /* its look-up has not ended */
    struct fault fault;         /* empty: the discovery is open */
    struct dialer dialer;
    struct report *reports; /* owned: of each endpoint that is probed */
    size_t probed;
};

/* ---- the loop ---- */

static void on_stop(void *task)
{
    reactor_stop(&((struct run *)task)->reactor);
}

/* Nothing may be stopped at once: the caller of this callback is freed when the loop stops. */
static void on_ended(void *owner)
{
    struct run *run = owner;

    if (--run->waiting == 0)
        reactor_queue(&run->reactor, &run->stop);
}

static void on_timeout(void *owner)
{
    struct run *run = owner;

    reactor_queue(&run->reactor, &run->stop);
}

/* ---- names ---- */

static void subject_set(struct subject *subject, const struct target *target)
{
    const struct address *address = &target->target->address;
    char text[ADDRESS_TEXT_BYTES];

    if (address->is_unix)
        snprintf(text, sizeof text, "unix:%s", address->host);
    else if (address->is_srv)
        snprintf(text, sizeof text, "srv+%s", address->host);
    else
        snprintf(text, sizeof text, strchr(address->host, ':') ? "[%s]:%u" : "%s:%u", address->host,
                 (unsigned)address->port);
    subject_of_item(subject, target->run->report->words, "upstream", target->index, text);
}

static void on_endpoints(void *owner, struct endpoint_list *list)
{
    struct target *target = owner;

    (void)list;
    if (!target->is_awaited)
        return; /* a later answer */
    target->is_awaited = false;
    on_ended(target->run);
}

static void lookup_begin(struct target *target)
{
    struct run *run = target->run;
    const struct discovery_setup setup = {
        .options = &target->options, .log = &run->log, .on_endpoints = on_endpoints, .owner = target
    };

    target->options = *run->check->discovery;
    target->options.targets = target->target;
    target->options.target_count = 1;
    target->options.health.interval_ms = 0;
    target->is_awaited = true;
    run->waiting++;
    if (!discovery_open(&target->discovery, run->reactor.loop, &setup, &target->fault)) {
        on_endpoints(target, NULL);
        return;
    }
    target->fault.text[0] = '\0';
    discovery_begin(&target->discovery, NULL);
    if (target->discovery.list)
        on_endpoints(target, target->discovery.list);
}

/* A look-up ends by an answer, and all end after --connect-timeout. */
static void look_up(struct run *run, struct target *targets, size_t count)
{
    struct timer timer;

    run->waiting = 1;
    for (size_t i = 0; i < count; i++)
        lookup_begin(&targets[i]);
    timer_init(&timer, &run->reactor, on_timeout, run);
    timer_set(&timer, run->reactor.now_ms + run->route.connect_timeout_ms);
    on_ended(run);
    reactor_run(&run->reactor);
    timer_stop(&timer);
    for (size_t i = 0; i < count; i++)
        targets[i].is_awaited = false;
}

static void addresses_report(struct run *run, const struct subject *subject, const struct endpoint_list *list)
{
    char texts[LIST_BYTES] = "", one[ADDRESS_TEXT_BYTES];
    size_t used = 0;

    for (size_t i = 0; i < list->count && used < sizeof texts; i++) {
        socket_address_format(&list->endpoints[i].address, one, sizeof one);
        used += (size_t)snprintf(texts + used, sizeof texts - used, "%s%s", used ? ", " : "", one);
    }
    report_add(run->report, FINDING_OK, subject, "the address%s %s", list->count == 1 ? " is" : "es are",
               texts);
}

static void unresolved_report(struct run *run, const struct subject *subject, const char *why)
{
    report_add(run->report, run->check->connects ? FINDING_PROBLEM : FINDING_WARNING, subject,
               "the name has no address: %s", why ? why : "no answer of a name server came in time");
    report_advise(run->report, "check the name, and --dns-servers; husk starts, and looks the name up again "
                               "until it has an address");
}

static void port_note(struct run *run, const struct subject *subject, const struct discovery_target *target)
{
    if (target->address.port != PROBE_PROMETHEUS_PORT)
        return;
    report_add(run->report, FINDING_NOTE, subject,
               "port %d is the default port of Fluentd's prometheus input; a Forward input usually has 24224",
               PROBE_PROMETHEUS_PORT);
}

static void name_report(const struct target *target)
{
    struct run *run = target->run;
    const struct endpoint_list *list = target->discovery.list;
    struct subject subject;

    subject_set(&subject, target);
    if (target->fault.text[0]) {
        report_add(run->report, FINDING_PROBLEM, &subject, "%s", target->fault.text);
        return;
    }
    if (target->target->address.is_unix)
        unix_upstream_check(run->report, &subject, &target->target->address);
    else if (list)
        addresses_report(run, &subject, list);
    else
        unresolved_report(run, &subject, target->discovery.lookups[0].unresolved);
    port_note(run, &subject, target->target);
    if (list && run->connects && target->probed < list->count) {
        report_add(run->report, FINDING_WARNING, &subject, "%zu of the addresses were not tried",
                   list->count - target->probed);
        report_advise(run->report, "husk uses at most %d addresses of all upstreams", ENDPOINTS_MAX);
    }
}

/* ---- connections ---- */

/* Begins the connections of a target, up to the number of endpoints that husk uses. */
static void probes_begin(struct target *target)
{
    struct run *run = target->run;
    struct endpoint_list *list = target->discovery.list;
    const struct dialer_options of_dialer = {
        .reactor = &run->reactor, .route = &run->route, .log = &run->log, .metrics = &run->metrics
    };
    struct probe_options options = {
        .reactor = &run->reactor,
        .dialer = &target->dialer,
        .tag = run->check->tag,
        .no_message = run->check->no_message,
        .answer_ms = run->check->answer_ms,
        .on_ended = on_ended,
        .owner = run,
    };

    target->reports = calloc(list->count, sizeof *target->reports);
    if (!target->reports) {
        run->report->is_incomplete = true;
        return;
    }
    dialer_init(&target->dialer, &of_dialer, run->credentials ? credentials_share(run->credentials) : NULL);
    dialer_set_endpoints(&target->dialer, endpoint_list_share(list));
    for (size_t i = 0; i < list->count && run->endpoint_count < ENDPOINTS_MAX; i++) {
        options.report = &target->reports[i];
        report_begin(options.report, "%s", run->report->section);
        report_use_words(options.report, run->report->words);
        target->probed++;
        run->endpoint_count++;
        if (probe_start(&options, i))
            run->waiting++;
        else
            options.report->is_incomplete = true;
    }
}

/* Connects to all endpoints at the same time: an address that does not answer costs its time once. */
static void probe(struct run *run, struct target *targets, size_t count)
{
    run->waiting = 1;
    for (size_t i = 0; i < count; i++) {
        if (targets[i].discovery.list)
            probes_begin(&targets[i]);
    }
    on_ended(run);
    reactor_run(&run->reactor);
}

/* ---- life of the targets ---- */

static void targets_check(struct run *run, struct target *targets, size_t count)
{
    for (size_t i = 0; i < count; i++)
        targets[i] = (struct target) { .run = run, .target = &run->check->discovery->targets[i], .index = i };
    look_up(run, targets, count);
    if (run->connects)
        probe(run, targets, count);
    for (size_t i = 0; i < count; i++) {
        name_report(&targets[i]);
        for (size_t at = 0; at < targets[i].probed; at++)
            report_append(run->report, &targets[i].reports[at]);
        free(targets[i].reports);
        dialer_deinit(&targets[i].dialer);
        discovery_close(&targets[i].discovery);
    }
}

/* ---- all ---- */

/* False: without the files no connection can be made. The checks of the files have said why. */
static bool secrets_load(struct run *run)
{
    const struct upstream_check *check = run->check;
    struct credentials_options options;
    struct fault fault;

    if (check->credentials && (check->answer || !check->credentials->svid.socket)) {
        options = *check->credentials;
        options.speaks_link = false;
        run->credentials = credentials_load_from(&options, check->answer, &run->log, &fault);
    }
    struct shared_key *key = check->key ? shared_key_load(check->key, &fault) : NULL;
    if (key) {
        shared_key_slot_replace(&run->key, key);
        run->route.key[SIDE_UPSTREAM] = &run->key;
    }
    return (!check->credentials || run->credentials) && (!check->key || key);
}

void upstream_check(struct report *report, const struct upstream_check *check)
{
    struct run run = { .stop = { .run = on_stop }, .check = check, .report = report, .route = *check->route };
    const size_t count = check->discovery->target_count;
    struct target *targets = calloc(count ? count : 1, sizeof *targets);
    struct subject subject;
    struct fault fault;

    subject_of_text(&subject, "--connect");
    log_init(&run.log, STDERR_FILENO, LOG_ERROR, LOG_TEXT);
    shared_key_slot_init(&run.key);
    for (enum side side = 0; side < SIDE_COUNT; side++)
        run.route.key[side] = NULL;
    run.connects = check->connects && secrets_load(&run);
    if (check->connects && !run.connects)
        report_add(report, FINDING_NOTE, &subject, "husk connects to nothing until its files are right");
    if (!reactor_open(&run.reactor, &fault))
        report_add(report, FINDING_PROBLEM, &subject, "%s", fault.text);
    else if (!targets)
        report->is_incomplete = true;
    else
        targets_check(&run, targets, count);
    free(targets);
    reactor_close(&run.reactor);
    credentials_release(run.credentials);
    shared_key_slot_clear(&run.key);
    log_deinit(&run.log);
}
