/* The unfinished TLS handshakes of the connections that one worker has accepted: when each of them may go on,
 * how many there are, what they may hold in memory, and which of them make way while more connections wait.
 *
 * A step of a handshake takes much longer than a message, because it calculates signatures. So handshakes
 * take turns: in one turn of the loop they go on for TLS_HANDSHAKES_US, at least for one step. Then messages
 * come first again.
 *
 * The handshakes are full while one more would exceed --max-handshakes or --handshake-memory; the worker then
 * accepts no connection. While the handshakes are full, each handshake that has waited for its peer for
 * --crowded-handshake-timeout makes way. When husk has answered a peer, the timeout begins again, because a
 * busy husk, not the peer, may have taken the time.
 *
 * Owns nothing but its list. Belongs to its worker's thread. */
#ifndef HUSK_LINK_TLS_HANDSHAKES_H
#define HUSK_LINK_TLS_HANDSHAKES_H

#include "runtime/reactor.h"
#include "runtime/route.h"
#include "wire/tls_channel.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

enum {
    TLS_HANDSHAKES_US = 100,
    /* What an unfinished handshake holds besides the bytes of its peer: up to 11 KiB, measured with both
     * versions of TLS. */
    TLS_HANDSHAKE_FIXED_BYTES = 12 * 1024,
    /* The least that a handshake counts: an ordinary peer sends up to 4 KiB. */
    TLS_HANDSHAKE_LEAST_BYTES = 16 * 1024,
};

struct tls_handshake {
    TAILQ_ENTRY(tls_handshake) sibling;
    TAILQ_ENTRY(tls_handshake) next_turn; /* while it waits for its turn */
    struct task *task;                    /* borrowed: the connection's */
    uint64_t waits_since_ms;              /* for its peer; on the reactor's clock */
    size_t counted_bytes;                 /* of --handshake-memory */
    unsigned flights_sent;
    bool is_evicted; /* the connection must end: another handshake needs its memory */
    enum { TLS_HANDSHAKE_IDLE, TLS_HANDSHAKE_QUEUED, TLS_HANDSHAKE_TURN } turn;
};

struct tls_handshakes {
    struct task task;                  /* first */
    struct reactor *reactor;           /* borrowed */
    const struct route_options *route; /* borrowed */
    TAILQ_HEAD(, tls_handshake) list;  /* the one that has waited longest is the first */
    TAILQ_HEAD(tls_handshake_queue, tls_handshake) answered, unanswered; /* they wait for their turns */
    unsigned count;
    uint64_t bytes;
    uint64_t overdue_ms; /* a handshake that waits since this time or longer makes way; 0: none */
};

void tls_handshakes_init(struct tls_handshakes *handshakes, struct reactor *reactor,
                         const struct route_options *route);

/* A handshake begins: `handshake` is in the list until tls_handshake_end. */
void tls_handshake_begin(struct tls_handshakes *handshakes, struct tls_handshake *handshake,
                         struct task *task);
void tls_handshake_end(struct tls_handshakes *handshakes, struct tls_handshake *handshake);

/* Call it in the connection's task before the handshake goes on. False: it is not the turn of the handshake,
 * and the task runs again in its turn. Until then the owner does not have to watch the connection. */
MUST_CHECK bool tls_handshake_take_turn(struct tls_handshakes *handshakes, struct tls_handshake *handshake);

/* The unfinished handshake has come as far as `progress` says. If --handshake-memory has no space for its
 * bytes, those handshakes are evicted that have waited longest, and their tasks run in the next turn. */
void tls_handshake_advance(struct tls_handshakes *handshakes, struct tls_handshake *handshake,
                           struct tls_progress progress);

/* Whether the handshake makes way for others. */
bool tls_handshake_is_overdue(const struct tls_handshakes *handshakes, const struct tls_handshake *handshake);

bool tls_handshakes_are_full(const struct tls_handshakes *handshakes);

/* When tls_handshakes_relieve must be called, on the reactor's clock; 0 while they are not full. */
uint64_t tls_handshakes_relief_ms(const struct tls_handshakes *handshakes);
/* Makes each handshake overdue that has waited long enough, and runs its task in the next turn. Does nothing
 * while they are not full. */
void tls_handshakes_relieve(struct tls_handshakes *handshakes);

#endif
