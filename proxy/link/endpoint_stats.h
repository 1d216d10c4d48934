/* What is counted of one upstream address: connections by state, and whether it rests.
 *
 * Lists of endpoints come and go with the answers of DNS, and connections outlive them: stats_registry are
 * shared by all lists that have the address, and by the registry of them, which finds them again and is what
 * a scrape reads. The registry belongs to the control thread; the stats_registry are written by all workers.
 */
#ifndef HUSK_LINK_ENDPOINT_STATS_H
#define HUSK_LINK_ENDPOINT_STATS_H

#include "base/metrics.h"
#include "wire/address.h"

#include <stdatomic.h>
#include <stdint.h>

struct endpoint_stats {
    struct endpoint_metrics metrics; /* first */
    _Atomic unsigned references;
    struct socket_address address;
    char text[ADDRESS_TEXT_BYTES];
};

struct endpoint_stats *endpoint_stats_share(struct endpoint_stats *stats);
/* NULL is fine, here and below. */
void endpoint_stats_release(struct endpoint_stats *stats);

/* A connection has come into a state, or leaves it. */
void endpoint_stats_enter(struct endpoint_stats *stats, enum metrics_outlet_state state);
void endpoint_stats_leave(struct endpoint_stats *stats, enum metrics_outlet_state state);

/* It rests up to that moment of clock_monotonic_ms; 0: it does not. The newest news counts, whichever
 * worker's. */
void endpoint_stats_eject(struct endpoint_stats *stats, uint64_t until_ms);

/* ---- the control thread's registry ---- */

/* Zero-initialise. */
struct endpoint_stats_registry {
    struct endpoint_metrics *first; /* each in its stats; shared */
};

/* The address's stats, made if there is none yet. Borrowed; NULL when out of memory. */
struct endpoint_stats *endpoint_stats_registry_get(struct endpoint_stats_registry *stats_registry,
                                                   const struct socket_address *address);
/* No address is listed any more, until endpoint_stats_list says so; stats_registry nobody else shares are
 * dropped.
 */
void endpoint_stats_registry_unlist(struct endpoint_stats_registry *stats_registry);
void endpoint_stats_list(struct endpoint_stats *stats);
/* Safe on all zeros. */
void endpoint_stats_registry_deinit(struct endpoint_stats_registry *stats_registry);

#endif
