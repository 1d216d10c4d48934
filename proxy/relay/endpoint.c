#include "relay/endpoint.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct endpoint_list *endpoint_list_new(const struct socket_address *addresses, size_t count)
{
    if (count > ENDPOINTS_MAX)
        count = ENDPOINTS_MAX;
    struct endpoint_list *list = malloc(sizeof *list + count * sizeof list->addresses[0]);
    if (!list)
        return NULL;
    atomic_init(&list->references, 1);
    list->count = count;
    if (count)
        memcpy(list->addresses, addresses, count * sizeof list->addresses[0]);
    return list;
}

struct endpoint_list *endpoint_list_share(struct endpoint_list *list)
{
    atomic_fetch_add_explicit(&list->references, 1, memory_order_relaxed);
    return list;
}

void endpoint_list_release(struct endpoint_list *list)
{
    if (list && atomic_fetch_sub_explicit(&list->references, 1, memory_order_acq_rel) == 1)
        free(list);
}

static bool address_equal(const struct socket_address *a, const struct socket_address *b)
{
    return a->length == b->length && memcmp(&a->storage, &b->storage, a->length) == 0;
}

/* Where the list has this address; its count when nowhere. */
static size_t list_find(const struct endpoint_list *list, const struct socket_address *address)
{
    size_t at = 0;

    while (at < list->count && !address_equal(&list->addresses[at], address))
        at++;
    return at;
}

bool endpoint_list_equal(const struct endpoint_list *a, const struct endpoint_list *b)
{
    for (size_t i = 0; i < a->count; i++) {
        if (list_find(b, &a->addresses[i]) == b->count)
            return false;
    }
    return a->count == b->count;
}

void endpoint_pool_replace(struct endpoint_pool *pool, struct endpoint_list *list)
{
    struct endpoint_pool fresh = { .list = list };

    for (size_t i = 0; pool->list && i < list->count; i++) {
        size_t before = list_find(pool->list, &list->addresses[i]);
        if (before < pool->list->count)
            fresh.rested_until_ms[i] = pool->rested_until_ms[before];
    }
    endpoint_list_release(pool->list);
    *pool = fresh;
}

void endpoint_pool_deinit(struct endpoint_pool *pool)
{
    endpoint_list_release(pool->list);
    *pool = (struct endpoint_pool) { 0 };
}

bool endpoint_walk_begin(struct endpoint_walk *walk, struct endpoint_pool *pool)
{
    if (!pool->list || !pool->list->count)
        return false;
    *walk = (struct endpoint_walk) { .list = endpoint_list_share(pool->list), .start = pool->next };
    pool->next = (pool->next + 1) % pool->list->count;
    return true;
}

/* The first untried address from the start on that needs no rest after `rested_by_ms`. */
static bool walk_find(struct endpoint_walk *walk, const struct endpoint_pool *pool, uint64_t rested_by_ms)
{
    bool same_list = pool->list == walk->list;

    for (size_t i = 0; i < walk->list->count; i++) {
        size_t at = (walk->start + i) % walk->list->count;
        if (walk->tried & (UINT64_C(1) << at))
            continue;
        if (!same_list || pool->rested_until_ms[at] <= rested_by_ms) {
            walk->current = at;
            return true;
        }
    }
    return false;
}

const struct socket_address *endpoint_walk_next(struct endpoint_walk *walk, const struct endpoint_pool *pool,
                                                uint64_t now_ms)
{
    if (!walk_find(walk, pool, now_ms) && !walk_find(walk, pool, UINT64_MAX))
        return NULL;
    walk->tried |= UINT64_C(1) << walk->current;
    return &walk->list->addresses[walk->current];
}

void endpoint_walk_end(struct endpoint_walk *walk)
{
    endpoint_list_release(walk->list);
    walk->list = NULL;
}

void endpoint_walk_report(const struct endpoint_walk *walk, struct endpoint_pool *pool,
                          enum endpoint_outcome outcome, uint64_t now_ms, uint64_t rest_ms)
{
    if (pool->list == walk->list)
        pool->rested_until_ms[walk->current] = outcome == ENDPOINT_FAILED ? now_ms + rest_ms : 0;
}
