#include "link/tls_handshakes.h"

#include "base/clock.h"

/* ---- turns ---- */

/* An answered handshake comes before new ones: on a slow CPU, peers that connect must not take the time of
 * peers that husk has worked for. */
static struct tls_handshake_queue *queue_of(struct tls_handshakes *handshakes,
                                            const struct tls_handshake *handshake)
{
    return handshake->flights_sent ? &handshakes->answered : &handshakes->unanswered;
}

static struct tls_handshake *queue_first(const struct tls_handshakes *handshakes)
{
    struct tls_handshake *answered = TAILQ_FIRST(&handshakes->answered);

    return answered ? answered : TAILQ_FIRST(&handshakes->unanswered);
}

static void turn_end(struct tls_handshakes *handshakes, struct tls_handshake *handshake)
{
    if (handshake->turn == TLS_HANDSHAKE_QUEUED)
        TAILQ_REMOVE(queue_of(handshakes, handshake), handshake, next_turn);
    handshake->turn = TLS_HANDSHAKE_IDLE;
}

static void on_task(void *task)
{
    struct tls_handshakes *handshakes = task;
    uint64_t end_us = clock_monotonic_us() + TLS_HANDSHAKES_US;
    struct tls_handshake *handshake;

    while ((handshake = queue_first(handshakes))) {
        turn_end(handshakes, handshake);
        handshake->turn = TLS_HANDSHAKE_TURN;
        handshake->task->run(handshake->task);
        if (clock_monotonic_us() >= end_us)
            break;
    }
    if (queue_first(handshakes))
        reactor_queue(handshakes->reactor, &handshakes->task);
}

bool tls_handshake_take_turn(struct tls_handshakes *handshakes, struct tls_handshake *handshake)
{
    if (handshake->turn == TLS_HANDSHAKE_TURN) {
        handshake->turn = TLS_HANDSHAKE_IDLE;
        return true;
    }
    if (handshake->turn == TLS_HANDSHAKE_IDLE) {
        handshake->turn = TLS_HANDSHAKE_QUEUED;
        TAILQ_INSERT_TAIL(queue_of(handshakes, handshake), handshake, next_turn);
        reactor_queue(handshakes->reactor, &handshakes->task);
    }
    return false;
}

/* ---- limits ---- */

void tls_handshakes_init(struct tls_handshakes *handshakes, struct reactor *reactor,
                         const struct route_options *route)
{
    *handshakes = (struct tls_handshakes) { .task.run = on_task, .reactor = reactor, .route = route };
    TAILQ_INIT(&handshakes->list);
    TAILQ_INIT(&handshakes->answered);
    TAILQ_INIT(&handshakes->unanswered);
}

static void bytes_count(struct tls_handshakes *handshakes, struct tls_handshake *handshake, size_t bytes)
{
    handshakes->bytes += bytes - handshake->counted_bytes;
    handshake->counted_bytes = bytes;
}

static void wait_begin(struct tls_handshakes *handshakes, struct tls_handshake *handshake)
{
    handshake->waits_since_ms = handshakes->reactor->now_ms;
    TAILQ_INSERT_TAIL(&handshakes->list, handshake, sibling);
}

void tls_handshake_begin(struct tls_handshakes *handshakes, struct tls_handshake *handshake,
                         struct task *task)
{
    *handshake = (struct tls_handshake) { .task = task };
    bytes_count(handshakes, handshake, TLS_HANDSHAKE_LEAST_BYTES);
    handshakes->count++;
    wait_begin(handshakes, handshake);
}

void tls_handshake_end(struct tls_handshakes *handshakes, struct tls_handshake *handshake)
{
    turn_end(handshakes, handshake);
    bytes_count(handshakes, handshake, 0);
    handshakes->count--;
    TAILQ_REMOVE(&handshakes->list, handshake, sibling);
}

/* Evicts the handshakes that have waited longest until the others are within --handshake-memory. */
static void memory_make_space(struct tls_handshakes *handshakes)
{
    while (handshakes->bytes > handshakes->route->handshake_memory_bytes) {
        struct tls_handshake *first = TAILQ_FIRST(&handshakes->list);
        first->is_evicted = true;
        bytes_count(handshakes, first, 0);
        TAILQ_REMOVE(&handshakes->list, first, sibling);
        TAILQ_INSERT_TAIL(&handshakes->list, first, sibling);
        reactor_queue(handshakes->reactor, first->task);
    }
}

void tls_handshake_advance(struct tls_handshakes *handshakes, struct tls_handshake *handshake,
                           struct tls_progress progress)
{
    size_t bytes = TLS_HANDSHAKE_FIXED_BYTES + progress.bytes_received;

    if (progress.flights_sent != handshake->flights_sent) {
        handshake->flights_sent = progress.flights_sent;
        TAILQ_REMOVE(&handshakes->list, handshake, sibling);
        wait_begin(handshakes, handshake);
    }
    if (bytes > handshake->counted_bytes)
        bytes_count(handshakes, handshake, bytes);
    memory_make_space(handshakes);
}

bool tls_handshake_is_overdue(const struct tls_handshakes *handshakes, const struct tls_handshake *handshake)
{
    return handshake->waits_since_ms <= handshakes->overdue_ms;
}

bool tls_handshakes_are_full(const struct tls_handshakes *handshakes)
{
    const struct route_options *route = handshakes->route;

    return handshakes->count >= route->max_handshakes ||
           handshakes->bytes + TLS_HANDSHAKE_LEAST_BYTES > route->handshake_memory_bytes;
}

uint64_t tls_handshakes_relief_ms(const struct tls_handshakes *handshakes)
{
    const struct tls_handshake *first = TAILQ_FIRST(&handshakes->list);

    if (!first || !tls_handshakes_are_full(handshakes))
        return 0;
    uint64_t since_ms = first->waits_since_ms;
    if (tls_handshake_is_overdue(handshakes, first)) /* it ends in the next turn */
        since_ms = handshakes->reactor->now_ms;
    return since_ms + handshakes->route->crowded_handshake_timeout_ms;
}

void tls_handshakes_relieve(struct tls_handshakes *handshakes)
{
    uint64_t now_ms = handshakes->reactor->now_ms;
    uint64_t timeout_ms = handshakes->route->crowded_handshake_timeout_ms;
    struct tls_handshake *handshake;

    if (!tls_handshakes_are_full(handshakes) || now_ms < timeout_ms)
        return;
    handshakes->overdue_ms = now_ms - timeout_ms;
    TAILQ_FOREACH (handshake, &handshakes->list, sibling) {
        if (!tls_handshake_is_overdue(handshakes, handshake))
            break;
        reactor_queue(handshakes->reactor, handshake->task);
    }
}
