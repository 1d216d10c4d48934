/* Counters and gauges. Those of a worker are written by that worker alone and read by any thread; those of an
 * upstream address are written by all workers.
 *
 * They are relaxed atomics: a scrape sums the workers and needs no lock. A new counter needs a field here and
 * a row in the table in admin/metrics_text.c. */
#ifndef HUSK_BASE_METRICS_H
#define HUSK_BASE_METRICS_H

#include "base/end_reason.h"
#include "base/event_fault.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef _Atomic uint64_t metrics_counter;

enum { METRICS_BUCKETS_MAX = 15 };
enum metrics_tls_version { METRICS_TLS_1_2, METRICS_TLS_1_3, METRICS_TLS_VERSION_COUNT };
enum metrics_cipher {
    METRICS_AES_128_GCM,
    METRICS_AES_256_GCM,
    METRICS_CHACHA20_POLY1305,
    METRICS_CIPHER_OTHER,
    METRICS_CIPHER_COUNT
};
/* Groups of the key exchange. */
enum metrics_group {
    METRICS_X25519_MLKEM768,
    METRICS_X25519,
    METRICS_P_256,
    METRICS_P_384,
    METRICS_P_521,
    METRICS_GROUP_OTHER,
    METRICS_GROUP_COUNT
};
enum metrics_direction { METRICS_RECEIVED, METRICS_SENT, METRICS_DIRECTION_COUNT };

/* Upper bounds of the buckets of a histogram, in microseconds, ascending. The bucket after the last is +Inf.
 */
struct metrics_bounds {
    unsigned count;
    uint32_t us[METRICS_BUCKETS_MAX];
};

extern const struct metrics_bounds metrics_handshake_bounds, metrics_ack_bounds;

struct metrics_histogram {
    metrics_counter buckets[METRICS_BUCKETS_MAX + 1]; /* not cumulative */
    metrics_counter sum_us;
};

struct side_metrics {
    metrics_counter opened; /* accepted (downstream) or dialled (upstream) */
    metrics_counter ended[END_REASON_COUNT];
    metrics_counter bytes[METRICS_DIRECTION_COUNT]; /* payload bytes; direction as seen from husk */
    metrics_counter handshakes_full;
    metrics_counter handshakes_resumed;
    metrics_counter handshakes_failed[END_REASON_COUNT];
    struct metrics_histogram handshake_duration; /* metrics_handshake_bounds */
    struct metrics_histogram signature_duration; /* metrics_handshake_bounds; by a token */
    metrics_counter tls_versions[METRICS_TLS_VERSION_COUNT];
    metrics_counter ciphers[METRICS_CIPHER_COUNT];
    metrics_counter groups[METRICS_GROUP_COUNT];
};

/* Forward messages, under `protocol: forward`. */
struct message_metrics {
    metrics_counter received;        /* complete messages from agents */
    metrics_counter settled;         /* acknowledged, or sent without expecting an ack */
    metrics_counter events_received; /* events in received messages, where a message says how many */
    metrics_counter events_settled;  /* the same for settled messages */
    metrics_counter unacknowledged;  /* settled without the ack that was asked for (--on-no-acks) */
    metrics_counter retried;         /* taken back from an ended connection, to be sent again */
    metrics_counter cut_through;     /* sent while they were read: too large to hold */
    metrics_counter unprotected;     /* too large to keep: sent without our ack */
    metrics_counter dropped[END_REASON_COUNT]; /* given up */
    metrics_counter rate_limited;              /* times that a rate limit stopped reading from an agent */
    metrics_counter acks_given_up;             /* because agents did not read them */
    metrics_counter rate_limited_agents;  /* gauge: agents with read messages that wait for a rate limit */
    metrics_counter retained_bytes;       /* gauge: bytes of messages from reading until settlement */
    metrics_counter unacked;              /* gauge: sent on an upstream connection and not settled */
    metrics_counter waiting;              /* gauge: complete messages that no upstream connection takes */
    metrics_counter cut_through_waiting;  /* gauge: cut-through messages that wait for a connection */
    struct metrics_histogram ack_latency; /* metrics_ack_bounds; from sending to the ack */
};

enum metrics_body_change {
    METRICS_BODY_COMPRESSED,
    METRICS_BODY_STRIPPED,
    METRICS_BODY_IDENTIFIED, /* its records got the fields of --add-identity */
    METRICS_BODY_CHANGE_COUNT
};

/* Bodies of messages. */
struct body_metrics {
    metrics_counter rewritten[METRICS_BODY_CHANGE_COUNT]; /* one body may be several */
    metrics_counter unreadable; /* left unchanged, or refused (--add-identity): a compressed body is broken or
                                   inflates to too much */
    metrics_counter saved_bytes;                       /* how much shorter rewriting made messages */
    metrics_counter invalid_events[EVENT_FAULT_COUNT]; /* left out or passed on; EVENT_FAULT_MESSAGE and
                                                          _VALUE count whole values */
};

enum metrics_outlet_state {
    METRICS_CONNECTING,
    METRICS_SECURING,   /* TLS handshake */
    METRICS_CONFIRMING, /* TLS 1.3: waits for evidence that the server accepted our certificate */
    METRICS_READY,
    METRICS_OUTLET_STATE_COUNT
};

/* What is known of the acks of an upstream address. */
enum metrics_acks {
    METRICS_ACKS_UNKNOWN, /* it has acknowledged nothing so far */
    METRICS_ACKS_SENT,    /* it has acknowledged, or refused, a message */
    METRICS_ACKS_NEVER,   /* --no-acks-after connections have proved that it reads messages and acknowledges
                             none */
};

/* One endpoint of the upstream. Workers share these atomics, because connections change state rarely. */
struct endpoint_metrics {
    struct endpoint_metrics *next;
    const char *address;                                      /* as text */
    const char *server_name;                                  /* NULL: husk asks for no name */
    _Atomic uint64_t connections[METRICS_OUTLET_STATE_COUNT]; /* gauges */
    _Atomic uint64_t ejected_until_ms; /* clock_monotonic_ms; set by the worker that dialled last */
    _Atomic unsigned acks;             /* enum metrics_acks */
    _Atomic unsigned no_acks_proofs; /* connections that have shown that it reads and does not acknowledge */
    bool is_listed; /* discovery still lists the endpoint; used by the control thread alone */
};

/* When the revocation list of an issuer is to be replaced, in seconds since the epoch. */
struct metrics_crl {
    const char *issuer;
    int64_t next_update;
};

/* When a certificate of husk is valid, in seconds since the epoch. */
struct metrics_certificate {
    int64_t not_before, not_after;
};

struct metrics {
    struct side_metrics side[SIDE_COUNT];
    struct message_metrics messages;
    struct body_metrics bodies;
    metrics_counter accept_errors;  /* accepting paused because descriptors or memory ran out */
    metrics_counter accept_limited; /* accepting paused because of a connection or handshake limit */
    metrics_counter unconfirmed; /* upstream connections used without evidence that the server accepted us */
};

/* What a scrape needs of one route: the counters of the workers by reference, and current values. */
struct metrics_route {
    const struct metrics_route *next; /* NULL: the last route */
    const char *name;                 /* label of every family that concerns connections */
    const struct metrics *const *workers;
    size_t worker_count;
    const struct endpoint_metrics *endpoints; /* of the upstream, also those no longer listed */
    uint64_t now_ms;                          /* clock_monotonic_ms */
    /* Seconds since the epoch; 0: that side has no such certificate. */
    int64_t intermediate_not_after[SIDE_COUNT], ca_not_after[SIDE_COUNT];
    const struct metrics_certificate *certificates[SIDE_COUNT]; /* of husk */
    size_t certificate_count[SIDE_COUNT];
    const struct metrics_crl *crls[SIDE_COUNT]; /* revocation lists */
    size_t crl_count[SIDE_COUNT];
    uint64_t heartbeats_answered, heartbeats_limited; /* over UDP */
    bool upstream_healthy;                            /* nothing has failed */
    bool is_insecure;                                 /* husk verifies no certificate of an upstream */
};

/* A stream from a SPIFFE Workload API. */
struct metrics_workload_api {
    const struct metrics_workload_api *next; /* NULL: the last one */
    const char *address;
    uint64_t answers, failures;
    bool is_connected; /* the stream stands, and has answered */
};

/* Everything that a scrape needs. */
struct metrics_snapshot {
    const struct metrics_route *routes;         /* NULL: none */
    const char *version;                        /* husk's */
    const char *tls_library;                    /* e.g. "BoringSSL API 17" */
    uint64_t reloads_succeeded, reloads_failed; /* of all routes */
    uint64_t config_reloads_succeeded, config_reloads_failed;
    const struct metrics_workload_api *workload_apis; /* NULL: none */
    uint64_t removed_undelivered; /* connections and messages of removed routes, since these were removed */
    bool reload_pending;          /* new files of a route could not be loaded, and husk tries again */
    bool config_reload_pending;   /* the file of husk run cannot be used, and husk tries again */
    bool draining;
};

/* A counter has one writer, so no locked instruction is needed. */
static inline void metrics_add(metrics_counter *counter, uint64_t amount)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + amount, memory_order_relaxed);
}

/* Lowers a gauge; it has one writer too. */
static inline void metrics_take(metrics_counter *gauge, uint64_t amount)
{
    uint64_t value = atomic_load_explicit(gauge, memory_order_relaxed);
    atomic_store_explicit(gauge, value - amount, memory_order_relaxed);
}

static inline uint64_t metrics_read(const metrics_counter *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* Number of connections that have not ended. */
uint64_t metrics_active(const struct side_metrics *side);

/* Adds one duration to a histogram. */
void metrics_observe(struct metrics_histogram *histogram, const struct metrics_bounds *bounds,
                     uint64_t duration_us);

const char *metrics_tls_version_name(enum metrics_tls_version version);
const char *metrics_cipher_name(enum metrics_cipher cipher);
const char *metrics_group_name(enum metrics_group group);
const char *metrics_direction_name(enum metrics_direction direction);
const char *metrics_body_change_name(enum metrics_body_change change);
const char *metrics_outlet_state_name(enum metrics_outlet_state state);

#endif
