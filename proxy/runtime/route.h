/* The options of a route: limits and deadlines of its connections, the same for every worker.
 *
 * Pure data, made from the settings and never changed. The mode (client or server) is not here: it decides
 * only which side has credentials. */
#ifndef HUSK_RUNTIME_ROUTE_H
#define HUSK_RUNTIME_ROUTE_H

#include "base/end_reason.h"
#include "forward/body.h"
#include "forward/handshake.h"
#include "forward/record_fields.h"
#include "forward/scanner.h"
#include "trust/identity.h"

#include <stddef.h>
#include <stdint.h>

struct message_policy;

enum route_protocol { ROUTE_TCP, ROUTE_FORWARD };
enum route_delivery { ROUTE_AT_LEAST_ONCE, ROUTE_PASSTHROUGH };
enum route_on_no_acks { ROUTE_NO_ACKS_CONTINUE, ROUTE_NO_ACKS_HOLD };
enum route_on_refused { ROUTE_REFUSED_CONTINUE, ROUTE_REFUSED_RESET };

enum route_link { ROUTE_LINK_AUTO, ROUTE_LINK_ON, ROUTE_LINK_OFF };

/* --add-identity: fields that the records of agents get. */
struct route_identity_fields {
    unsigned count;
    struct {
        const char *name;
        enum identity_name from;
    } items[RECORD_FIELDS_MAX];
};

/* Each field names its setting. The name of a field ends in its unit; counts have none. */
struct route_options {
    const char *name;             /* of the route, in logs and metrics */
    enum route_protocol protocol; /* --protocol */

    /* ---- messages: --protocol forward ---- */

    enum route_delivery delivery;        /* --delivery */
    struct scanner_limits scanner;       /* --max-message, --max-tag, --max-depth */
    struct body_options body;            /* --compress, --compress-min, --strip-metadata, --invalid-events,
                                            --max-inflated */
    const struct message_policy *policy; /* --rule: who may write what; NULL: no rules */
    struct route_identity_fields identity_fields; /* --add-identity */
    struct shared_key_slot *key[SIDE_COUNT]; /* shared-key authentication: downstream --accept-key-*, upstream
                                                --shared-key-*; NULL: none on that side */
    uint64_t retain_bytes;      /* --retain-bytes, divided by the workers: bytes of unsettled messages; tcp:
                                    bytes that the other side has not taken */
    uint64_t cut_through_bytes; /* --cut-through-bytes: a longer message is cut through */
    uint64_t batch_bytes;       /* --batch-bytes: longest batch; 0: no batches */
    uint64_t batch_delay_ms; /* --batch-delay: how long a batch waits for further messages; 0: not at all */
    uint64_t unread_acks_bytes; /* --unread-acks: husk reads no agent that leaves so many bytes of acks */
    uint64_t unread_acks_timeout_ms; /* --unread-acks-timeout: after this time without a taken ack, husk gives
                                        up the agent's acks; 0: never */
    uint64_t message_timeout_ms;  /* --message-timeout: longest pause of an agent in a message; 0: no limit */
    uint64_t ack_timeout_ms;      /* --ack-timeout: an aggregator that takes longer loses its connection */
    uint64_t delivery_timeout_ms; /* --delivery-timeout: an agent whose message waits longer is reset */
    uint64_t max_age_ms;          /* --max-age: an older message is given up; 0: never */
    unsigned max_attempts;        /* --max-attempts: connections that end at a message; 0: no limit */
    unsigned max_ack_timeouts;    /* --max-ack-timeouts: ack timeouts of a message */
    enum route_on_no_acks on_no_acks; /* --on-no-acks: an address that never acknowledges */
    unsigned no_acks_after;           /* --no-acks-after: connections that must prove that an address never
                                         acknowledges; 0: husk never concludes this */
    enum route_link upstream_link; /* --upstream-link: whether the upstream is a husk that speaks the link */
    bool opens_first; /* husk opens a connection without a message, to prove that a TLS upstream works; false
                         if --health-interval is off */
    unsigned max_senders; /* --max-senders: that a husk may name on one connection (docs/link.md) */
    enum route_on_refused on_refused;   /* --on-refused: an agent that asked for no ack, when its message is
                                           given up */
    unsigned max_upstream_connections;  /* --max-upstream-connections: shared, per worker and endpoint */
    unsigned max_exclusive_connections; /* --max-exclusive-connections: per worker */
    uint64_t max_connection_age_ms;     /* --max-connection-age: when an upstream connection retires, a tenth
                                           earlier or later; 0: never */
    uint64_t max_downstream_age_ms; /* --max-downstream-age: the same for a downstream connection; 0: never */
    uint64_t silence_hint_ms; /* --silence-hint: an agent that sends nothing for longer is logged; 0: never */

    /* ---- connections ---- */

    const char *server_name;       /* --server-name: the name that an upstream's certificate must have if its
                                      endpoint has no name */
    uint64_t dial_delay_ms;        /* --dial-delay: wait for the first byte of a peer before the dial (tcp) */
    uint64_t connect_timeout_ms;   /* --connect-timeout: per address */
    uint64_t handshake_timeout_ms; /* --handshake-timeout: TLS from accept or connect; authentication from its
                                      begin */
    uint64_t confirm_timeout_ms;   /* --confirm-timeout: wait for evidence that a TLS 1.3 server accepted our
                                      certificate */
    uint64_t idle_timeout_ms;      /* --idle-timeout: a connection without progress ends; 0: never */
    uint64_t half_close_timeout_ms; /* --half-close-timeout: the same after one direction has ended (tcp); 0:
                                       never */
    uint64_t linger_timeout_ms;     /* --linger-timeout: how long a refused peer may read its alert; how long
                                       a connection that ends delivers its last bytes (tcp); how long husk waits
                                       for the end of a peer without acks; how long husk continues to read from
                                       a calling husk after goaway */
    uint64_t drain_timeout_ms;  /* --drain-timeout: how long a connection that retires because husk no longer
                                   trusts its peer may go on */
    uint64_t eject_time_ms;     /* --eject-time: an address is ejected after its first failure; doubles */
    uint64_t eject_time_max_ms; /* --eject-time-max: longest ejection */
    unsigned dead_peer_ms;      /* --dead-peer-timeout: see socket_tune; 0: off */
    size_t buffer_bytes;        /* --buffer-bytes: most bytes kept per connection and direction */
    unsigned max_connections;   /* --max-connections, divided by the workers: accepted connections */
    unsigned max_handshakes;    /* --max-handshakes, divided by the workers: unfinished TLS handshakes of
                                   accepted connections */
    uint64_t handshake_memory_bytes; /* --handshake-memory, divided by the workers: for these handshakes */
    uint64_t crowded_handshake_timeout_ms; /* --crowded-handshake-timeout: longest wait for a peer while
                                              max_handshakes or handshake_memory_bytes is reached */
    uint32_t log_burst; /* --log-burst: lines per reason and LOG_LIMITER_WINDOW_MS; 0: no limit */
};

#endif
