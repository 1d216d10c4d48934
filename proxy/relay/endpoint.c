#include "relay/endpoint.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { SPINS_MAX = 256 };

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
        if (endpoints[i].tally)
            endpoint_tally_share(endpoints[i].tally);
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
        endpoint_tally_release(list->endpoints[i].tally);
    free(list);
}

size_t endpoint_list_find(const struct endpoint_list *list, const struct socket_address *address)
{
    size_t at = 0;

    while (at < list->count && !socket_address_equal(&list->endpoints[at].address, address))
        at++;
    return at;
}

/* All but the address. */
static bool traits_equal(const struct endpoint *a, const struct endpoint *b)
{
    if (a->weight != b->weight || a->tier != b->tier || !a->server_name != !b->server_name)
        return false;
    return !a->server_name || strcmp(a->server_name, b->server_name) == 0;
}

bool endpoint_list_equal(const struct endpoint_list *a, const struct endpoint_list *b)
{
    for (size_t i = 0; i < a->count; i++) {
        size_t at = endpoint_list_find(b, &a->endpoints[i].address);
        if (at == b->count || !traits_equal(&a->endpoints[i], &b->endpoints[at]))
            return false;
    }
    return a->count == b->count;
}

/* ---- whose turn it is ---- */

uint64_t endpoint_pool_random(struct endpoint_pool *pool)
{
    pool->random ^= pool->random << 13;
    pool->random ^= pool->random >> 7;
    pool->random ^= pool->random << 17;
    return pool->random;
}

/* Smooth weighted round-robin: all candidates gain by their weight, and who is ahead pays what all gained. */
static size_t turn_take(struct endpoint_pool *pool, uint64_t candidates)
{
    size_t next = pool->list->count;
    int64_t gained = 0;

    for (size_t i = 0; i < pool->list->count; i++) {
        if (!(candidates & (UINT64_C(1) << i)))
            continue;
        pool->standing[i].turn += pool->list->endpoints[i].weight;
        gained += pool->list->endpoints[i].weight;
        if (next == pool->list->count || pool->standing[i].turn > pool->standing[next].turn)
            next = i;
    }
    if (gained)
        pool->standing[next].turn -= gained;
    return next;
}

/* Those of the lowest tier that is among `wanted`. */
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

/* Many processes that know the same list must not all begin with the same endpoint. */
static void turns_spin(struct endpoint_pool *pool)
{
    uint64_t left = UINT64_MAX, members;

    while ((members = lowest_tier(pool->list, left))) {
        left &= ~members;
        for (uint64_t spins = endpoint_pool_random(pool) % SPINS_MAX; spins; spins--)
            turn_take(pool, members);
    }
}

/* ---- pools ---- */

void endpoint_pool_init(struct endpoint_pool *pool, uint64_t rest_min_ms, uint64_t rest_max_ms, uint64_t seed)
{
    *pool = (struct endpoint_pool) {
        .rest_min_ms = rest_min_ms,
        .rest_max_ms = rest_max_ms,
        .random = seed,
    };
}

void endpoint_pool_replace(struct endpoint_pool *pool, struct endpoint_list *list)
{
    struct endpoint_standing before[ENDPOINTS_MAX];
    struct endpoint_list *old = pool->list;

    memcpy(before, pool->standing, sizeof before);
    memset(pool->standing, 0, sizeof pool->standing);
    pool->list = list;
    for (size_t i = 0; old && i < list->count; i++) {
        size_t at = endpoint_list_find(old, &list->endpoints[i].address);
        if (at == old->count)
            continue;
        pool->standing[i] = before[at];
        pool->standing[i].turn = 0;
    }
    endpoint_list_release(old);
    turns_spin(pool);
}

void endpoint_pool_deinit(struct endpoint_pool *pool)
{
    endpoint_list_release(pool->list);
    *pool = (struct endpoint_pool) { 0 };
}

bool endpoint_is_resting(const struct endpoint_pool *pool, size_t at, uint64_t now_ms)
{
    return now_ms < pool->standing[at].rested_until_ms;
}

/* Without jitter. */
static uint64_t rest_ms(const struct endpoint_pool *pool, unsigned failures)
{
    uint64_t rest = pool->rest_min_ms;

    for (; failures > 1 && rest && rest < pool->rest_max_ms; failures--)
        rest *= 2;
    return rest < pool->rest_max_ms ? rest : pool->rest_max_ms;
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

/* Endpoints not tried yet that need no rest; none when the walk's list is no longer the pool's. */
static uint64_t walk_rested(const struct endpoint_walk *walk, const struct endpoint_pool *pool,
                            uint64_t now_ms)
{
    uint64_t rested = 0;

    for (size_t i = 0; walk->list == pool->list && i < walk->list->count; i++) {
        if (!endpoint_is_resting(pool, i, now_ms))
            rested |= UINT64_C(1) << i;
    }
    return rested & ~walk->tried;
}

static void rest_tell(const struct endpoint_pool *pool, size_t at)
{
    endpoint_tally_rest(pool->list->endpoints[at].tally, pool->standing[at].rested_until_ms);
}

/* The best rested one of the lowest tier not tried yet; the list's count when all have been. */
static size_t walk_last_resort(const struct endpoint_walk *walk, const struct endpoint_pool *pool)
{
    uint64_t members = lowest_tier(walk->list, ~walk->tried);
    size_t best = walk->list->count;

    for (size_t i = 0; i < walk->list->count; i++) {
        if (!(members & (UINT64_C(1) << i)))
            continue;
        if (best == walk->list->count ||
            (walk->list == pool->list &&
             pool->standing[i].rested_until_ms < pool->standing[best].rested_until_ms))
            best = i;
    }
    return best;
}

const struct endpoint *endpoint_walk_next(struct endpoint_walk *walk, struct endpoint_pool *pool,
                                          uint64_t now_ms)
{
    uint64_t rested = walk_rested(walk, pool, now_ms);
    size_t next = rested ? turn_take(pool, lowest_tier(walk->list, rested)) : walk_last_resort(walk, pool);

    if (next == walk->list->count)
        return NULL;
    walk->current = next;
    walk->tried |= UINT64_C(1) << next;
    if (rested && pool->standing[next].failures) {
        pool->standing[next].on_trial = true;
        pool->standing[next].rested_until_ms = now_ms + rest_ms(pool, pool->standing[next].failures);
        rest_tell(pool, next);
    }
    return &walk->list->endpoints[next];
}

void endpoint_walk_end(struct endpoint_walk *walk)
{
    endpoint_list_release(walk->list);
    walk->list = NULL;
}

void endpoint_walk_report(const struct endpoint_walk *walk, struct endpoint_pool *pool,
                          enum endpoint_outcome outcome, uint64_t now_ms)
{
    size_t at = walk->list == pool->list
                    ? walk->current
                    : endpoint_list_find(pool->list, &walk->list->endpoints[walk->current].address);

    if (at == pool->list->count)
        return;
    struct endpoint_standing *standing = &pool->standing[at];
    if (outcome == ENDPOINT_WORKED) {
        *standing = (struct endpoint_standing) { .turn = standing->turn };
        rest_tell(pool, at);
        return;
    }
    if (endpoint_is_resting(pool, at, now_ms) && !standing->on_trial)
        return;
    standing->on_trial = false;
    standing->failures += standing->failures < UINT32_MAX;
    uint64_t rest = rest_ms(pool, standing->failures);
    /* Up to a quarter longer, so that many that saw it fail do not come back in step. */
    standing->rested_until_ms = now_ms + rest + endpoint_pool_random(pool) % (rest / 4 + 1);
    rest_tell(pool, at);
}
