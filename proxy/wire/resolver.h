/* Resolves an upstream's name to socket addresses with c-ares, without blocking the loop: by A and AAAA
 * records, or by SRV records (RFC 2782) and the addresses of their targets.
 *
 * Owns the c-ares channel and its watchers; lives on the control thread's loop. Resolves a name at start,
 * again when its TTL has passed (clamped to the options), and after a failure with a doubling back-off and
 * jitter. An answer is always complete; a failure does not replace the last answer. */
#ifndef HUSK_WIRE_RESOLVER_H
#define HUSK_WIRE_RESOLVER_H

#include "base/fault.h"
#include "wire/address.h"

#include <ev.h>
#include <stddef.h>

enum { RESOLVER_ADDRESSES_MAX = 128 };

struct resolver_address {
    struct socket_address address; /* with its port */
    const char *host; /* the name the address belongs to: as written, or the target of the SRV record. NULL
                         with RESOLVER_DROP_HOSTS */
    uint16_t priority, weight; /* of the SRV record; 0 without SRV */
};

/* Whether an answer has the hosts of its addresses. */
enum resolver_hosts {
    RESOLVER_DROP_HOSTS, /* no: each address and port occurs once */
    RESOLVER_KEEP_HOSTS, /* yes: each address and port occurs once for each host (server_name_equal) */
};

struct resolver_options {
    enum resolver_hosts hosts;
    const char *servers;   /* name servers as c-ares takes them ("127.0.0.1:5353"); NULL: the system's */
    unsigned min_ttl_ms;   /* lower limit of a TTL; not 0 */
    unsigned max_ttl_ms;   /* upper limit of a TTL */
    unsigned retry_min_ms; /* first delay after a failure, not 0; doubles up to retry_max_ms */
    unsigned retry_max_ms;
};

/* Reports an answer. `addresses` and their hosts are borrowed during the call. No two addresses are equal in
 * both address and host. The addresses are ordered by priority, then by RFC 6724. A v4-mapped address is
 * reported as IPv4. SRV targets that do not resolve are left out if another one resolves. On failure `count`
 * is 0 and `why` is static text of a few words; else `why` is NULL. Called on the loop's thread, never from
 * inside resolver_open or resolver_refresh. May close the resolver. */
typedef void resolver_on_answer(void *owner, const struct resolver_address *addresses, size_t count,
                                const char *why);

struct resolver; /* owned by its opener */

/* What to resolve, how, and whom to tell. */
struct resolver_request {
    const struct address *address;          /* copied; not a Unix path */
    const struct resolver_options *options; /* copied */
    resolver_on_answer *on_answer;
    void *owner; /* borrowed: the first argument of on_answer */
};

/* Starts to resolve the address of `request`. Answers an IP address or localhost once, from the loop, without
 * DNS. Returns NULL and a fault if c-ares does not start. */
MUST_CHECK struct resolver *resolver_open(struct ev_loop *loop, const struct resolver_request *request,
                                          struct fault *fault);

/* Stops; on_answer is not called any more. NULL is fine. */
void resolver_close(struct resolver *resolver);

/* Resolves the name again before its TTL has passed, because all addresses failed or a reload asks for it: at
 * once, but not within retry_min_ms of the start of the last look-up. Does nothing during a look-up and
 * during a back-off. */
void resolver_refresh(struct resolver *resolver);

#endif
