/* Counts the connections of one endpoint by state, and tells whether the endpoint is ejected.
 *
 * The stats of an endpoint live longer than a list of endpoints: lists change with the answers of DNS. All
 * lists that have the endpoint share its stats, and so does the registry, which finds the stats again and
 * which a scrape reads. The registry belongs to the control thread; all workers write the stats. */
#ifndef HUSK_LINK_ENDPOINT_STATS_H
#define HUSK_LINK_ENDPOINT_STATS_H

#include "base/metrics.h"
#include "wire/address.h"

#include <stdatomic.h>
#include <stdint.h>

enum endpoint_proof {
    ENDPOINT_UNPROVEN, /* no connection has succeeded or failed yet */
    ENDPOINT_PROVEN,
    ENDPOINT_FAILING,
};

struct endpoint_stats {
    struct endpoint_metrics metrics; /* first */
    _Atomic unsigned references;
    _Atomic int proof; /* enum endpoint_proof: what connections of all workers have shown last */
    struct socket_address address;
    char text[ADDRESS_TEXT_BYTES];
    char server_name[]; /* a copy; metrics.server_name is NULL if there is none */
};

struct endpoint_stats *endpoint_stats_share(struct endpoint_stats *stats);
/* NULL is allowed, here and below. */
void endpoint_stats_release(struct endpoint_stats *stats);

/* A connection enters or leaves a state. */
void endpoint_stats_enter(struct endpoint_stats *stats, enum metrics_outlet_state state);
void endpoint_stats_leave(struct endpoint_stats *stats, enum metrics_outlet_state state);

/* The endpoint is ejected until `until_ms` (clock_monotonic_ms); 0: it is not. The last call of any worker
 * counts. */
void endpoint_stats_eject(struct endpoint_stats *stats, uint64_t until_ms);

/* A connection has proved that the endpoint works. Returns what was known before; ENDPOINT_PROVEN without
 * stats. */
enum endpoint_proof endpoint_stats_note_success(struct endpoint_stats *stats);
/* A dial or a connection has failed for a reason of the endpoint. */
void endpoint_stats_note_failure(struct endpoint_stats *stats);

/* The endpoint has acknowledged or refused a message. Returns the state before the call. */
enum metrics_acks endpoint_stats_note_ack(struct endpoint_stats *stats);
/* A connection has proved that the program at the endpoint reads messages and acknowledges none. True when
 * this connection makes the state METRICS_ACKS_NEVER: it is number `needed` of all workers, and no ack has
 * come. */
bool endpoint_stats_note_proof(struct endpoint_stats *stats, unsigned needed);
/* NULL: METRICS_ACKS_UNKNOWN. */
enum metrics_acks endpoint_stats_acks(const struct endpoint_stats *stats);

/* ---- the control thread's registry ---- */

/* Zero-initialise. */
struct endpoint_stats_registry {
    struct endpoint_metrics *first; /* a list of the metrics inside the stats; shared */
};

/* The stats of the endpoint with this address and name (NULL: none); makes them if there are none. Names are
 * compared by server_name_equal. Borrowed; NULL when out of memory. */
struct endpoint_stats *endpoint_stats_registry_get(struct endpoint_stats_registry *registry,
                                                   const struct socket_address *address,
                                                   const char *server_name);
/* Marks all endpoints as not listed; endpoint_stats_list marks an endpoint as listed again. Frees stats that
 * only the registry shares. */
void endpoint_stats_registry_unlist(struct endpoint_stats_registry *registry);
void endpoint_stats_list(struct endpoint_stats *stats);
/* Safe on all zeros. */
void endpoint_stats_registry_deinit(struct endpoint_stats_registry *registry);

#endif
