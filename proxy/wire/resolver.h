/* Turns an upstream's name into socket addresses by c-ares, without ever blocking a loop: by A and AAAA
 * records, or by SRV records (RFC 2782) and those of their targets.
 *
 * Owns the c-ares channel and its watchers; lives on the control thread's loop. Names are looked up at start,
 * again when their TTL has passed (clamped to the options), and after a failure with a doubling, jittered
 * back-off. An answer is delivered whole; a failure leaves the last answer in force. */
#ifndef HUSK_WIRE_RESOLVER_H
#define HUSK_WIRE_RESOLVER_H

#include "base/fault.h"
#include "wire/address.h"

#include <ev.h>
#include <stddef.h>

enum { RESOLVER_ADDRESSES_MAX = 128 };

struct resolver_address {
    struct socket_address address; /* with its port */
    const char *host;              /* whose address it is: the name as written, or the SRV record's target */
    uint16_t priority, weight;     /* of the SRV record; 0 without */
};

struct resolver_options {
    const char *servers;   /* name servers, c-ares csv ("127.0.0.1:5353"), or NULL: the system's */
    unsigned min_ttl_ms;   /* floor under a record's TTL; not 0 */
    unsigned max_ttl_ms;   /* ceiling above it */
    unsigned retry_min_ms; /* first delay after a failure, not 0; doubles up to retry_max_ms */
    unsigned retry_max_ms;
};

/* `addresses` (borrowed for the call, with their hosts) are distinct and in the order to try them: by
 * priority, then as RFC 6724 says. What SRV targets fail to resolve is left out while another one resolves.
 * count 0 means failure and `why` (static text) says it in a few words, else `why` is NULL. Called on the
 * loop's thread, never from inside resolver_open or resolver_refresh; may close the resolver. */
typedef void resolver_on_answer(void *owner, const struct resolver_address *addresses, size_t count,
                                const char *why);

struct resolver; /* owned by its opener */

/* What to look up, how, and whom to tell. */
struct resolver_request {
    const struct address *address;          /* copied; not a Unix path */
    const struct resolver_options *options; /* copied */
    resolver_on_answer *on_answer;
    void *owner; /* borrowed: the first argument of on_answer */
};

/* Starts to look up the address of `request`. An IP address or localhost is answered once, from the loop,
 * without DNS. Returns NULL and a fault when c-ares does not start. */
MUST_CHECK struct resolver *resolver_open(struct ev_loop *loop, const struct resolver_request *request,
                                          struct fault *fault);

/* Stops; on_answer is not called any more. NULL is fine. */
void resolver_close(struct resolver *resolver);

/* Looks the name up again before its TTL has passed (all addresses failed, or a reload asks for it): at once,
 * or as soon as the last look-up began retry_min_ms ago. Does nothing while a look-up is under way or its
 * back-off runs. */
void resolver_refresh(struct resolver *resolver);

#endif
