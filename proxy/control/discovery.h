/* What is known of the upstream as a whole: its addresses, from all places it was said to be at, and whether
 * it answers.
 *
 * Owns a resolver for each place, and the health probe; lives on the control thread's loop. Workers get the
 * addresses as letters; what they find out by dialling comes back as outcomes. */
#ifndef HUSK_CONTROL_DISCOVERY_H
#define HUSK_CONTROL_DISCOVERY_H

#include "base/fault.h"
#include "base/log.h"
#include "link/endpoint.h"
#include "control/health.h"
#include "wire/resolver.h"

#include <ev.h>

enum { DISCOVERY_TARGETS_MAX = 64, DISCOVERY_WEIGHT_MAX = 1000 };

/* One --upstream. */
struct discovery_target {
    struct address address;
    unsigned weight; /* of each of its addresses; SRV weights share out the sum anew. 1 to
                        DISCOVERY_WEIGHT_MAX */
    bool is_standby; /* used only when no address of the others is usable */
};

struct discovery_options {
    const struct discovery_target *places; /* borrowed */
    size_t place_count;                  /* 1 to DISCOVERY_TARGETS_MAX */
    struct resolver_options resolver;
    struct health_options health;
};

/* The addresses have changed; `list` is borrowed, NULL: no name resolves, and there is no list yet. Standby
 * addresses are not told before some of the others are known, or known not to be. */
typedef void discovery_on_endpoints(void *owner, struct endpoint_list *list);

/* What is known of one place. */
struct discovery_source {
    struct discovery *upstream;          /* borrowed */
    const struct discovery_target *place; /* borrowed */
    struct resolver *resolver;          /* NULL: a Unix path needs none */
    bool has_answered;                  /* well or badly */
    const char *unresolved;             /* why the last look-up failed; NULL: it did not */
    struct endpoint_list *list;         /* shared, tiers counted from 0; NULL: none yet */
    size_t left_out;                    /* addresses it did not take */
};

struct discovery {
    const struct discovery_options *options; /* borrowed */
    struct log *log;                        /* borrowed */
    struct discovery_source *sources;        /* owned: one for each place */
    struct health health;
    struct endpoint_list *list; /* shared; NULL: none yet */
    struct endpoint_stats_registry stats_registry;
    size_t left_out; /* addresses beyond ENDPOINTS_MAX */
    discovery_on_endpoints *on_endpoints;
    void *owner;
};

/* Starts looking up and probing; on_endpoints may be called at once. A place that does not resolve, or not
 * any more, hides nothing of the others; its last addresses stay in force. */
MUST_CHECK bool discovery_open(struct discovery *upstream, struct ev_loop *loop,
                              const struct discovery_options *options, struct log *log,
                              discovery_on_endpoints *on_endpoints, void *owner, struct fault *fault);
/* Safe on all zeros. */
void discovery_close(struct discovery *upstream);

/* Looks the names up again and probes again, soon: a dial failed, or a reload asks for it. */
void discovery_refresh(struct discovery *upstream);

/* What workers last found out by dialling, or by a connection that broke; all zeros: nothing, or too long
 * ago. */
struct discovery_dial {
    enum end_reason outcome; /* END_NONE: it went well */
    uint64_t at_ms;          /* clock_monotonic_ms */
};

/* What speaks against it; END_NONE: nothing, also while nothing is known yet. The newest news counts, be
 * it a probe's or a dial's; but what a dial found out beyond absence, such as a refused certificate, no probe
 * can disprove. */
enum end_reason discovery_failure(const struct discovery *upstream, const struct discovery_dial *dial);

/* Appends why it is not ready to `text`: its failure, one line for each name that does not resolve while none
 * does, or that nothing is known yet; nothing when it is ready. */
void discovery_describe(const struct discovery *upstream, const struct discovery_dial *dial, char *text,
                       size_t size);

#endif
