#include "delivery/upstream_pool.h"

#include "delivery/upstream_step.h"

#include <string.h>

enum {
    RETIRE_AGAIN_MS = 1000,
    LASTING_MS = 5000,         /* a connection that expects no ack and stays open for so long is of use */
    BUSY_BYTES = 64 * 1024,    /* outstanding bytes of a busy connection: another endpoint may help */
    UNEVEN_BYTES = 256 * 1024, /* a connection loses its senders to one that has so much less */
};

static const struct route_options *route_of(const struct upstream_pool *pool)
{
    return pool->shared.transport->route;
}

static uint64_t now_ms(const struct upstream_pool *pool)
{
    return pool->shared.transport->reactor->now_ms;
}

static struct endpoint_pool *endpoint_pool_of(const struct upstream_pool *pool)
{
    return &pool->shared.transport->dialer.endpoints;
}

static const struct endpoint_list *endpoints(const struct upstream_pool *pool)
{
    return endpoint_pool_of(pool)->list;
}

void upstream_pool_init(struct upstream_pool *pool, const struct upstream_shared *shared)
{
    *pool = (struct upstream_pool) { .shared = *shared };
    pool->shared.run = upstream_step;
    LIST_INIT(&pool->list);
}

void upstream_pool_end(struct upstream_pool *pool, enum end_reason reason)
{
    while (!LIST_EMPTY(&pool->list))
        upstream_end(LIST_FIRST(&pool->list), reason);
    address_records_deinit(&pool->addresses);
}

/* ---- endpoints ---- */

static bool is_usable(const struct upstream_pool *pool, size_t at)
{
    return !endpoint_is_ejected(endpoint_pool_of(pool), at, now_ms(pool));
}

/* Whether the endpoint has failed since its last success. */
static bool has_failed(const struct upstream_pool *pool, size_t at)
{
    return endpoint_has_failed(endpoint_pool_of(pool), at);
}

static unsigned tier_at(const struct upstream_pool *pool, size_t at)
{
    return endpoint_tier(endpoint_pool_of(pool), at, now_ms(pool));
}

/* The lowest tier with an endpoint that is not ejected; UINT32_MAX: all are ejected. */
static unsigned usable_tier(const struct upstream_pool *pool)
{
    const struct endpoint_list *list = endpoints(pool);
    unsigned tier = UINT32_MAX;

    for (size_t at = 0; list && at < list->count; at++) {
        if (tier_at(pool, at) < tier && is_usable(pool, at))
            tier = tier_at(pool, at);
    }
    return tier;
}

static const struct endpoint *endpoint_of(const struct upstream_pool *pool, const struct upstream *upstream)
{
    const struct endpoint_list *list = endpoints(pool);

    return list && upstream->endpoint_at < list->count ? &list->endpoints[upstream->endpoint_at] : NULL;
}

/* The outstanding bytes of a connection, divided by the weight of its endpoint. */
static uint64_t load_of(const struct upstream_pool *pool, const struct upstream *upstream)
{
    const struct endpoint *endpoint = endpoint_of(pool, upstream);

    return upstream->stream.in_flight.ledger.bytes * ENDPOINT_WEIGHT_UNIT / (endpoint ? endpoint->weight : 1);
}

static unsigned tier_of(const struct upstream_pool *pool, const struct upstream *upstream)
{
    return endpoint_of(pool, upstream) ? tier_at(pool, upstream->endpoint_at) : 0;
}

/* ---- picking ---- */

static bool is_exclusive(const struct upstream *upstream)
{
    return upstream->use != UPSTREAM_SHARED;
}

static bool is_reserved(const struct upstream *upstream)
{
    return upstream->reservation.message;
}

/* Whether `a` is preferred: a lower tier, then less load. */
static bool is_better(const struct upstream_pool *pool, const struct upstream *a, const struct upstream *b)
{
    unsigned tier_a = tier_of(pool, a), tier_b = tier_of(pool, b);

    return tier_a != tier_b ? tier_a < tier_b : load_of(pool, a) < load_of(pool, b);
}

static struct address_record *record_of(struct upstream_pool *pool, const struct upstream *upstream)
{
    return address_records_at(&pool->addresses, upstream->endpoint_at);
}

/* The window of the address has space. */
static bool window_admits(struct upstream_pool *pool, const struct address_record *record)
{
    const struct upstream *upstream;
    size_t unsettled = 0;

    if (send_window_is_open(&record->window))
        return true;
    LIST_FOREACH (upstream, &pool->list, sibling) {
        if (!is_exclusive(upstream) && record_of(pool, upstream) == record)
            unsettled += upstream->stream.in_flight.ledger.count;
    }
    return send_window_admits(&record->window, unsettled);
}

struct upstream *upstream_pool_pick(struct upstream_pool *pool, uint64_t last_id)
{
    struct upstream *best = NULL, *last = NULL, *upstream;

    LIST_FOREACH (upstream, &pool->list, sibling) {
        if (!upstream_is_available(upstream) || !window_admits(pool, record_of(pool, upstream)))
            continue;
        if (upstream->id == last_id)
            last = upstream;
        if (!best || is_better(pool, upstream, best))
            best = upstream;
    }
    if (last && tier_of(pool, last) == tier_of(pool, best) &&
        load_of(pool, last) <= load_of(pool, best) + UNEVEN_BYTES)
        return last;
    return best;
}

/* The connections of which `is_counted` is true. */
static unsigned count(const struct upstream_pool *pool, bool (*is_counted)(const struct upstream *upstream))
{
    const struct upstream *upstream;
    unsigned found = 0;

    LIST_FOREACH (upstream, &pool->list, sibling)
        found += is_counted(upstream);
    return found;
}

static bool exclusive_is_allowed(const struct upstream_pool *pool)
{
    return count(pool, is_exclusive) < route_of(pool)->max_exclusive_connections;
}

static struct upstream *pick_idle(struct upstream_pool *pool)
{
    struct upstream *best = NULL, *upstream;

    LIST_FOREACH (upstream, &pool->list, sibling) {
        if (upstream_is_available(upstream) && !upstream->stream.in_flight.ledger.count &&
            (!best || tier_of(pool, upstream) < tier_of(pool, best)))
            best = upstream;
    }
    return best;
}

struct upstream *upstream_pool_pick_exclusive(struct upstream_pool *pool)
{
    return exclusive_is_allowed(pool) ? pick_idle(pool) : NULL;
}

bool upstream_pool_reserve(struct upstream_pool *pool, struct message *message, uint64_t delay_ms)
{
    bool is_allowed = count(pool, is_reserved) < route_of(pool)->max_exclusive_connections;
    struct upstream *upstream = is_allowed ? pick_idle(pool) : NULL;

    if (upstream)
        upstream_reserve(upstream, message, delay_ms);
    return upstream;
}

struct upstream *upstream_pool_redeem(struct upstream_pool *pool, struct reservation *reservation)
{
    bool retires = reservation->upstream->retires_for != END_NONE; /* its end cancels the reservation */

    if (!reservation->is_due || retires || !exclusive_is_allowed(pool))
        return NULL;
    upstream_redeem(reservation->upstream);
    return reservation->upstream;
}

void upstream_pool_hasten(struct upstream_pool *pool, uint64_t delay_ms)
{
    struct upstream *upstream;

    redial_at_once(&pool->redial);
    LIST_FOREACH (upstream, &pool->list, sibling) {
        if (is_reserved(upstream))
            upstream_hasten(upstream, delay_ms);
    }
}

bool upstream_pool_is_ready(const struct upstream_pool *pool)
{
    const struct upstream *upstream;

    LIST_FOREACH (upstream, &pool->list, sibling) {
        if (upstream->state == UPSTREAM_READY)
            return true;
    }
    return false;
}

bool upstream_pool_is_on_hold(const struct upstream_pool *pool)
{
    const struct endpoint_list *list = endpoints(pool);
    bool is_on_hold = list && list->count && route_of(pool)->on_no_acks == ROUTE_NO_ACKS_HOLD;

    for (size_t at = 0; is_on_hold && at < list->count; at++)
        is_on_hold = endpoint_stats_acks(list->endpoints[at].stats) == METRICS_ACKS_NEVER;
    return is_on_hold;
}

/* ---- dialling ---- */

/* What a dial is for, and what is counted over all connections before it. */
struct survey {
    bool needs_window; /* another shared connection is of no use while the window of its address is full */
    bool is_dialling;
    bool has_idle;                  /* a connection of the tier in use is not busy */
    unsigned exclusive, reserved;   /* connections */
    unsigned count;                 /* other connections that do not retire */
    unsigned shared[ENDPOINTS_MAX]; /* the same, per endpoint */
};

static void survey_make(struct survey *survey, const struct upstream_pool *pool, unsigned tier)
{
    const struct upstream *upstream;

    *survey = (struct survey) { 0 };
    LIST_FOREACH (upstream, &pool->list, sibling) {
        /* An endpoint that does not answer must not keep others from being dialled. */
        if (upstream->state < UPSTREAM_READY && !has_failed(pool, upstream->endpoint_at))
            survey->is_dialling = true;
        survey->exclusive += is_exclusive(upstream);
        survey->reserved += is_reserved(upstream);
        if (is_exclusive(upstream) || is_reserved(upstream) || upstream->retires_for != END_NONE)
            continue;
        survey->count++;
        if (upstream->endpoint_at >= ENDPOINTS_MAX)
            continue;
        survey->shared[upstream->endpoint_at]++;
        if (tier_of(pool, upstream) == tier && upstream->stream.in_flight.ledger.bytes < BUSY_BYTES)
            survey->has_idle = true;
    }
}

/* The endpoint of the tier in use with the fewest connections for its weight, and less than `max`;
 * ENDPOINTS_MAX when there is none. */
static size_t endpoint_pick(struct upstream_pool *pool, const struct survey *survey, unsigned tier,
                            unsigned max)
{
    const struct endpoint_list *list = endpoints(pool);
    size_t best = ENDPOINTS_MAX;
    uint64_t best_share = 0;

    for (size_t i = 0; list && i < list->count; i++) {
        size_t at = (pool->next_endpoint + i) % list->count;
        const struct endpoint *endpoint = &list->endpoints[at];
        bool is_full = survey->needs_window && !window_admits(pool, address_records_at(&pool->addresses, at));
        if (tier_at(pool, at) != tier || survey->shared[at] >= max || is_full || !is_usable(pool, at))
            continue;
        uint64_t share = (uint64_t)survey->shared[at] * ENDPOINT_WEIGHT_UNIT * 1000 / endpoint->weight;
        if (has_failed(pool, at))
            share += UINT32_MAX; /* after all endpoints that work */
        if (best == ENDPOINTS_MAX || share < best_share) {
            best = at;
            best_share = share;
        }
    }
    return best;
}

static uint64_t dial(struct upstream_pool *pool, size_t at)
{
    struct upstream *upstream = upstream_open(&pool->shared, ++pool->last_id, at);

    if (at < ENDPOINTS_MAX)
        pool->next_endpoint = at + 1;
    if (!upstream)
        return redial_last(&pool->redial, now_ms(pool));
    LIST_INSERT_HEAD(&pool->list, upstream, sibling);
    return 0;
}

/* For the case that every endpoint is ejected or none is known: dials any endpoint, with a back-off. */
static uint64_t dial_any(struct upstream_pool *pool, const struct survey *survey)
{
    if (survey->count)
        return 0;
    return redial_must_wait(&pool->redial, now_ms(pool)) ? pool->redial.at_ms : dial(pool, ENDPOINTS_MAX);
}

uint64_t upstream_pool_dial(struct upstream_pool *pool, enum upstream_need need)
{
    const struct route_options *route = route_of(pool);
    struct survey survey;

    if (need == UPSTREAM_FOR_BALANCE && (!endpoints(pool) || endpoints(pool)->count < 2))
        return 0;
    unsigned tier = usable_tier(pool);
    survey_make(&survey, pool, tier);
    survey.needs_window = need < UPSTREAM_FOR_EXCLUSIVE;
    if (survey.is_dialling || (need == UPSTREAM_FOR_BALANCE && (survey.has_idle || !survey.count)))
        return 0;
    if (tier == UINT32_MAX)
        return need == UPSTREAM_FOR_BALANCE ? 0 : dial_any(pool, &survey);
    unsigned taken = need == UPSTREAM_FOR_RESERVATION ? survey.reserved : survey.exclusive;
    if (need >= UPSTREAM_FOR_EXCLUSIVE && taken >= route->max_exclusive_connections)
        return 0;
    size_t at = endpoint_pick(pool, &survey, tier,
                              need == UPSTREAM_FOR_BALANCE ? 1 : route->max_upstream_connections);
    /* Exclusive connections are allowed in addition to the shared ones. */
    if (at == ENDPOINTS_MAX && need >= UPSTREAM_FOR_EXCLUSIVE)
        at = endpoint_pick(pool, &survey, tier,
                           route->max_upstream_connections + route->max_exclusive_connections - taken);
    if (at == ENDPOINTS_MAX)
        return 0;
    /* If only failed endpoints are left, or none would work, there is a back-off. */
    bool is_hopeless = pool->redial.holds_all || has_failed(pool, at) || endpoints(pool)->count == 1;
    if (is_hopeless && redial_must_wait(&pool->redial, now_ms(pool)))
        return pool->redial.at_ms;
    return dial(pool, at);
}

/* ---- events of a connection ---- */

void upstream_pool_on_ready(struct upstream_pool *pool, struct upstream *upstream)
{
    struct upstream *other;

    upstream_limit_age(upstream);
    if (!endpoints(pool))
        return;
    if (!upstream_locate(upstream))
        upstream_retire(upstream, END_RETIRED); /* its address was removed during the dial */
    LIST_FOREACH (other, &pool->list, sibling) {
        if (tier_of(pool, other) > tier_of(pool, upstream))
            upstream_retire(other, END_RETIRED);
    }
}

void upstream_pool_on_released(struct upstream_pool *pool, struct upstream *upstream)
{
    struct survey survey;

    survey_make(&survey, pool, 0);
    if (upstream->endpoint_at < ENDPOINTS_MAX &&
        survey.shared[upstream->endpoint_at] > route_of(pool)->max_upstream_connections)
        upstream_retire(upstream, END_RETIRED);
}

void upstream_pool_on_old(struct upstream_pool *pool, struct upstream *upstream)
{
    const struct upstream *other;
    unsigned retiring = 0;

    LIST_FOREACH (other, &pool->list, sibling)
        retiring += other->retires_for != END_NONE;
    /* On a new connection the retry delay of the message would begin again, perhaps each time. */
    if (!is_reserved(upstream) && retiring < route_of(pool)->max_upstream_connections)
        upstream_retire(upstream, END_RETIRED);
    else
        upstream_set_retirement(upstream, now_ms(pool) + RETIRE_AGAIN_MS);
}

/* Where no ack is expected, the evidence that messages get through is that the connection lasted. A peer may
 * end an idle connection in order, which is no failure. */
static bool has_lasted(const struct upstream_pool *pool, const struct upstream *upstream,
                       enum end_reason reason)
{
    uint64_t least_ms = reason == END_CLOSED ? UPSTREAM_BRIEF_MS : LASTING_MS;

    return upstream->ready_ms && now_ms(pool) >= upstream->ready_ms + least_ms &&
           !in_flight_expects_ack(&upstream->stream.in_flight);
}

enum retry_fault upstream_pool_judge(struct upstream_pool *pool, const struct upstream *upstream,
                                     enum end_reason reason)
{
    const struct message *message = upstream_failed_message(upstream, reason);
    const struct retry_evidence evidence = {
        .reason = reason,
        .now_us = pool->shared.transport->reactor->now_us,
        .is_of_use = upstream->acked_count || has_lasted(pool, upstream, reason),
        .says_waiting = upstream->stream.in_flight.is_link,
        .message = message,
        .sent_us = message ? upstream_sent_us(upstream, message) : 0,
        .was_quiet = upstream->was_quiet,
        .others_fail = message && address_record_others_fail(record_of(pool, upstream), message),
        .acked_us = record_of(pool, upstream)->acked_us,
    };

    return retry_judge(&evidence);
}

/* A husk that sends each connection away must not be dialled without a pause. */
static bool is_sent_away(const struct upstream_pool *pool, const struct upstream *upstream)
{
    return upstream->got_goaway && !upstream->acked_count &&
           now_ms(pool) < upstream->ready_ms + UPSTREAM_BRIEF_MS;
}

void upstream_pool_on_ended(struct upstream_pool *pool, struct upstream *upstream, enum end_reason reason)
{
    bool is_refusal = !is_exclusive(upstream) && reason != END_ACK_TIMEOUT &&
                      in_flight_expects_ack(&upstream->stream.in_flight);
    const struct message *failed = upstream_failed_message(upstream, reason);

    LIST_REMOVE(upstream, sibling);
    if (is_sent_away(pool, upstream))
        redial_later(&pool->redial, now_ms(pool), true);
    if (end_reason_is_ours(reason))
        return;
    if (failed && upstream->was_quiet && retry_blames_address(upstream->fault))
        address_record_note_failure(record_of(pool, upstream), failed);
    if (is_refusal)
        send_window_on_failed(&record_of(pool, upstream)->window, upstream->acked_count);
    /* RETRY_FAULT_EITHER: the message has a back-off of its own, and others must not wait for it. */
    if (upstream->fault != RETRY_FAULT_ADDRESS && !end_reason_is_local(reason)) {
        redial_at_once(&pool->redial);
        return;
    }
    redial_later(&pool->redial, now_ms(pool), end_reason_is_local(reason));
}

void upstream_pool_on_settled(struct upstream_pool *pool, const struct upstream *upstream,
                              enum upstream_settlement how)
{
    struct address_record *record = record_of(pool, upstream);

    send_window_on_settled(&record->window);
    if (how == UPSTREAM_TAKEN)
        return;
    address_record_note_ack(record, pool->shared.transport->reactor->now_us);
    redial_at_once(&pool->redial);
}

void upstream_pool_endpoints_changed(struct upstream_pool *pool)
{
    struct upstream *upstream;

    if (endpoints(pool))
        address_records_move(&pool->addresses, endpoint_pool_of(pool)->list);
    LIST_FOREACH (upstream, &pool->list, sibling) {
        if (!upstream_locate(upstream))
            upstream_retire(upstream, END_RETIRED);
        upstream_wake(upstream);
    }
}

void upstream_pool_credentials_changed(struct upstream_pool *pool)
{
    struct upstream *upstream;

    redial_at_once(&pool->redial); /* what has failed with the old ones may work */
    LIST_FOREACH (upstream, &pool->list, sibling)
        upstream_judge(upstream);
}

void upstream_pool_options_changed(struct upstream_pool *pool, const struct route_options *before)
{
    struct upstream *upstream;

    LIST_FOREACH (upstream, &pool->list, sibling)
        upstream_options_changed(upstream, before);
}
