#include "runtime/connection_log.h"

#include "runtime/end_hint.h"

#include <stdlib.h>

enum {
    REPEAT_MIN_MS = LOG_LIMITER_WINDOW_MS,
    REPEAT_MAX_MS = 5 * 60 * 1000, /* also how long a failure that does not repeat is known */
};

static uint64_t now_ms(const struct connection_log *connection_log)
{
    return connection_log->summary.reactor->now_ms;
}

static void address_write(struct log_line *line, const char *key, const struct socket_address *address)
{
    char text[ADDRESS_TEXT_BYTES];

    if (!address)
        return;
    socket_address_format(address, text, sizeof text);
    log_text(line, key, text);
}

/* Logs how many lines of one kind were not written. `reason`: NULL if the kind has none; `upstream`: NULL, or
 * the address that the lines are about. */
static void count_write(const struct connection_log *connection_log, uint32_t *suppressed, const char *text,
                        const char *reason, const struct socket_address *upstream)
{
    struct log_line line;

    if (!*suppressed)
        return;
    log_begin(&line, connection_log->log, LOG_WARN, text);
    log_text(&line, "route", connection_log->route->name);
    log_text(&line, "reason", reason);
    address_write(&line, "upstream", upstream);
    log_suppressed(&line, *suppressed);
    log_end(&line);
    *suppressed = 0;
}

static void counts_write(const struct connection_log *connection_log, struct log_limiter *limiters,
                         const char *text)
{
    for (enum end_reason reason = 0; reason < END_REASON_COUNT; reason++)
        count_write(connection_log, &limiters[reason].suppressed, text, end_reason_name(reason), NULL);
}

static void summary_write(struct connection_log *connection_log)
{
    if (connection_log->limiters) {
        counts_write(connection_log, connection_log->limiters->ended, "more connections ended");
        counts_write(connection_log, connection_log->limiters->given_up, "more messages given up");
    }
    count_write(connection_log, &connection_log->unread_acks.suppressed, "more agents do not read their acks",
                NULL, NULL);
    count_write(connection_log, &connection_log->invalid_events.suppressed,
                "more senders send invalid events", NULL, NULL);
}

/* ---- failures of upstream addresses that repeat ---- */

static void repeat_write(const struct connection_log *connection_log, struct connection_repeat *repeat)
{
    count_write(connection_log, &repeat->suppressed, "more connections ended",
                end_reason_name(repeat->reason), &repeat->upstream);
}

static void repeat_drop(struct connection_repeat *repeat)
{
    LIST_REMOVE(repeat, sibling);
    free(repeat);
}

/* A line is written now: the next one waits twice as long. */
static void repeat_postpone(struct connection_log *connection_log, struct connection_repeat *repeat)
{
    uint64_t interval_ms = repeat->interval_ms ? repeat->interval_ms * 2 : REPEAT_MIN_MS;

    repeat->interval_ms = interval_ms < REPEAT_MAX_MS ? interval_ms : REPEAT_MAX_MS;
    repeat->due_ms = now_ms(connection_log) + repeat->interval_ms;
    timer_set(&connection_log->summary, repeat->due_ms);
}

static struct connection_repeat *repeat_find(const struct connection_log *connection_log,
                                             const struct connection_end *end)
{
    struct connection_repeat *repeat;

    LIST_FOREACH (repeat, &connection_log->repeats, sibling) {
        if (repeat->reason == end->reason && socket_address_equal(&repeat->upstream, end->upstream))
            return repeat;
    }
    return NULL;
}

/* NULL when out of memory. */
static struct connection_repeat *repeat_add(struct connection_log *connection_log,
                                            const struct connection_end *end)
{
    struct connection_repeat *repeat = calloc(1, sizeof *repeat);

    if (!repeat)
        return NULL;
    repeat->upstream = *end->upstream;
    repeat->reason = end->reason;
    LIST_INSERT_HEAD(&connection_log->repeats, repeat, sibling);
    return repeat;
}

/* Whether the failure may be logged now; otherwise it is counted. */
static bool repeat_admit(struct connection_log *connection_log, const struct connection_end *end)
{
    bool is_of_upstream = end->side == SIDE_UPSTREAM && end->upstream && !end->peer;

    if (!is_of_upstream || end_reason_is_benign(end->reason) || !connection_log->route->log_burst)
        return true;
    struct connection_repeat *repeat = repeat_find(connection_log, end);
    if (repeat && now_ms(connection_log) < repeat->due_ms) {
        repeat->suppressed++;
        return false;
    }
    if (repeat)
        repeat_write(connection_log, repeat);
    else
        repeat = repeat_add(connection_log, end);
    if (repeat)
        repeat_postpone(connection_log, repeat);
    return true;
}

/* Logs the counts that are due. Forgets failures that have not repeated for long. */
static void repeats_check(struct connection_log *connection_log)
{
    struct connection_repeat *repeat, *next;

    for (repeat = LIST_FIRST(&connection_log->repeats); repeat; repeat = next) {
        next = LIST_NEXT(repeat, sibling);
        bool is_due = now_ms(connection_log) >= repeat->due_ms;
        if (is_due && repeat->suppressed) {
            repeat_write(connection_log, repeat);
            repeat_postpone(connection_log, repeat);
        } else if (now_ms(connection_log) >= repeat->due_ms + REPEAT_MAX_MS) {
            repeat_drop(repeat);
        } else {
            timer_set(&connection_log->summary, repeat->due_ms + (is_due ? REPEAT_MAX_MS : 0));
        }
    }
}

void connection_log_forget(struct connection_log *connection_log, const struct socket_address *upstream)
{
    struct connection_repeat *repeat, *next;

    for (repeat = LIST_FIRST(&connection_log->repeats); repeat; repeat = next) {
        next = LIST_NEXT(repeat, sibling);
        if (upstream && !socket_address_equal(&repeat->upstream, upstream))
            continue;
        repeat_write(connection_log, repeat);
        repeat_drop(repeat);
    }
}

/* ---- begin and end ---- */

static void on_summary(void *owner)
{
    summary_write(owner);
    repeats_check(owner);
}

void connection_log_init(struct connection_log *connection_log, struct reactor *reactor, struct log *log,
                         const struct route_options *route, const struct metrics *metrics)
{
    *connection_log = (struct connection_log) { .log = log, .route = route, .metrics = metrics };
    timer_init(&connection_log->summary, reactor, on_summary, connection_log);
}

void connection_log_close(struct connection_log *connection_log)
{
    summary_write(connection_log);
    connection_log_forget(connection_log, NULL);
    timer_stop(&connection_log->summary);
    free(connection_log->limiters);
    connection_log->limiters = NULL;
}

/* ---- lines ---- */

static void identity_write(struct log_line *line, const struct leg *inlet)
{
    const struct tls_channel *tls = inlet ? inlet->tls : NULL;
    const struct identity *identity = tls ? tls_channel_peer(tls) : NULL;
    char text[ADDRESS_TEXT_BYTES];

    if (identity) {
        identity_describe(identity, text, sizeof text);
        log_text(line, "identity", text);
    } else if (tls && tls_channel_is_established(tls)) {
        log_text(line, "identity", "anonymous");
    }
}

/* If an upstream has answered on another connection, it speaks Forward: its silence on this connection is no
 * sign of a mistake. */
static bool silence_is_known(const struct connection_log *connection_log, enum side side)
{
    const struct side_metrics *metrics = connection_log->metrics->side;

    return side == SIDE_UPSTREAM && metrics_read(&metrics[side].bytes[METRICS_RECEIVED]);
}

/* Writes what the peer speaks and which setting to change, if a row of runtime/end_hint.h fits. */
static void hint_write(const struct connection_log *connection_log, struct log_line *line,
                       const struct connection_end *end)
{
    if (!end->leg)
        return;
    const struct end_facts facts = {
        .side = end->side,
        .reason = end->reason,
        .transport = end->leg->tls ? END_TLS : END_PLAINTEXT,
        .spoken = leg_spoken(end->leg),
        .is_denied = leg_is_denied(end->leg),
        .lacks_issuer = leg_lacks_issuer(end->leg),
    };
    if (facts.spoken == SPOKEN_NOTHING && silence_is_known(connection_log, end->side))
        return;
    const struct end_hint hint = end_hint_of(&facts);
    log_text(line, "speaks", hint.speaks);
    log_words(line, end->side, "hint", hint.text);
}

/* The limiters of the route, which most routes never need. NULL when out of memory. */
static struct connection_log_limiters *limiters_of(struct connection_log *connection_log)
{
    if (!connection_log->limiters)
        connection_log->limiters = calloc(1, sizeof *connection_log->limiters);
    return connection_log->limiters;
}

static struct log_limiter *given_up_limiter(struct connection_log *connection_log, enum end_reason reason)
{
    struct connection_log_limiters *limiters = limiters_of(connection_log);

    return limiters ? &limiters->given_up[reason] : NULL;
}

/* True when a line may be written; otherwise the line is counted. `limiter` NULL: no limit. */
static bool line_admit(struct connection_log *connection_log, struct log_limiter *limiter,
                       uint32_t *suppressed)
{
    uint32_t burst = connection_log->route->log_burst;

    if (!limiter || log_limiter_admit(limiter, now_ms(connection_log), burst, suppressed))
        return true;
    timer_set(&connection_log->summary, now_ms(connection_log) + LOG_LIMITER_WINDOW_MS);
    return false;
}

/* `limiter` is not used for a benign end. */
static void end_write(struct connection_log *connection_log, struct log_limiter *limiter, const char *event,
                      const struct connection_end *end)
{
    const struct route_options *route = connection_log->route;
    bool is_benign = end_reason_is_benign(end->reason);
    struct log_line line;
    uint32_t suppressed = 0;

    if (!is_benign && !line_admit(connection_log, limiter, &suppressed))
        return;
    log_begin(&line, connection_log->log, is_benign ? LOG_DEBUG : LOG_WARN, event);
    log_text(&line, "route", route->name);
    log_text(&line, "side", side_name(end->side));
    log_text(&line, "phase", end->phase);
    log_text(&line, "reason", end_reason_name(end->reason));
    log_words(&line, end->side, "what", end_reason_phrase(end->reason));
    log_words(&line, end->side, "detail", end->detail);
    hint_write(connection_log, &line, end);
    address_write(&line, "peer", end->peer);
    identity_write(&line, end->inlet);
    address_write(&line, "upstream", end->upstream);
    log_number(&line, "duration_ms", (int64_t)(now_ms(connection_log) - end->opened_ms));
    log_suppressed(&line, suppressed);
    log_end(&line);
}

void connection_log_write(struct connection_log *connection_log, const struct connection_end *end)
{
    struct connection_log_limiters *limiters =
        end_reason_is_benign(end->reason) ? NULL : limiters_of(connection_log);

    if (!repeat_admit(connection_log, end))
        return;
    end_write(connection_log, limiters ? &limiters->ended[end->reason] : NULL, "connection ended", end);
}

void connection_log_refusal(struct connection_log *connection_log, const struct connection_end *refusal)
{
    end_write(connection_log, given_up_limiter(connection_log, refusal->reason), "message refused", refusal);
}

void connection_log_give_up(struct connection_log *connection_log, enum end_reason reason, unsigned messages)
{
    struct log_line line;
    uint32_t suppressed = 0;

    if (!line_admit(connection_log, given_up_limiter(connection_log, reason), &suppressed))
        return;
    log_begin(&line, connection_log->log, LOG_WARN, "messages given up");
    log_text(&line, "route", connection_log->route->name);
    log_text(&line, "reason", end_reason_name(reason));
    log_words(&line, SIDE_DOWNSTREAM, "what", end_reason_phrase(reason));
    log_number(&line, "messages", messages);
    log_suppressed(&line, suppressed);
    log_end(&line);
}

void connection_log_unread_acks(struct connection_log *connection_log, const struct socket_address *peer)
{
    struct log_line line;
    uint32_t suppressed = 0;

    if (!line_admit(connection_log, &connection_log->unread_acks, &suppressed))
        return;
    log_begin_words(
        &line, connection_log->log, LOG_WARN, SIDE_DOWNSTREAM,
        "an agent asks for acks and does not read them: its acks beyond --unread-acks are given up");
    log_text(&line, "route", connection_log->route->name);
    address_write(&line, "peer", peer);
    log_suppressed(&line, suppressed);
    log_end(&line);
}

void connection_log_invalid(struct connection_log *connection_log, const struct connection_invalid *invalid)
{
    struct log_line line;
    uint32_t suppressed = 0;

    if (!line_admit(connection_log, &connection_log->invalid_events, &suppressed))
        return;
    log_begin(&line, connection_log->log, LOG_WARN,
              invalid->is_passed ? "invalid events are passed on" : "invalid events are left out");
    log_text(&line, "route", connection_log->route->name);
    log_text(&line, "reason", event_fault_name(invalid->fault));
    log_text(&line, "what", event_fault_phrase(invalid->fault));
    log_text(&line, "tag", invalid->tag);
    address_write(&line, "peer", invalid->where->peer);
    identity_write(&line, invalid->where->inlet);
    log_suppressed(&line, suppressed);
    log_end(&line);
}

void connection_log_waiting(struct connection_log *connection_log, enum end_reason reason,
                            const struct socket_address *upstream)
{
    struct log_line line;

    log_begin(&line, connection_log->log, LOG_WARN,
              "the husk upstream holds messages: its own upstream fails");
    log_text(&line, "route", connection_log->route->name);
    log_text(&line, "reason", end_reason_name(reason));
    log_words(&line, SIDE_UPSTREAM, "what", end_reason_phrase(reason));
    address_write(&line, "upstream", upstream);
    log_end(&line);
}

void connection_log_goaway(struct connection_log *connection_log, enum end_reason reason,
                           const struct socket_address *upstream)
{
    struct log_line line;

    log_begin(&line, connection_log->log, LOG_DEBUG,
              "the husk upstream takes no more messages on a connection: another one takes its place");
    log_text(&line, "route", connection_log->route->name);
    if (reason != END_NONE)
        log_text(&line, "reason", end_reason_name(reason));
    address_write(&line, "upstream", upstream);
    log_end(&line);
}

void connection_log_hint(struct connection_log *connection_log, enum connection_hint hint,
                         const struct socket_address *peer)
{
    static const char *const texts[] = {
        [HINT_SILENT_AGENT] = "an agent sends nothing: if it is configured with a shared key, set "
                              "--accept-key-env or --accept-key-file",
        [HINT_OLD_HUSK] = "the peer is a husk that does not speak husk-link/1 here: plain Forward is used, "
                          "without the answers for single messages",
    };
    struct log_line line;

    if (connection_log->hinted & 1U << hint)
        return;
    connection_log->hinted |= 1U << hint;
    log_begin_words(&line, connection_log->log, LOG_INFO, SIDE_DOWNSTREAM, texts[hint]);
    log_text(&line, "route", connection_log->route->name);
    address_write(&line, "peer", peer);
    log_end(&line);
}

void connection_log_secured(struct connection_log *connection_log, enum side side, const struct leg *leg,
                            const struct socket_address *peer)
{
    bool speaks_link = side == SIDE_DOWNSTREAM || connection_log->route->upstream_link != ROUTE_LINK_OFF;

    if (speaks_link && leg_peer_protocol(leg) == TLS_PEER_HUSK)
        connection_log_hint(connection_log, HINT_OLD_HUSK, peer);
}

void connection_log_works(struct connection_log *connection_log, const struct leg *leg,
                          const struct socket_address *upstream)
{
    uint32_t suppressed, burst = connection_log->route->log_burst;
    struct log_line line;

    if (!log_limiter_admit(&connection_log->works, now_ms(connection_log), burst, &suppressed))
        return;
    log_begin(&line, connection_log->log, LOG_INFO, "upstream works");
    log_text(&line, "route", connection_log->route->name);
    address_write(&line, "upstream", upstream);
    if (leg->tls)
        log_text(&line, "tls", metrics_tls_version_name(tls_channel_facts(leg->tls).version));
    identity_write(&line, leg);
    log_suppressed(&line, suppressed);
    log_end(&line);
}

void connection_log_acks(struct connection_log *connection_log, enum connection_acks acks,
                         const struct socket_address *upstream)
{
    static const struct {
        enum log_level level;
        const char *text;
    } lines[] = {
        [ACKS_FORGONE] = { LOG_ERROR,
                           "the aggregator reads messages and has never acknowledged anything: husk sends it "
                           "messages without waiting for acks, and messages can be lost. If the aggregator "
                           "should send acks, correct the aggregator; if it cannot send acks, set --delivery "
                           "passthrough; to keep the messages until it sends acks, set --on-no-acks hold" },
        [ACKS_AWAITED] = { LOG_ERROR,
                           "the aggregator reads messages and has never acknowledged anything: husk keeps "
                           "the messages and does not read from agents (--on-no-acks hold). If the "
                           "aggregator should send acks, correct the aggregator; if it cannot send acks, set "
                           "--on-no-acks continue or --delivery passthrough" },
        [ACKS_SEEN] = { LOG_INFO,
                        "the aggregator acknowledges messages: husk waits for its acks from now on" },
    };
    struct log_line line;

    log_begin_words(&line, connection_log->log, lines[acks].level, SIDE_UPSTREAM, lines[acks].text);
    log_text(&line, "route", connection_log->route->name);
    address_write(&line, "upstream", upstream);
    log_end(&line);
}
