/* What is counted of one upstream address: connections by state, and whether it rests.
 *
 * Lists of endpoints come and go with the answers of DNS, and connections outlive them: tallies are shared by
 * all lists that have the address, and by the registry of them, which finds them again and is what a scrape
 * reads. The registry belongs to the control thread; the tallies are written by all workers. */
#ifndef HUSK_RELAY_ENDPOINT_TALLY_H
#define HUSK_RELAY_ENDPOINT_TALLY_H

#include "base/metrics.h"
#include "wire/address.h"

#include <stdatomic.h>
#include <stdint.h>

struct endpoint_tally {
    struct endpoint_metrics metrics; /* first */
    _Atomic unsigned references;
    struct socket_address address;
    char text[ADDRESS_TEXT_BYTES];
};

struct endpoint_tally *endpoint_tally_share(struct endpoint_tally *tally);
/* NULL is fine, here and below. */
void endpoint_tally_release(struct endpoint_tally *tally);

/* A connection has come into a state, or leaves it. */
void endpoint_tally_enter(struct endpoint_tally *tally, enum metrics_outlet_state state);
void endpoint_tally_leave(struct endpoint_tally *tally, enum metrics_outlet_state state);

/* It rests up to that moment of clock_monotonic_ms; 0: it does not. The newest news counts, whichever
 * worker's. */
void endpoint_tally_rest(struct endpoint_tally *tally, uint64_t until_ms);

/* ---- the control thread's registry ---- */

/* Zero-initialise. */
struct endpoint_tallies {
    struct endpoint_metrics *first; /* each in its tally; shared */
};

/* The address's tally, made if there is none yet. Borrowed; NULL when out of memory. */
struct endpoint_tally *endpoint_tallies_get(struct endpoint_tallies *tallies,
                                            const struct socket_address *address);
/* No address is listed any more, until endpoint_tally_list says so; tallies nobody else shares are dropped.
 */
void endpoint_tallies_unlist(struct endpoint_tallies *tallies);
void endpoint_tally_list(struct endpoint_tally *tally);
/* Safe on all zeros. */
void endpoint_tallies_deinit(struct endpoint_tallies *tallies);

#endif
