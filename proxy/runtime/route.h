/* What a route asks of its connections: limits and deadlines, the same for every worker, never changed.
 *
 * Pure data. The mode (client, server) is not among it: it has become credentials on one side or the other.
 */
#ifndef HUSK_RUNTIME_ROUTE_H
#define HUSK_RUNTIME_ROUTE_H

#include "base/end_reason.h"
#include "forward/body.h"
#include "forward/handshake.h"
#include "forward/scanner.h"

#include <stddef.h>
#include <stdint.h>

struct message_policy;

enum route_protocol { ROUTE_TCP, ROUTE_FORWARD };
enum route_delivery { ROUTE_AT_LEAST_ONCE, ROUTE_PASSTHROUGH };

struct route_options {
    enum route_protocol protocol;
    enum route_delivery delivery;
    struct scanner_limits scanner;
    const struct handshake_options *key[SIDE_COUNT]; /* shared-key handshake on that side; NULL: none */
    const struct message_policy *policy;             /* who may write what; NULL: no rules */
    struct body_options body;
    uint64_t retain_bytes;              /* per worker: of messages between an agent and their settlement */
    uint64_t cut_through_bytes;         /* a message beyond it is streamed */
    uint64_t batch_bytes;               /* messages read together share an ack up to this size; 0: none do */
    uint64_t message_timeout_ms;        /* for an agent to go on in the middle of a message; 0: none */
    uint64_t ack_timeout_ms;            /* for an aggregator's ack, before its connection is given up */
    uint64_t delivery_timeout_ms;       /* for a message whose agent waits for the ack, before it is told */
    unsigned max_attempts;              /* connections a message may end; 0: no limit */
    unsigned max_ack_timeouts;          /* connections given up for a message's ack */
    unsigned max_upstream_connections;  /* per worker and endpoint: connections that messages share */
    uint64_t max_connection_age_ms;     /* then one retires, a tenth earlier or later; 0: never */
    unsigned max_exclusive_connections; /* per worker: such that a streamed message has to itself */
    const char *name;                   /* in logs and metrics */
    const char *server_name;        /* what an upstream with TLS must prove; NULL: what its endpoint says */
    uint64_t dial_delay_ms;         /* how long a silent peer is waited for before the upstream is dialled */
    uint64_t connect_timeout_ms;    /* per address */
    uint64_t handshake_timeout_ms;  /* from accept, or from connect */
    uint64_t confirm_timeout_ms;    /* for evidence that a TLS 1.3 server accepted our certificate */
    uint64_t silence_hint_ms;       /* of an agent that is asked for no key; 0: never told of */
    uint64_t idle_timeout_ms;       /* without progress; 0: none */
    uint64_t half_close_timeout_ms; /* the same once one direction has ended; 0: none */
    uint64_t linger_timeout_ms;     /* for last words to be delivered on a connection that ends */
    uint64_t eject_time_ms;         /* a failed address is tried last for so long; doubles */
    uint64_t eject_time_max_ms;     /* up to this */
    unsigned dead_peer_ms;          /* see socket_tune */
    size_t buffer_bytes;            /* kept per connection and direction at the most */
    unsigned max_connections;       /* per worker */
    unsigned max_handshakes;        /* per worker: TLS handshakes of accepted connections under way */
    uint32_t log_burst;             /* lines per reason and ten seconds; 0: no limit */
};

#endif
