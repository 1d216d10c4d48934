#include "link/endpoint.h"

#include "trust/server_name.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { SHUFFLE_STEPS_MAX = 256 };

static const unsigned TIER_LEAVING = 1U << 31; /* the tiers of endpoints that leave are from here on */

bool endpoint_is_same(const struct endpoint *a, const struct endpoint *b)
{
    return socket_address_equal(&a->address, &b->address) &&
           server_name_equal(a->server_name, b->server_name);
}

/* ---- lists ---- */

static size_t name_bytes(const struct endpoint *endpoint)
{
    return endpoint->server_name ? strlen(endpoint->server_name) + 1 : 0;
}

struct endpoint_list *endpoint_list_new(const struct endpoint *endpoints, size_t count)
{
    size_t names = 0;

    if (count > ENDPOINTS_MAX)
        count = ENDPOINTS_MAX;
    for (size_t i = 0; i < count; i++)
        names += name_bytes(&endpoints[i]);
    struct endpoint_list *list = malloc(sizeof *list + count * sizeof list->endpoints[0] + names);
    if (!list)
        return NULL;
    atomic_init(&list->references, 1);
    list->count = count;
    char *name = (char *)&list->endpoints[count];
    for (size_t i = 0; i < count; i++) {
        size_t bytes = name_bytes(&endpoints[i]);
        assert(endpoints[i].weight);
        list->endpoints[i] = endpoints[i];
        if (endpoints[i].stats)
            endpoint_stats_share(endpoints[i].stats);
        if (!bytes)
            continue;
        list->endpoints[i].server_name = memcpy(name, endpoints[i].server_name, bytes);
        name += bytes;
    }
    return list;
}

struct endpoint_list *endpoint_list_share(struct endpoint_list *list)
{
    atomic_fetch_add_explicit(&list->references, 1, memory_order_relaxed);
    return list;
}

void endpoint_list_release(struct endpoint_list *list)
{
    if (!list || atomic_fetch_sub_explicit(&list->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < list->count; i++)
        endpoint_stats_release(list->endpoints[i].stats);
    free(list);
}

size_t endpoint_list_find(const struct endpoint_list *list, const struct endpoint *endpoint)
{
    size_t at = 0;

    while (at < list->count && !endpoint_is_same(&list->endpoints[at], endpoint))
        at++;
    return at;
}

bool endpoint_list_equal(const struct endpoint_list *a, const struct endpoint_list *b)
{
    for (size_t i = 0; i < a->count; i++) {
        size_t at = endpoint_list_find(b, &a->endpoints[i]);
        if (at == b->count || a->endpoints[i].weight != b->endpoints[at].weight ||
            a->endpoints[i].tier != b->endpoints[at].tier)
            return false;
    }
    return a->count == b->count;
}

/* ---- weighted round-robin ---- */

uint64_t endpoint_pool_random(struct endpoint_pool *pool)
{
    pool->random ^= pool->random << 13;
    pool->random ^= pool->random >> 7;
    pool->random ^= pool->random << 17;
    return pool->random;
}

/* Smooth weighted round-robin: adds its weight to the current weight of each candidate, picks the highest
 * current weight, and subtracts the sum of all weights from it. */
static size_t weighted_next(struct endpoint_pool *pool, uint64_t candidates)
{
    size_t next = pool->list->count;
    int64_t total = 0;

    for (size_t i = 0; i < pool->list->count; i++) {
        if (!(candidates & (UINT64_C(1) << i)))
            continue;
        pool->status[i].current_weight += pool->list->endpoints[i].weight;
        total += pool->list->endpoints[i].weight;
        if (next == pool->list->count || pool->status[i].current_weight > pool->status[next].current_weight)
            next = i;
    }
    if (total)
        pool->status[next].current_weight -= total;
    return next;
}

/* The endpoints of the lowest tier among `wanted`; one bit per endpoint. */
static uint64_t lowest_tier(const struct endpoint_list *list, uint64_t wanted)
{
    unsigned tier = UINT32_MAX;
    uint64_t members = 0;

    for (size_t i = 0; i < list->count; i++) {
        uint64_t bit = UINT64_C(1) << i;
        if (!(wanted & bit) || list->endpoints[i].tier > tier)
            continue;
        members = list->endpoints[i].tier < tier ? bit : members | bit;
        tier = list->endpoints[i].tier;
    }
    return members;
}

/* Processes with the same list must not all begin with the same endpoint. */
static void weights_shuffle(struct endpoint_pool *pool)
{
    uint64_t left = UINT64_MAX, members;

    while ((members = lowest_tier(pool->list, left))) {
        left &= ~members;
        for (uint64_t steps = endpoint_pool_random(pool) % SHUFFLE_STEPS_MAX; steps; steps--)
            weighted_next(pool, members);
    }
}

/* ---- pools ---- */

void endpoint_pool_init(struct endpoint_pool *pool, uint64_t eject_min_ms, uint64_t eject_max_ms,
                        uint64_t seed)
{
    *pool = (struct endpoint_pool) {
        .eject_min_ms = eject_min_ms,
        .eject_max_ms = eject_max_ms,
        .random = seed,
    };
}

void endpoint_pool_set_ejection(struct endpoint_pool *pool, uint64_t eject_min_ms, uint64_t eject_max_ms)
{
    pool->eject_min_ms = eject_min_ms;
    pool->eject_max_ms = eject_max_ms;
}

bool endpoint_pool_replace(struct endpoint_pool *pool, struct endpoint_list *list)
{
    struct endpoint_status *status = calloc(list->count + 1, sizeof *status); /* a list may be empty */
    struct endpoint_list *old = pool->list;

    if (!status) {
        endpoint_list_release(list);
        return false;
    }
    for (size_t i = 0; old && i < list->count; i++) {
        size_t at = endpoint_list_find(old, &list->endpoints[i]);
        if (at == old->count)
            continue;
        status[i] = pool->status[at];
        status[i].current_weight = 0;
    }
    free(pool->status);
    pool->status = status;
    pool->list = list;
    endpoint_list_release(old);
    weights_shuffle(pool);
    return true;
}

void endpoint_pool_deinit(struct endpoint_pool *pool)
{
    endpoint_list_release(pool->list);
    free(pool->status);
    *pool = (struct endpoint_pool) { 0 };
}

bool endpoint_is_ejected(const struct endpoint_pool *pool, size_t at, uint64_t now_ms)
{
    return now_ms < pool->status[at].ejected_until_ms;
}

bool endpoint_has_failed(const struct endpoint_pool *pool, size_t at)
{
    return pool->list && at < pool->list->count && pool->status[at].failures;
}

unsigned endpoint_tier(const struct endpoint_pool *pool, size_t at, uint64_t now_ms)
{
    const struct endpoint_status *status = &pool->status[at];
    bool leaves = status->leaving || now_ms < status->leaves_until_ms;

    return leaves ? TIER_LEAVING + status->left_as : pool->list->endpoints[at].tier;
}

/* The time of an ejection, without jitter. */
static uint64_t eject_ms(const struct endpoint_pool *pool, unsigned failures)
{
    uint64_t duration_ms = pool->eject_min_ms;

    for (; failures > 1 && duration_ms && duration_ms < pool->eject_max_ms; failures--)
        duration_ms *= 2;
    return duration_ms < pool->eject_max_ms ? duration_ms : pool->eject_max_ms;
}

/* ---- walks ---- */

bool endpoint_walk_begin(struct endpoint_walk *walk, struct endpoint_pool *pool)
{
    if (!pool->list || !pool->list->count)
        return false;
    *walk = (struct endpoint_walk) { .list = endpoint_list_share(pool->list) };
    return true;
}

bool endpoint_walk_begin_at(struct endpoint_walk *walk, struct endpoint_pool *pool, size_t endpoint)
{
    if (!pool->list || endpoint >= pool->list->count)
        return false;
    *walk = (struct endpoint_walk) { .list = endpoint_list_share(pool->list),
                                     .tried = ~(UINT64_C(1) << endpoint) };
    return true;
}

/* The endpoints that are neither tried nor ejected; none when the pool's list is no longer the walk's
 * list. */
static uint64_t walk_available(const struct endpoint_walk *walk, const struct endpoint_pool *pool,
                               uint64_t now_ms)
{
    uint64_t available = 0;

    for (size_t i = 0; walk->list == pool->list && i < walk->list->count; i++) {
        if (!endpoint_is_ejected(pool, i, now_ms))
            available |= UINT64_C(1) << i;
    }
    return available & ~walk->tried;
}

static void ejection_publish(const struct endpoint_pool *pool, size_t at)
{
    endpoint_stats_eject(pool->list->endpoints[at].stats, pool->status[at].ejected_until_ms);
}

/* The endpoint of the lowest tier not tried yet whose ejection ends first; the list's count when all have
 * been tried. */
static size_t walk_last_resort(const struct endpoint_walk *walk, const struct endpoint_pool *pool)
{
    uint64_t members = lowest_tier(walk->list, ~walk->tried);
    size_t best = walk->list->count;

    for (size_t i = 0; i < walk->list->count; i++) {
        if (!(members & (UINT64_C(1) << i)))
            continue;
        if (best == walk->list->count ||
            (walk->list == pool->list &&
             pool->status[i].ejected_until_ms < pool->status[best].ejected_until_ms))
            best = i;
    }
    return best;
}

const struct endpoint *endpoint_walk_next(struct endpoint_walk *walk, struct endpoint_pool *pool,
                                          uint64_t now_ms)
{
    uint64_t available = walk_available(walk, pool, now_ms);
    size_t next =
        available ? weighted_next(pool, lowest_tier(walk->list, available)) : walk_last_resort(walk, pool);

    if (next == walk->list->count)
        return NULL;
    walk->current = next;
    walk->tried |= UINT64_C(1) << next;
    if (available && pool->status[next].failures) {
        pool->status[next].is_probed = true;
        pool->status[next].ejected_until_ms = now_ms + eject_ms(pool, pool->status[next].failures);
        ejection_publish(pool, next);
    }
    return &walk->list->endpoints[next];
}

void endpoint_walk_end(struct endpoint_walk *walk)
{
    endpoint_list_release(walk->list);
    walk->list = NULL;
}

/* What the pool knows of the walk's current endpoint; NULL when it is no longer in the pool's list. */
static struct endpoint_status *walk_status(const struct endpoint_walk *walk, const struct endpoint_pool *pool)
{
    size_t at = walk->list == pool->list
                    ? walk->current
                    : endpoint_list_find(pool->list, &walk->list->endpoints[walk->current]);

    return at < pool->list->count ? &pool->status[at] : NULL;
}

void endpoint_walk_report(const struct endpoint_walk *walk, struct endpoint_pool *pool,
                          enum endpoint_outcome outcome, uint64_t now_ms)
{
    struct endpoint_status *status = walk_status(walk, pool);

    if (!status)
        return;
    size_t at = (size_t)(status - pool->status);
    if (outcome == ENDPOINT_WORKED) {
        status->failures = 0;
        status->is_probed = false;
        status->ejected_until_ms = 0;
        ejection_publish(pool, at);
        return;
    }
    if (endpoint_is_ejected(pool, at, now_ms) && !status->is_probed)
        return;
    status->is_probed = false;
    status->failures += status->failures < UINT32_MAX;
    uint64_t duration_ms = eject_ms(pool, status->failures);
    /* Up to a quarter longer: workers that saw the same failure must not all dial again at the same time. */
    status->ejected_until_ms = now_ms + duration_ms + endpoint_pool_random(pool) % (duration_ms / 4 + 1);
    ejection_publish(pool, at);
}

void endpoint_walk_note_leaving(const struct endpoint_walk *walk, struct endpoint_pool *pool)
{
    struct endpoint_status *status = walk_status(walk, pool);

    if (!status)
        return;
    status->leaving++;
    status->left_as = ++pool->left_count;
}

void endpoint_walk_note_left(const struct endpoint_walk *walk, struct endpoint_pool *pool, uint64_t now_ms)
{
    struct endpoint_status *status = walk_status(walk, pool);

    /* The list may have lost the endpoint and got it again meanwhile. */
    if (!status || !status->leaving)
        return;
    status->leaving--;
    status->leaves_until_ms = now_ms + eject_ms(pool, 1);
}
