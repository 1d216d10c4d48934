/* A dialled connection: a leg, and its states from the upstream's name until the connection can carry
 * traffic.
 *
 *   RESOLVING ─▶ CONNECTING ─▶ SECURING ─▶ CONFIRMING ─▶ READY
 *                    ▲             │            │
 *                    └─ next address ◀──────────┘
 *
 * Owns its leg and its walk over the addresses. The owner calls outlet_advance after every event. Belongs to
 * its worker's thread. */
#ifndef HUSK_LINK_OUTLET_H
#define HUSK_LINK_OUTLET_H

#include "base/step.h"
#include "link/authentication.h"
#include "link/dialer.h"
#include "link/tls_life.h"
#include "runtime/connection_log.h"
#include "wire/leg.h"

enum outlet_state {
    OUTLET_RESOLVING, /* the name has no address yet */
    OUTLET_CONNECTING,
    OUTLET_SECURING,   /* TLS handshake */
    OUTLET_CONFIRMING, /* TLS 1.3: waits for evidence that the server accepted our certificate */
    OUTLET_READY
};

struct outlet {
    struct leg leg;
    struct dialer *dialer; /* borrowed */
    struct task *task;     /* borrowed: the task of its owner */
    enum outlet_state state;
    unsigned generation;    /* of the dialer's credentials that judged the server last */
    struct lifetime life;   /* until a certificate ends; all zeros before READY, and without TLS */
    uint64_t deadline_ms;   /* on the reactor's clock; 0: none */
    bool has_authenticated; /* shared-key authentication has begun, or is not configured */
    struct authentication authentication;
    uint64_t check_ms; /* when outlet_check_peer checks again; 0: at the next call */
    struct endpoint_walk walk;
    bool is_leaving;                 /* see outlet_note_leaving */
    const struct endpoint *endpoint; /* of the current attempt, borrowed from the walk; NULL before the first
                                        attempt. Its stats count the outlet in its state */
};

/* Dials nothing before the first outlet_advance. Runs `task` when the outlet may advance. */
void outlet_open(struct outlet *outlet, struct dialer *dialer, struct task *task);

/* Makes the outlet dial only the endpoint at index `at` of the dialer's list. Call it before the first
 * outlet_advance. */
void outlet_aim(struct outlet *outlet, size_t at);

/* Advances the state as far as possible. Goes on once READY. Ends with the reason why the last address
 * failed: its leg stays open for leg_detail; END_RETIRED: the route has other upstreams since this dial
 * began, and no address is at fault. Bytes that arrive with the end of the handshake are put into `received`.
 */
struct step outlet_advance(struct outlet *outlet, struct buffer *received);

/* Advances the state and then, with --shared-key-*, shared-key authentication. Goes on when both are over:
 * messages may be sent. Bytes that arrive with the end stay in `in`, bytes to be sent may stay in `out`. */
struct step outlet_establish(struct outlet *outlet, struct buffer *in, struct buffer *out);

/* The connection has proved that the upstream works. Logs this for the first connection to the address if it
 * has TLS, and for the first connection after a failure. */
void outlet_report_works(struct outlet *outlet, struct connection_log *connection_log);

/* When to call one of these again, on the reactor's clock; 0: after an event. */
uint64_t outlet_deadline(const struct outlet *outlet);
/* For the log: the phase of an outlet that is not established, and what is known of a failure. */
const char *outlet_phase(const struct outlet *outlet);
const char *outlet_detail(const struct outlet *outlet);

/* Once READY: END_DEAD_PEER when the peer takes no bytes for --dead-peer-timeout, else END_NONE. Keepalive
 * does not detect this while bytes are on their way. Checks only from check_ms on. */
enum end_reason outlet_check_peer(struct outlet *outlet);

/* Judges the server of a READY outlet if the dialer's credentials have been replaced since the last
 * judgement. END_NONE; END_DISTRUSTED: the new credentials do not admit the server; END_EXPIRED: a
 * certificate of either side ends; outlet_detail says why. END_RETIRED: the new credentials admit the server,
 * but show the server another certificate. Call it also at life.due_ms. A reason is returned once for each
 * judgement. */
enum end_reason outlet_judge(struct outlet *outlet);

/* Counts a failure of the address although the connection became ready. */
void outlet_blame_endpoint(struct outlet *outlet);

/* The husk at the other end has said that it stops: its endpoint leaves (link/endpoint.h). Call it once. */
void outlet_note_leaving(struct outlet *outlet);

/* Sets *at to the index of the outlet's address in the dialer's list. False when the list no longer has the
 * address. True, with *at unchanged, when the list or the address is not known. */
bool outlet_locate(const struct outlet *outlet, size_t *at);

/* Counts in the metrics that the connection ends for `reason`. Call it before outlet_close. */
void outlet_count_end(struct outlet *outlet, enum end_reason reason);

/* The address of the current attempt; NULL before the first attempt and after outlet_close. Borrowed from the
 * walk. */
const struct socket_address *outlet_address(const struct outlet *outlet);

/* What all connections to this address share; NULL as above, and if nothing is counted. */
struct endpoint_stats *outlet_stats(const struct outlet *outlet);

/* The name of a state in log lines: "resolve", "connect", "handshake", "confirm", "relay". */
const char *outlet_state_name(enum outlet_state state);

/* Sets what the leg's watcher waits for while the outlet is not ready. */
void outlet_watch(struct outlet *outlet);

/* After an alert of the handshake husk closes without a reset, so that the server can read the alert. */
void outlet_close(struct outlet *outlet, enum leg_closing closing);

#endif
