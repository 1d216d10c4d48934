/* Logs the end of each connection of a worker, and each message that is given up.
 *
 * A failure is a warning, and so is a lost message. Each reason has at most --log-burst warnings per
 * LOG_LIMITER_WINDOW_MS. Further failures are counted, and the counts are logged when the window is over.
 * When memory for the limits runs out, each failure is logged. An end in order is a debug line.
 *
 * The failure of an upstream address that repeats for the same reason is logged less and less often: after
 * the first line the failures are only counted, for 10 s, 20 s, 40 s … 5 min. After each of these times the
 * count is logged, or the next failure. Failures that end the connection of an agent too (--protocol tcp) are
 * not left out in this way. Without --log-burst no failure is. Belongs to its worker's thread. */
#ifndef HUSK_RUNTIME_CONNECTION_LOG_H
#define HUSK_RUNTIME_CONNECTION_LOG_H

#include "base/end_reason.h"
#include "base/event_fault.h"
#include "base/log.h"
#include "base/metrics.h"
#include "runtime/route.h"
#include "runtime/timer.h"
#include "wire/address.h"

/* One for each reason. */
struct connection_log_limiters {
    struct log_limiter ended[END_REASON_COUNT];    /* of connections */
    struct log_limiter given_up[END_REASON_COUNT]; /* of messages */
};

/* A failure of an upstream address that was logged, and may repeat. */
struct connection_repeat {
    LIST_ENTRY(connection_repeat) sibling;
    struct socket_address upstream;
    enum end_reason reason;
    uint64_t due_ms;      /* failures are only counted until then, on the reactor's clock */
    uint64_t interval_ms; /* the time before due_ms without a line */
    uint32_t suppressed;  /* failures since the last line */
};

struct connection_log {
    struct log *log;                          /* borrowed */
    const struct route_options *route;        /* borrowed */
    const struct metrics *metrics;            /* borrowed */
    struct connection_log_limiters *limiters; /* owned; NULL: no failure yet, or out of memory */
    LIST_HEAD(, connection_repeat) repeats;   /* owned */
    struct log_limiter unread_acks, invalid_events, works;
    struct timer summary; /* runs while counts wait to be logged */
    unsigned hinted;      /* bits: the hints that were logged */
};

void connection_log_init(struct connection_log *connection_log, struct reactor *reactor, struct log *log,
                         const struct route_options *route, const struct metrics *metrics);
/* Logs the remaining counts, stops the timer and frees the memory. */
void connection_log_close(struct connection_log *connection_log);

/* All pointers are borrowed. A field that is NULL or empty does not appear in the log line. */
struct connection_end {
    enum side side; /* the side that ended or failed */
    enum end_reason reason;
    const char *phase;
    const char *detail;
    const struct leg *leg;                 /* the leg of `side`: knows what the peer speaks */
    const struct leg *inlet;               /* its TLS channel knows the peer's identity */
    const struct socket_address *peer;     /* address of the accepted connection's peer */
    const struct socket_address *upstream; /* address that husk dialled */
    uint64_t opened_ms;                    /* on the reactor's clock */
};

void connection_log_write(struct connection_log *connection_log, const struct connection_end *end);

/* The address `upstream` works: its next failure is news. Logs what was counted. NULL: the next failures of
 * all addresses are news, because the settings have changed. */
void connection_log_forget(struct connection_log *connection_log, const struct socket_address *upstream);

/* `messages` Forward messages were given up for `reason`. */
void connection_log_give_up(struct connection_log *connection_log, enum end_reason reason, unsigned messages);

/* Logs that a message of the connection was refused, in the same form and with the same limits. */
void connection_log_refusal(struct connection_log *connection_log, const struct connection_end *refusal);

/* Logs that the agent at `peer` does not read its acks. The same limits apply. */
void connection_log_unread_acks(struct connection_log *connection_log, const struct socket_address *peer);

/* An invalid event or foreign value of a sender. All pointers are borrowed. */
struct connection_invalid {
    enum event_fault fault;
    const char *tag;                    /* as text; empty: unknown */
    bool is_passed;                     /* husk sends it upstream, and does not leave it out */
    const struct connection_end *where; /* the connection; only its peer matters */
};

/* Logs that a sender sends invalid events: at most --log-burst lines per
 * LOG_LIMITER_WINDOW_MS. */
void connection_log_invalid(struct connection_log *connection_log, const struct connection_invalid *invalid);

/* Logs that the husk at the address `upstream` holds messages because of a failure of its own upstream. */
void connection_log_waiting(struct connection_log *connection_log, enum end_reason reason,
                            const struct socket_address *upstream);

/* Logs at debug level that the husk at the address `upstream` takes no more messages on a connection.
 * END_NONE: its reason is unknown. */
void connection_log_goaway(struct connection_log *connection_log, enum end_reason reason,
                           const struct socket_address *upstream);

enum connection_hint {
    HINT_SILENT_AGENT, /* an agent sends nothing */
    HINT_OLD_HUSK,     /* a husk that does not speak the link */
};

/* Logs a hint and the peer's address. Only the first call for each hint logs. */
void connection_log_hint(struct connection_log *connection_log, enum connection_hint hint,
                         const struct socket_address *peer);

/* The leg to `peer` on `side` is secured, or has no TLS. Logs HINT_OLD_HUSK if the peer is a husk that does
 * not speak the link there, although this husk does. */
void connection_log_secured(struct connection_log *connection_log, enum side side, const struct leg *leg,
                            const struct socket_address *peer);

/* To be called when a connection to the address `upstream` works for the first time, or for the first time
 * after a failure. Logs the verified name of the server and the TLS version. */
void connection_log_works(struct connection_log *connection_log, const struct leg *leg,
                          const struct socket_address *upstream);

/* What husk concludes about the acks of an aggregator. */
enum connection_acks {
    ACKS_FORGONE, /* it never acknowledges: husk continues without acks */
    ACKS_AWAITED, /* it never acknowledges: husk keeps the messages */
    ACKS_SEEN,    /* it counted as never acknowledging, and has now acknowledged a message */
};

/* Logs the conclusion and what the user can do. `upstream`: the address of the aggregator. */
void connection_log_acks(struct connection_log *connection_log, enum connection_acks acks,
                         const struct socket_address *upstream);

#endif
