/* Where the upstream is: one resolved address each, with its health.
 *
 * A list is immutable and shared between threads; a pool is one worker's view of it: the order to try
 * addresses in, and which of them failed lately. Pure: opens nothing. */
#ifndef HUSK_RELAY_ENDPOINT_H
#define HUSK_RELAY_ENDPOINT_H

#include "wire/address.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct endpoint_list {
    _Atomic unsigned references;
    size_t count;
    struct socket_address addresses[];
};

/* One reference to a copy; NULL when out of memory. */
struct endpoint_list *endpoint_list_new(const struct socket_address *addresses, size_t count);
struct endpoint_list *endpoint_list_share(struct endpoint_list *list);
/* The same addresses, in whatever order. */
bool endpoint_list_equal(const struct endpoint_list *a, const struct endpoint_list *b);
/* NULL is fine. */
void endpoint_list_release(struct endpoint_list *list);

enum { ENDPOINTS_MAX = 64 };

struct endpoint_pool {
    struct endpoint_list *list; /* shared; NULL: not resolved yet */
    size_t next;                /* where the next dial begins: addresses take turns */
    uint64_t
        rested_until_ms[ENDPOINTS_MAX]; /* after a failure, an address waits for its turn behind the others */
};

/* An empty pool is all zeros. Takes over a reference to `list`; what is known of addresses that stay is kept.
 */
void endpoint_pool_replace(struct endpoint_pool *pool, struct endpoint_list *list);
void endpoint_pool_deinit(struct endpoint_pool *pool);

/* One dial's walk over the pool: each address at most once, rested ones last. */
struct endpoint_walk {
    struct endpoint_list *list; /* shared for the length of the walk */
    uint64_t tried;             /* bit per address */
    size_t start;
    size_t current;
};

/* False when there is no address to be tried. */
bool endpoint_walk_begin(struct endpoint_walk *walk, struct endpoint_pool *pool);
/* The next address, or NULL when all have been tried. Borrowed from the walk. */
const struct socket_address *endpoint_walk_next(struct endpoint_walk *walk, const struct endpoint_pool *pool,
                                                uint64_t now_ms);
void endpoint_walk_end(struct endpoint_walk *walk);

/* Files the outcome of the current address. */
enum endpoint_outcome { ENDPOINT_WORKED, ENDPOINT_FAILED };
void endpoint_walk_report(const struct endpoint_walk *walk, struct endpoint_pool *pool,
                          enum endpoint_outcome outcome, uint64_t now_ms, uint64_t rest_ms);

#endif
