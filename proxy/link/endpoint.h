/* Where the upstream is: one resolved address each, with its health.
 *
 * A list is immutable and shared between threads; a pool is one worker's view of it: whose turn it is, and
 * which of them failed lately. Pure: opens nothing. */
#ifndef HUSK_LINK_ENDPOINT_H
#define HUSK_LINK_ENDPOINT_H

#include "link/endpoint_stats.h"
#include "wire/address.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ENDPOINTS_MAX = 64,        /* of all upstreams together */
    ENDPOINT_WEIGHT_UNIT = 100 /* one unit of the setting, so that SRV weights can be fractions of it */
};

struct endpoint {
    struct socket_address address;
    const char *server_name; /* what TLS must prove, unless the route says it; NULL: nothing is known. In a
                                list: the list's own */
    unsigned weight;         /* share of connections, among those of its tier; not 0 */
    unsigned tier;           /* one is used when all of the lower ones rest. 0: primary. Standby upstreams are
                                never in 0 */
    struct endpoint_stats *stats; /* what is counted of its address; NULL: nothing is. In a list: shared */
};

struct endpoint_list {
    _Atomic unsigned references;
    size_t count;
    struct endpoint endpoints[]; /* addresses are distinct */
};

/* One reference to a copy, names and shared stats_registry included, of at most ENDPOINTS_MAX; NULL when out
 * of memory. Addresses must be distinct. */
struct endpoint_list *endpoint_list_new(const struct endpoint *endpoints, size_t count);
struct endpoint_list *endpoint_list_share(struct endpoint_list *list);
/* The same endpoints in all they are, in whatever order. */
bool endpoint_list_equal(const struct endpoint_list *a, const struct endpoint_list *b);
/* Where the list has this address; its count when nowhere. */
size_t endpoint_list_find(const struct endpoint_list *list, const struct socket_address *address);
/* NULL is fine. */
void endpoint_list_release(struct endpoint_list *list);

/* What a worker found out about an endpoint by dialling. */
struct endpoint_status {
    uint64_t ejected_until_ms; /* clock_monotonic_ms; it waits behind those that need no rest */
    unsigned failures;         /* since it last worked */
    bool is_probed; /* its rest was over and one dial went out; the others wait for what comes of it */
    int64_t current_weight; /* the highest is next */
};

struct endpoint_pool {
    struct endpoint_list *list;          /* shared; NULL: not resolved yet */
    uint64_t eject_min_ms, eject_max_ms; /* after the first failure; it doubles up to the maximum */
    uint64_t random;                     /* state of xorshift64; 0: no jitter, and turns begin at the first */
    struct endpoint_status status[ENDPOINTS_MAX];
};

/* `seed` should differ between processes and workers: whose turn is first, and by how much rests are longer,
 * depends on it. 0 leaves nothing to chance. */
void endpoint_pool_init(struct endpoint_pool *pool, uint64_t eject_min_ms, uint64_t eject_max_ms,
                        uint64_t seed);
/* Takes over a reference to `list`; what is known of addresses that stay is kept. */
void endpoint_pool_replace(struct endpoint_pool *pool, struct endpoint_list *list);
void endpoint_pool_deinit(struct endpoint_pool *pool);

/* Chance, for jitter; 0 when the seed was 0. */
uint64_t endpoint_pool_random(struct endpoint_pool *pool);

/* Whether the endpoint at `at` of the pool's list failed lately, or is on trial. */
bool endpoint_is_ejected(const struct endpoint_pool *pool, size_t at, uint64_t now_ms);

/* One dial's walk over the pool: each endpoint at most once. First those that need no rest, the lowest tier
 * first, in a tier taking turns by weight (smooth weighted round-robin over all walks); then the resting
 * ones, by tier, the best available first. */
struct endpoint_walk {
    struct endpoint_list *list; /* shared for the length of the walk */
    uint64_t tried;             /* bit per endpoint */
    size_t current;             /* meaningful after a first endpoint_walk_next */
};

/* False when there is no endpoint to be tried. */
bool endpoint_walk_begin(struct endpoint_walk *walk, struct endpoint_pool *pool);
/* A walk of exactly one: the one at `endpoint` of the pool's list, available or not. It costs it no turn. */
bool endpoint_walk_begin_at(struct endpoint_walk *walk, struct endpoint_pool *pool, size_t endpoint);
/* The next endpoint, or NULL when all have been tried. Borrowed from the walk. One whose rest is over goes on
 * trial by this, and rests until endpoint_walk_report tells how it went, at most as long as the last time. */
const struct endpoint *endpoint_walk_next(struct endpoint_walk *walk, struct endpoint_pool *pool,
                                          uint64_t now_ms);
/* Safe on all zeros. */
void endpoint_walk_end(struct endpoint_walk *walk);

/* Files the outcome of the current endpoint, also when the list has been replaced meanwhile. Failures of a
 * resting endpoint that is not on trial tell nothing new and are not counted. */
enum endpoint_outcome { ENDPOINT_WORKED, ENDPOINT_FAILED };
void endpoint_walk_report(const struct endpoint_walk *walk, struct endpoint_pool *pool,
                          enum endpoint_outcome outcome, uint64_t now_ms);

#endif
