/* A lease for a connection's life (`protocol: tcp`): one inlet, one outlet, bytes both ways, nothing parsed.
 *
 *   ADMITTING ──inlet ready──▶ DIALLING ──outlet ready──▶ RELAYING ──▶ ended
 *       └──refused by TLS──▶ LINGERING ──▶ ended
 *
 * Owns its inlet, its outlet and the bytes between them. Half-close is kept: FIN ↔ close_notify. When one
 * side breaks, what was read from it is still delivered, then the other side is reset. Belongs to its
 * worker's thread. */
#ifndef HUSK_TCP_TUNNEL_H
#define HUSK_TCP_TUNNEL_H

#include "runtime/timer.h"
#include "link/inlet.h"
#include "link/outlet.h"
#include "worker/worker.h"

enum tunnel_phase { TUNNEL_ADMITTING, TUNNEL_DIALLING, TUNNEL_RELAYING, TUNNEL_LINGERING, TUNNEL_ENDED };

struct tunnel {
    struct task task;           /* first */
    LIST_ENTRY(tunnel) sibling; /* in the worker's list */
    struct worker *worker;      /* borrowed */
    enum tunnel_phase phase;
    struct inlet inlet;
    struct outlet outlet;
    struct buffer held[SIDE_COUNT]; /* bytes read from that side, not yet taken by the other */
    uint64_t opened_us;
    uint64_t progress_ms; /* when bytes last moved */
    uint64_t check_ms;    /* when both peers are looked at again, 0: never */
    uint64_t linger_ms;   /* deadline for last words, 0: none */
    struct alarm alarm;   /* set to the earliest of all deadlines */
};

/* Takes `fd`. When there is no memory the connection is reset. */
void tunnel_open(struct worker *worker, int fd, const struct socket_address *peer);

/* Ends it for `reason` found on `side`: counts, logs, closes both legs, and leaves the memory to the reaper.
 */
void tunnel_end(struct tunnel *tunnel, enum side side, enum end_reason reason);

/* The worker is stopping: in order when nothing is on its way, else by reset. True when nothing is lost. */
bool tunnel_stop(struct tunnel *tunnel);

#endif
