/* What is known of the upstream as a whole: its addresses, from all places it was said to be at, and whether
 * it answers.
 *
 * Owns a resolver for each place, and the health probe; lives on the control thread's loop. Workers get the
 * addresses as letters; what they find out by dialling comes back as outcomes. */
#ifndef HUSK_RELAY_UPSTREAM_H
#define HUSK_RELAY_UPSTREAM_H

#include "base/fault.h"
#include "base/log.h"
#include "relay/endpoint.h"
#include "relay/health.h"
#include "wire/resolver.h"

#include <ev.h>

enum { UPSTREAM_PLACES_MAX = 64, UPSTREAM_WEIGHT_MAX = 1000 };

/* One --upstream. */
struct upstream_place {
    struct address address;
    unsigned weight; /* of each of its addresses; SRV weights share out the sum anew. 1 to
                        UPSTREAM_WEIGHT_MAX */
    bool is_standby; /* used only when no address of the others is usable */
};

struct upstream_options {
    const struct upstream_place *places; /* borrowed */
    size_t place_count;                  /* 1 to UPSTREAM_PLACES_MAX */
    struct resolver_options resolver;
    struct health_options health;
};

/* The addresses have changed; `list` is borrowed, NULL: no name resolves, and there is no list yet. Standby
 * addresses are not told before some of the others are known, or known not to be. */
typedef void upstream_on_endpoints(void *owner, struct endpoint_list *list);

struct upstream {
    const struct upstream_options *options; /* borrowed */
    struct log *log;                        /* borrowed */
    struct upstream_source *sources;        /* owned: one for each place */
    struct health health;
    struct endpoint_list *list; /* shared; NULL: none yet */
    size_t left_out;            /* addresses beyond ENDPOINTS_MAX */
    upstream_on_endpoints *on_endpoints;
    void *owner;
};

/* Starts looking up and probing; on_endpoints may be called at once. A place that does not resolve, or not
 * any more, hides nothing of the others; its last addresses stay in force. */
MUST_CHECK bool upstream_open(struct upstream *upstream, struct ev_loop *loop,
                              const struct upstream_options *options, struct log *log,
                              upstream_on_endpoints *on_endpoints, void *owner, struct fault *fault);
/* Safe on all zeros. */
void upstream_close(struct upstream *upstream);

/* Looks the names up again and probes again, soon: a dial failed, or a reload asks for it. */
void upstream_refresh(struct upstream *upstream);

/* Appends why it is not ready to `text`: one line, or one for each name that does not resolve; nothing when
 * nothing is known against it. `dial_failure` is what workers last found out, END_NONE for nothing bad. */
void upstream_describe(const struct upstream *upstream, enum end_reason dial_failure, char *text,
                       size_t size);

#endif
