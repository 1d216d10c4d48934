#include "delivery/peer_acks.h"

#include "delivery/read_proof.h"
#include "wire/socket.h"
#include "wire/spoken.h"

static const struct route_options *route_of(const struct peer_acks *acks)
{
    return acks->transport->route;
}

static enum metrics_acks known(const struct peer_acks *acks)
{
    return endpoint_stats_acks(outlet_stats(acks->outlet));
}

static void finding_log(const struct peer_acks *acks, enum connection_acks finding)
{
    connection_log_acks(&acks->transport->connection_log, finding, outlet_address(acks->outlet));
}

/* Whether husk needs acks in plain Forward on this connection. */
static bool applies(const struct peer_acks *acks)
{
    return route_of(acks)->delivery == ROUTE_AT_LEAST_ONCE && !acks->stream->in_flight.is_link;
}

void peer_acks_update(struct peer_acks *acks)
{
    bool forgoes = applies(acks) && route_of(acks)->on_no_acks == ROUTE_NO_ACKS_CONTINUE &&
                   known(acks) == METRICS_ACKS_NEVER;

    in_flight_set_acks(&acks->stream->in_flight, forgoes ? IN_FLIGHT_NO_ACKS : IN_FLIGHT_ACKS);
}

/* The offset in the stream up to which the peer's system has all bytes. */
static uint64_t bytes_taken(const struct peer_acks *acks)
{
    const struct leg *leg = &acks->outlet->leg;

    return upstream_stream_taken(acks->stream, leg->unsent.length + socket_unsent(leg->fd));
}

enum end_reason peer_acks_check_time(struct peer_acks *acks)
{
    struct in_flight *in_flight = &acks->stream->in_flight;
    uint64_t now_ms = acks->transport->reactor->now_ms, deadline_ms = in_flight_deadline(in_flight);

    if (!deadline_ms || now_ms < deadline_ms)
        return END_NONE;
    return in_flight_is_late(in_flight, bytes_taken(acks), now_ms) ? END_ACK_TIMEOUT : END_NONE;
}

void peer_acks_note(struct peer_acks *acks)
{
    if (endpoint_stats_note_ack(outlet_stats(acks->outlet)) != METRICS_ACKS_NEVER)
        return;
    finding_log(acks, ACKS_SEEN);
    peer_acks_update(acks);
}

/* ---- asking ---- */

/* Whether an answer that is no ack comes from a program that does not take Forward messages on this port:
 * TLS, HTTP, or an aggregator that begins the shared-key handshake. */
static bool is_foreign(const struct buffer *answer)
{
    uint8_t bytes[SPOKEN_BYTES_MAX];
    enum spoken spoken = spoken_of(bytes, buffer_peek(answer, 0, bytes, sizeof bytes));

    return spoken == SPOKEN_TLS || spoken == SPOKEN_HTTP_RESPONSE || spoken == SPOKEN_HELO;
}

/* Whether the reason is a late ack, or an answer that is no ack. */
static bool is_unanswered(const struct peer_acks *acks, enum end_reason reason)
{
    return reason == END_ACK_TIMEOUT || reason == END_UNKNOWN_ACK ||
           (reason == END_BAD_ACK && !is_foreign(&acks->stream->incoming));
}

bool peer_acks_ask(struct peer_acks *acks, enum end_reason reason)
{
    struct leg *leg = &acks->outlet->leg;

    if (!is_unanswered(acks, reason) || !applies(acks) || !route_of(acks)->no_acks_after ||
        known(acks) != METRICS_ACKS_UNKNOWN || !leg_can_send(leg) || leg->read_over ||
        bytes_taken(acks) < acks->stream->in_flight.queued_bytes)
        return false;
    acks->asks_for = reason;
    acks->asks_until_ms = acks->transport->reactor->now_ms + route_of(acks)->linger_timeout_ms;
    read_proof_begin(leg);
    return true;
}

/* The program has read all messages, and has not acknowledged them. */
static enum end_reason proof_note(struct peer_acks *acks)
{
    bool continues = route_of(acks)->on_no_acks == ROUTE_NO_ACKS_CONTINUE;

    if (endpoint_stats_note_proof(outlet_stats(acks->outlet), route_of(acks)->no_acks_after))
        finding_log(acks, continues ? ACKS_FORGONE : ACKS_AWAITED);
    peer_acks_update(acks);
    return acks->stream->in_flight.acks == IN_FLIGHT_NO_ACKS ? END_RETIRED : acks->asks_for;
}

enum end_reason peer_acks_check(struct peer_acks *acks)
{
    enum read_proof_result result = read_proof_check(&acks->outlet->leg);
    bool is_late = acks->transport->reactor->now_ms >= acks->asks_until_ms;

    if (!in_flight_expects_ack(&acks->stream->in_flight))
        return END_RETIRED;
    if (result == READ_PROOF_GIVEN)
        return proof_note(acks);
    return result == READ_PROOF_MISSING || is_late ? acks->asks_for : END_NONE;
}
