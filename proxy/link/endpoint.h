/* The endpoints of an upstream, with their health.
 *
 * An endpoint is one resolved address together with the server name that husk asks for at this address: an
 * SNI router has one address and sends each name to another server. A list of endpoints is immutable and
 * shared between threads. A pool is one worker's view of a list: the order in which the worker dials the
 * endpoints, and which of them failed. Pure: opens nothing. */
#ifndef HUSK_LINK_ENDPOINT_H
#define HUSK_LINK_ENDPOINT_H

#include "base/fault.h"
#include "link/endpoint_stats.h"
#include "wire/address.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ENDPOINTS_MAX = 64,        /* in a list, for all upstreams together */
    ENDPOINT_WEIGHT_UNIT = 100 /* weight=1 of --upstream; SRV weights divide it */
};

struct endpoint {
    struct socket_address address;
    const char *server_name; /* the name in SNI and in the certificate; NULL: husk asks for --server-name, or
                                for no name (no TLS). A list owns its names */
    bool has_tls;    /* the route had TLS on the upstream side when it asked for this endpoint: husk sends it
                        nothing in plaintext */
    unsigned weight; /* share of the connections among the endpoints of its tier; not 0 */
    unsigned tier; /* 0: primary. A tier is used while all endpoints of lower tiers are ejected. The tier of a
                      standby upstream is never 0 */
    struct endpoint_stats *stats; /* NULL: nothing is counted. A list shares its stats */
};

struct endpoint_list {
    _Atomic unsigned references;
    size_t count;
    struct endpoint endpoints[]; /* distinct by endpoint_is_same */
};

/* Whether both have the same address, and names for which server_name_equal is true. Weight and tier do not
 * matter. */
bool endpoint_is_same(const struct endpoint *a, const struct endpoint *b);

/* Copies `endpoints` and their names, at most ENDPOINTS_MAX, and shares their stats. The endpoints must be
 * distinct. Returns one reference; NULL when out of memory. */
struct endpoint_list *endpoint_list_new(const struct endpoint *endpoints, size_t count);
struct endpoint_list *endpoint_list_share(struct endpoint_list *list);
/* Whether both lists have the same endpoints with the same weights and tiers, in any order. */
bool endpoint_list_equal(const struct endpoint_list *a, const struct endpoint_list *b);
/* The index of the same endpoint in `list`; the list's count if there is none. */
size_t endpoint_list_find(const struct endpoint_list *list, const struct endpoint *endpoint);
/* NULL is allowed. */
void endpoint_list_release(struct endpoint_list *list);

/* What a worker knows about an endpoint from dialling it. */
struct endpoint_status {
    uint64_t ejected_until_ms; /* clock_monotonic_ms; until then it is dialled last */
    unsigned failures;         /* since the last success */
    bool is_probed; /* one dial tries it after an ejection; for other dials it stays ejected until the result
                       is known */
    int64_t current_weight; /* for the round-robin: the highest is next */

    /* The endpoint leaves, because the husk there stops, while it has a connection that has said so, and then
     * until leaves_until_ms. */
    unsigned leaving;         /* such connections */
    unsigned left_as;         /* the number of the last one, counted over all endpoints */
    uint64_t leaves_until_ms; /* clock_monotonic_ms */
};

struct endpoint_pool {
    struct endpoint_list *list;          /* shared; NULL: not resolved yet */
    uint64_t eject_min_ms, eject_max_ms; /* after one failure; doubles up to the maximum */
    uint64_t random;                     /* state of xorshift64; 0: no jitter and a fixed order */
    unsigned left_count;                 /* connections so far that have said that their endpoint leaves */
    struct endpoint_status *status;      /* owned: one for each endpoint of the list */
};

/* `seed` should differ between processes and workers: the order of endpoints and the jitter of ejections
 * depend on it. 0: no randomness. */
void endpoint_pool_init(struct endpoint_pool *pool, uint64_t eject_min_ms, uint64_t eject_max_ms,
                        uint64_t seed);
/* For ejections from now on. */
void endpoint_pool_set_ejection(struct endpoint_pool *pool, uint64_t eject_min_ms, uint64_t eject_max_ms);
/* Replaces the list. Takes over the caller's reference to `list`, also on failure. Endpoints that stay keep
 * their health. False when out of memory: the pool keeps the list that it has. */
MUST_CHECK bool endpoint_pool_replace(struct endpoint_pool *pool, struct endpoint_list *list);
void endpoint_pool_deinit(struct endpoint_pool *pool);

/* A pseudo-random number; 0 if the seed was 0. */
uint64_t endpoint_pool_random(struct endpoint_pool *pool);

/* Whether the endpoint at index `at` of the pool's list is ejected, or is tried by one dial after an
 * ejection. */
bool endpoint_is_ejected(const struct endpoint_pool *pool, size_t at, uint64_t now_ms);
/* Whether the endpoint at index `at` has failed since its last success. False for an index beyond the list.
 */
bool endpoint_has_failed(const struct endpoint_pool *pool, size_t at);
/* The tier of the endpoint at index `at` of the pool's list. While the endpoint leaves, its tier is after the
 * tiers of all others: other endpoints, also standbys, are used while one of them works. Of several endpoints
 * that leave, the one that has said so last comes last, standby or not: the others may be back. */
unsigned endpoint_tier(const struct endpoint_pool *pool, size_t at, uint64_t now_ms);

/* The order in which one dial tries the endpoints of a pool, each at most once. First come the endpoints that
 * are not ejected: the lowest tier first, and within a tier by weight (smooth weighted round-robin over all
 * walks). Then come the ejected endpoints: the lowest tier first, and within a tier the one whose ejection
 * ends first. */
struct endpoint_walk {
    struct endpoint_list *list; /* shared until endpoint_walk_end */
    uint64_t tried;             /* one bit per endpoint */
    size_t current;             /* index that endpoint_walk_next returned last */
};

/* False when the pool has no endpoint. */
bool endpoint_walk_begin(struct endpoint_walk *walk, struct endpoint_pool *pool);
/* Begins a walk over one endpoint alone, ejected or not: the one at index `endpoint` of the pool's list. The
 * walk does not change the round-robin. False when there is no such endpoint. */
bool endpoint_walk_begin_at(struct endpoint_walk *walk, struct endpoint_pool *pool, size_t endpoint);
/* The next endpoint, borrowed from the walk; NULL when all have been tried. An endpoint whose ejection is
 * over is tried by one dial only: it counts as ejected again until endpoint_walk_report, or for the time of
 * its last ejection. */
const struct endpoint *endpoint_walk_next(struct endpoint_walk *walk, struct endpoint_pool *pool,
                                          uint64_t now_ms);
/* Safe on all zeros. */
void endpoint_walk_end(struct endpoint_walk *walk);

/* Records the outcome for the current endpoint, also after the pool's list was replaced. A failure of an
 * ejected endpoint is not counted, unless this dial tries the endpoint after its ejection. */
enum endpoint_outcome { ENDPOINT_WORKED, ENDPOINT_FAILED };
void endpoint_walk_report(const struct endpoint_walk *walk, struct endpoint_pool *pool,
                          enum endpoint_outcome outcome, uint64_t now_ms);
/* A connection to the current endpoint has said that the husk there stops. Call endpoint_walk_note_left at
 * the end of this connection: the endpoint leaves until then and for as long as an ejection after one
 * failure. */
void endpoint_walk_note_leaving(const struct endpoint_walk *walk, struct endpoint_pool *pool);
void endpoint_walk_note_left(const struct endpoint_walk *walk, struct endpoint_pool *pool, uint64_t now_ms);

#endif
