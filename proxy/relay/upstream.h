/* What is known of the upstream as a whole: its addresses, and whether it answers.
 *
 * Owns the resolver and the health probe; lives on the control thread's loop. Workers get the addresses as
 * letters; what they find out by dialling comes back as outcomes. */
#ifndef HUSK_RELAY_UPSTREAM_H
#define HUSK_RELAY_UPSTREAM_H

#include "base/fault.h"
#include "base/log.h"
#include "relay/endpoint.h"
#include "relay/health.h"
#include "wire/resolver.h"

#include <ev.h>

struct upstream_options {
    struct address address;
    struct resolver_options resolver;
    struct health_options health;
};

/* The addresses have changed; `list` is borrowed, NULL: the name does not resolve, and the last list stays in
 * force. */
typedef void upstream_on_endpoints(void *owner, struct endpoint_list *list);

struct upstream {
    const struct upstream_options *options; /* borrowed */
    struct log *log;                        /* borrowed */
    struct resolver *resolver;              /* NULL: a Unix path needs none */
    struct health health;
    struct endpoint_list *list; /* shared; NULL: none yet */
    const char *unresolved;     /* why the last look-up failed; NULL: it did not */
    upstream_on_endpoints *on_endpoints;
    void *owner;
};

/* Starts looking up and probing; on_endpoints may be called at once. */
MUST_CHECK bool upstream_open(struct upstream *upstream, struct ev_loop *loop,
                              const struct upstream_options *options, struct log *log,
                              upstream_on_endpoints *on_endpoints, void *owner, struct fault *fault);
/* Safe on all zeros. */
void upstream_close(struct upstream *upstream);

/* Looks the name up again and probes again, soon: a dial failed, or a reload asks for it. */
void upstream_refresh(struct upstream *upstream);

/* Appends why it is not ready, one line, to `text`; nothing when nothing is known against it. `dial_failure`
 * is what workers last found out, END_NONE for nothing bad. */
void upstream_describe(const struct upstream *upstream, enum end_reason dial_failure, char *text,
                       size_t size);

#endif
