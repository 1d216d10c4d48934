/* What the dialled connections of one worker share: credentials, TLS sessions to resume, the upstream's
 * addresses with their health, the outcome of the last dial, and whether the first connection is still
 * awaited.
 *
 * Owns references to the credentials and the address list. Belongs to its worker's thread; the control thread
 * reads the last outcome. */
#ifndef HUSK_LINK_DIALER_H
#define HUSK_LINK_DIALER_H

#include "base/log.h"
#include "link/endpoint.h"
#include "runtime/reactor.h"
#include "runtime/route.h"
#include "trust/credentials.h"

#include <stdatomic.h>

struct dialer {
    struct reactor *reactor;           /* borrowed */
    const struct route_options *route; /* borrowed */
    struct log *log;                   /* borrowed */
    struct metrics *metrics;           /* borrowed */
    struct credentials *credentials;   /* shared; NULL: the upstream is dialled in plaintext */
    unsigned generation;               /* of the credentials: counts how often they were replaced */
    struct tls_sessions sessions;
    struct endpoint_pool endpoints;
    bool is_resolved; /* a lookup of the upstream's names has ended, with success or not */
    struct log_limiter bad_staples;
    bool wants_first;          /* dialer_await_first was called, and not dialer_forgo_first since */
    _Atomic bool awaits_first; /* see dialer_await_first */
    _Atomic uint64_t outcome;  /* the last one: now_ms × END_REASON_COUNT + reason; 0: no dial yet */
};

/* All borrowed. */
struct dialer_options {
    struct reactor *reactor;
    const struct route_options *route;
    struct log *log;
    struct metrics *metrics;
};

/* Takes over the caller's reference to `credentials`. */
void dialer_init(struct dialer *dialer, const struct dialer_options *options,
                 struct credentials *credentials);
/* Safe on all zeros. */
void dialer_deinit(struct dialer *dialer);

/* Sets the credentials of connections dialled from now on. Takes over the caller's reference. */
void dialer_set_credentials(struct dialer *dialer, struct credentials *credentials);
/* Sets the upstream's addresses. Takes over the caller's reference to `list`. NULL: no name resolves; the
 * last addresses stay in use, as they do when memory runs out. A list without an address: the upstream is
 * another one, and its names are looked up. */
void dialer_set_endpoints(struct dialer *dialer, struct endpoint_list *list);

/* The options of the route have changed. Forgets the last outcome: its dial used the former options, and
 * may have been to another upstream. */
void dialer_options_changed(struct dialer *dialer);

/* Records that a dial succeeded (END_NONE), or that a dial or a connection failed. Ignores failures of this
 * process (out of memory, out of descriptors). */
void dialer_report(struct dialer *dialer, enum end_reason outcome);
/* An upstream has acknowledged a message. Ends a failure, unless the first connection is awaited. */
void dialer_note_ack(struct dialer *dialer);

/* The first connection is awaited: a connection that husk opens without a message, to prove that the upstream
 * works. The owner dials, and calls dialer_stop_awaiting when a connection is ready. If the server later
 * rejects the TLS connection, for example because of our certificate, the dialer awaits the first connection
 * again. */
void dialer_await_first(struct dialer *dialer);
void dialer_stop_awaiting(struct dialer *dialer);
/* The server no longer trusts our certificate: the first connection is awaited again, unless it is forgone.
 */
void dialer_await_again(struct dialer *dialer);
/* As dialer_stop_awaiting, and the dialer does not await again. */
void dialer_forgo_first(struct dialer *dialer);
bool dialer_awaits_first(const struct dialer *dialer);

/* The last outcome that was recorded. */
struct dialer_outcome {
    enum end_reason reason;
    uint64_t at_ms;    /* clock_monotonic_ms; 0: no dial yet */
    bool awaits_first; /* the first connection is awaited */
};

/* From any thread. */
struct dialer_outcome dialer_last_outcome(const struct dialer *dialer);

#endif
