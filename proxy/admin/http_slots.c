#include "admin/http_slots.h"

#include "base/clock.h"

#include <assert.h>
#include <stdlib.h>

/* How many connections an eviction answers before it closes one. Peers that ask without a pause must not
 * delay a new connection for long. */
enum { STEPS_PER_EVICTION = 4 };

struct http_slots {
    struct ev_loop *loop;
    const struct http_service *service;
    struct log *log;
    struct log_limiter limiter;
    unsigned count;
    struct http_connection connections[]; /* `count` of them */
};

static bool is_young(const struct http_connection *connection, uint64_t now_ms)
{
    return now_ms - connection->since_ms < HTTP_SLOTS_GRACE_MS;
}

bool http_slots_gives_way(const struct http_connection *a, const struct http_connection *b, uint64_t now_ms)
{
    if (is_young(a, now_ms) != is_young(b, now_ms))
        return is_young(b, now_ms);
    if (a->state != b->state && !is_young(a, now_ms))
        return a->state < b->state;
    return a->since_ms < b->since_ms;
}

static struct http_connection *first_to_give_way(struct http_slots *slots)
{
    struct http_connection *first = NULL;
    uint64_t now_ms = clock_monotonic_ms();

    for (unsigned i = 0; i < slots->count; i++) {
        struct http_connection *one = &slots->connections[i];

        if (one->state != HTTP_FREE && (!first || http_slots_gives_way(one, first, now_ms)))
            first = one;
    }
    return first;
}

static const char *what_it_does(enum http_state state)
{
    switch (state) {
    case HTTP_OPENED:
        return "has asked nothing";
    case HTTP_LINGERING:
        return "has its last answer";
    case HTTP_IDLE:
        return "idle";
    case HTTP_READING:
        return "sends a request";
    case HTTP_WRITING:
        return "reads an answer";
    default:
        return NULL;
    }
}

static void log_eviction(struct http_slots *slots, const struct http_connection *connection)
{
    struct log_line line;
    uint32_t suppressed;
    uint64_t now_ms = clock_monotonic_ms();

    if (!log_limiter_admit(&slots->limiter, now_ms, 1, &suppressed))
        return;
    log_begin(&line, slots->log, LOG_WARN, "an admin connection gives way to a new one");
    log_text(&line, "state", what_it_does(connection->state));
    log_number(&line, "for_ms", (int64_t)(now_ms - connection->since_ms));
    log_suppressed(&line, suppressed);
    log_end(&line);
}

bool http_slots_evict(struct http_slots *slots)
{
    struct http_connection *one = NULL;

    for (unsigned steps = 0; steps < STEPS_PER_EVICTION; steps++) {
        one = first_to_give_way(slots);
        if (!one)
            return false;
        enum http_state state = one->state;
        uint64_t since_ms = one->since_ms;

        http_connection_step(one);
        if (one->state == HTTP_FREE)
            return true;
        if (one->state == state && one->since_ms == since_ms)
            break;
    }
    log_eviction(slots, one);
    http_connection_close(one);
    return true;
}

static struct http_connection *find_free(struct http_slots *slots)
{
    for (unsigned i = 0; i < slots->count; i++)
        if (slots->connections[i].state == HTTP_FREE)
            return &slots->connections[i];
    return NULL;
}

void http_slots_add(struct http_slots *slots, int fd)
{
    struct http_connection *slot = find_free(slots);

    if (!slot && http_slots_evict(slots))
        slot = find_free(slots);
    assert(slot);
    http_connection_open(slot, slots->loop, fd, slots->service);
}

struct http_slots *http_slots_open(unsigned count, struct ev_loop *loop, const struct http_service *service,
                                   struct log *log)
{
    assert(count);
    struct http_slots *slots = calloc(1, sizeof *slots + count * sizeof *slots->connections);

    if (slots)
        *slots = (struct http_slots) { .loop = loop, .service = service, .log = log, .count = count };
    return slots;
}

void http_slots_close(struct http_slots *slots)
{
    for (unsigned i = 0; slots && i < slots->count; i++)
        http_connection_close(&slots->connections[i]);
    free(slots);
}
