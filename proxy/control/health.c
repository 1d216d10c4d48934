#include "control/health.h"

#include "base/clock.h"
#include "wire/socket.h"

#include <unistd.h>

/* An upstream that starts together with husk must not count as away for a whole interval. */
enum { RETRY_FIRST_MS = 500 };

static void attempt_close(struct health *health)
{
    if (health->fd < 0)
        return;
    ev_io_stop(health->loop, &health->watcher);
    close(health->fd);
    health->fd = -1;
}

static void timer_restart(struct health *health, double seconds)
{
    ev_timer_stop(health->loop, &health->timer);
    ev_timer_set(&health->timer, seconds, 0);
    ev_timer_start(health->loop, &health->timer);
}

/* Whether another round follows the last one. */
static bool probes_again(const struct health *health)
{
    return health->failure != END_NONE || health->options.persistence == HEALTH_ALWAYS;
}

/* Until the next round: after a failed round RETRY_FIRST_MS, and twice as long after each further one. */
static uint64_t pause_after_round(struct health *health)
{
    uint64_t pause_ms = health->options.interval_ms;

    if (health->failure != END_NONE && health->retry_ms < pause_ms)
        pause_ms = health->retry_ms;
    health->retry_ms = health->failure == END_NONE ? RETRY_FIRST_MS : 2 * pause_ms;
    return pause_ms;
}

static void round_end(struct health *health, enum end_reason failure)
{
    uint64_t pause_ms;

    attempt_close(health);
    ev_timer_stop(health->loop, &health->timer); /* the deadline of the attempt */
    health->is_known = true;
    health->failure = failure;
    if (failure == END_NONE)
        health->answered = health->list->endpoints[health->at].address;
    health->ended_ms = clock_monotonic_ms();
    pause_ms = pause_after_round(health);
    if (probes_again(health))
        timer_restart(health, (double)pause_ms / 1000);
}

/* Whether an endpoint before the current one has the same address. */
static bool is_tried(const struct health *health)
{
    const struct endpoint *endpoints = health->list->endpoints;
    size_t at = 0;

    while (!socket_address_equal(&endpoints[at].address, &endpoints[health->at].address))
        at++;
    return at < health->at;
}

/* Tries the addresses from `at` on, each once. The first address that connects ends the round. */
static void attempt_begin(struct health *health, enum end_reason failure)
{
    for (; health->at < health->list->count; health->at++) {
        if (is_tried(health))
            continue;
        health->fd = socket_connect(&health->list->endpoints[health->at].address, 0, &failure);
        if (health->fd < 0)
            continue;
        ev_io_set(&health->watcher, health->fd, EV_WRITE);
        ev_io_start(health->loop, &health->watcher);
        timer_restart(health, (double)health->options.timeout_ms / 1000);
        return;
    }
    round_end(health, failure);
}

static void attempt_fail(struct health *health, enum end_reason failure)
{
    attempt_close(health);
    health->at++;
    attempt_begin(health, failure);
}

static void on_connected(struct ev_loop *loop, ev_io *watcher, int events)
{
    struct health *health = watcher->data;
    enum end_reason outcome = socket_connect_outcome(health->fd);

    (void)loop, (void)events;
    if (outcome == END_NONE)
        round_end(health, END_NONE);
    else
        attempt_fail(health, outcome);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct health *health = timer->data;

    (void)loop, (void)events;
    if (health->fd >= 0) {
        attempt_fail(health, END_CONNECT_TIMEOUT);
        return;
    }
    health->at = 0;
    attempt_begin(health, END_UNRESOLVED);
}

void health_open(struct health *health, struct ev_loop *loop, const struct health_options *options)
{
    *health = (struct health) { .loop = loop, .options = *options, .fd = -1, .retry_ms = RETRY_FIRST_MS };
    ev_io_init(&health->watcher, on_connected, -1, 0);
    ev_timer_init(&health->timer, on_timer, 0, 0);
    health->watcher.data = health->timer.data = health;
}

void health_close(struct health *health)
{
    attempt_close(health);
    ev_timer_stop(health->loop, &health->timer);
    endpoint_list_release(health->list);
    health->list = NULL;
}

void health_replace(struct health *health, struct endpoint_list *list)
{
    attempt_close(health);
    endpoint_list_release(health->list);
    health->list = list;
    health->at = 0;
    if (health->options.interval_ms)
        attempt_begin(health, END_UNRESOLVED);
}

static bool has_address(const struct endpoint_list *list, const struct socket_address *address)
{
    for (size_t i = 0; i < list->count; i++) {
        if (socket_address_equal(&list->endpoints[i].address, address))
            return true;
    }
    return false;
}

static bool has_addresses(const struct endpoint_list *list, const struct endpoint_list *of)
{
    for (size_t i = 0; i < of->count; i++) {
        if (!has_address(list, &of->endpoints[i].address))
            return false;
    }
    return true;
}

/* Whether the result of the last round of `before` is true for `list`. */
static bool result_stands(const struct health *before, const struct endpoint_list *list)
{
    if (!before->is_known)
        return false;
    return before->failure == END_NONE ? has_address(list, &before->answered)
                                       : has_addresses(before->list, list);
}

void health_follow(struct health *health, struct endpoint_list *list, struct health *before)
{
    const double interval = (double)health->options.interval_ms / 1000;
    bool is_waiting = before->is_known && before->fd < 0 && has_addresses(list, before->list) &&
                      has_addresses(before->list, list);
    double seconds = interval;

    if (is_waiting && ev_is_active(&before->timer))
        seconds = ev_timer_remaining(before->loop, &before->timer);
    attempt_close(before);
    ev_timer_stop(before->loop, &before->timer);
    if (interval > 0 && result_stands(before, list)) {
        health->is_known = true;
        health->failure = before->failure;
        health->answered = before->answered;
        health->ended_ms = before->ended_ms;
        health->retry_ms = before->retry_ms;
    }
    if (!health->is_known || !is_waiting) {
        health_replace(health, list);
        return;
    }
    health->list = list;
    if (probes_again(health))
        timer_restart(health, seconds < interval ? seconds : interval);
}

void health_refresh(struct health *health)
{
    if (!health->list || !health->options.interval_ms || health->fd >= 0 || ev_is_active(&health->timer))
        return;
    health->at = 0;
    attempt_begin(health, END_UNRESOLVED);
}
