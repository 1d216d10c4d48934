/* Finds the addresses of the upstream: the merged addresses of all --upstream settings, and whether one of
 * them answers a connect.
 *
 * Owns a resolver for each target, and the health probe; lives on the loop of the control thread. Knows
 * nothing of workers: `on_endpoints` tells its owner of new addresses. */
#ifndef HUSK_CONTROL_DISCOVERY_H
#define HUSK_CONTROL_DISCOVERY_H

#include "base/fault.h"
#include "base/log.h"
#include "control/health.h"
#include "link/endpoint.h"
#include "wire/resolver.h"

#include <ev.h>

enum { DISCOVERY_TARGETS_MAX = 64, DISCOVERY_WEIGHT_MAX = 1000 };

/* One --upstream. */
struct discovery_target {
    struct address address;
    unsigned weight; /* of each address of the target, 1 to DISCOVERY_WEIGHT_MAX; SRV weights divide the sum
                        anew */
    const char *server_name; /* borrowed: of each address of the target; NULL: the resolver tells */
    bool is_standby;         /* used only while no address of the other targets is usable */
};

struct discovery_options {
    const struct discovery_target *targets; /* borrowed */
    size_t target_count;                    /* 1 to DISCOVERY_TARGETS_MAX */
    bool has_tls;                           /* of each endpoint */
    struct resolver_options resolver;
    struct health_options health;
};

/* The addresses have changed. `list` is borrowed; NULL: no name resolves, and none has resolved before.
 * Standby addresses are published only once another target has an address or all look-ups have ended. */
typedef void discovery_on_endpoints(void *owner, struct endpoint_list *list);

/* The look-up of one target. */
struct discovery_lookup {
    struct discovery *discovery;           /* borrowed */
    const struct discovery_target *target; /* borrowed */
    struct resolver *resolver;             /* NULL: a Unix path needs none */
    bool has_answered;                     /* with addresses or with a failure */
    const char *unresolved;     /* why the last look-up failed; NULL: it succeeded, or is the first */
    struct endpoint_list *list; /* shared, tiers counted from 0; NULL: none yet */
    size_t left_out;            /* addresses beyond ENDPOINTS_MAX */
};

struct discovery {
    const char *route;                       /* borrowed: its name, for the log; NULL: none */
    const struct discovery_options *options; /* borrowed */
    struct log *log;                         /* borrowed */
    struct discovery_lookup *lookups;        /* owned: one for each target */
    struct health health;
    struct endpoint_list *list; /* shared: the addresses of all targets; NULL: none yet */
    struct endpoint_stats_registry stats_registry;
    size_t left_out; /* addresses beyond ENDPOINTS_MAX */
    discovery_on_endpoints *on_endpoints;
    void *owner;
};

struct discovery_setup {
    const char *route;                       /* borrowed: its name, for the log; NULL: none */
    const struct discovery_options *options; /* borrowed */
    struct log *log;                         /* borrowed */
    discovery_on_endpoints *on_endpoints;
    void *owner;
};

/* Makes ready to look up: what can fail. Nobody outside sees it. A target that does not resolve, or resolves
 * no more, does not affect the other targets, and keeps the addresses of its last answer. Close it also after
 * a failure. */
MUST_CHECK bool discovery_open(struct discovery *discovery, struct ev_loop *loop,
                               const struct discovery_setup *setup, struct fault *fault);
/* Begins to look up and to probe. Takes over the stats of `before`, which is closed afterwards, the
 * addresses of the targets that both have, and their health; NULL: there was no discovery before. `list` has
 * what is known now; on_endpoints follows only later. */
void discovery_begin(struct discovery *discovery, struct discovery *before);
/* Safe on all zeros. */
void discovery_close(struct discovery *discovery);

/* Looks the names up again, soon. */
void discovery_resolve(struct discovery *discovery);
/* As discovery_resolve, and also probes again. For use after a failed dial, or on a reload. */
void discovery_refresh(struct discovery *discovery);

#endif
