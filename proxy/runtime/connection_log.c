#include "runtime/connection_log.h"

#include "runtime/end_hint.h"

#include <stdlib.h>

/* Logs how many lines of one kind were not written. `reason`: NULL if the kind has none. */
static void count_write(const struct connection_log *connection_log, struct log_limiter *limiter,
                        const char *text, const char *reason)
{
    struct log_line line;

    if (!limiter->suppressed)
        return;
    log_begin(&line, connection_log->log, LOG_WARN, text);
    log_text(&line, "route", connection_log->route->name);
    log_text(&line, "reason", reason);
    log_suppressed(&line, limiter->suppressed);
    log_end(&line);
    limiter->suppressed = 0;
}

static void counts_write(const struct connection_log *connection_log, struct log_limiter *limiters,
                         const char *text)
{
    for (enum end_reason reason = 0; reason < END_REASON_COUNT; reason++)
        count_write(connection_log, &limiters[reason], text, end_reason_name(reason));
}

static void summary_write(struct connection_log *connection_log)
{
    if (connection_log->limiters) {
        counts_write(connection_log, connection_log->limiters->ended, "more connections ended");
        counts_write(connection_log, connection_log->limiters->given_up, "more messages given up");
    }
    count_write(connection_log, &connection_log->unread_acks, "more agents do not read their acks", NULL);
    count_write(connection_log, &connection_log->invalid_events, "more senders send invalid events", NULL);
}

static void on_summary(void *owner)
{
    summary_write(owner);
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
    timer_stop(&connection_log->summary);
    free(connection_log->limiters);
    connection_log->limiters = NULL;
}

static void address_write(struct log_line *line, const char *key, const struct socket_address *address)
{
    char text[ADDRESS_TEXT_BYTES];

    if (!address)
        return;
    socket_address_format(address, text, sizeof text);
    log_text(line, key, text);
}

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
    uint64_t now_ms = connection_log->summary.reactor->now_ms;

    if (!limiter || log_limiter_admit(limiter, now_ms, connection_log->route->log_burst, suppressed))
        return true;
    timer_set(&connection_log->summary, now_ms + LOG_LIMITER_WINDOW_MS);
    return false;
}

/* `limiter` is not used for a benign end. */
static void end_write(struct connection_log *connection_log, struct log_limiter *limiter, const char *event,
                      const struct connection_end *end)
{
    const struct route_options *route = connection_log->route;
    const struct reactor *reactor = connection_log->summary.reactor;
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
    log_number(&line, "duration_ms", (int64_t)(reactor->now_ms - end->opened_ms));
    log_suppressed(&line, suppressed);
    log_end(&line);
}

void connection_log_write(struct connection_log *connection_log, const struct connection_end *end)
{
    struct connection_log_limiters *limiters =
        end_reason_is_benign(end->reason) ? NULL : limiters_of(connection_log);

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
    uint64_t now_ms = connection_log->summary.reactor->now_ms;
    uint32_t suppressed, burst = connection_log->route->log_burst;
    struct log_line line;

    if (!log_limiter_admit(&connection_log->works, now_ms, burst, &suppressed))
        return;
    log_begin(&line, connection_log->log, LOG_INFO, "upstream works");
    log_text(&line, "route", connection_log->route->name);
    address_write(&line, "upstream", upstream);
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
