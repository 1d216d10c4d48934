/* One connection of `protocol: tcp`: an inlet and an outlet. Copies bytes in both directions and parses
 * nothing.
 *
 *   ADMITTING ──inlet ready──▶ DIALLING ──outlet ready──▶ RELAYING ──▶ ENDED
 *
 * Owns its inlet, its outlet and the bytes between them. An end of one direction is passed on: FIN ↔
 * close_notify. When one side breaks, the other side first receives the bytes that were read before, then a
 * reset. When new credentials do not admit a peer, or a certificate of either side ends, husk reads nothing
 * more, and the tunnel ends when the bytes that were read are delivered. Belongs to its worker's thread. */
#ifndef HUSK_TCP_TUNNEL_H
#define HUSK_TCP_TUNNEL_H

#include "link/inlet.h"
#include "link/outlet.h"
#include "link/transport.h"
#include "runtime/sweep.h"
#include "runtime/timer.h"

#include <sys/queue.h>

enum tunnel_state { TUNNEL_ADMITTING, TUNNEL_DIALLING, TUNNEL_RELAYING, TUNNEL_ENDED };

struct tunnel {
    struct task task; /* first */
    LIST_ENTRY(tunnel) sibling;
    struct tunnels *tunnels; /* borrowed: the tunnel is in its list */
    enum tunnel_state state;
    enum end_reason retires_for; /* END_NONE: the tunnel goes on; else husk reads nothing more */
    enum side retiring_side;     /* the side that retires_for is about */
    struct inlet inlet;
    struct outlet outlet;
    struct buffer pending[SIDE_COUNT]; /* read from this side, not taken by the other side yet */
    uint64_t held_bytes;               /* in `pending` and in unsent records; counted in `tunnels` */
    uint64_t progress_ms;              /* when bytes last moved; on the reactor's clock, as below */
    uint64_t check_ms;                 /* when both peers are checked again; 0: never */
    uint64_t linger_ms;                /* when the tunnel ends even if bytes are undelivered; 0: never */
    struct timer timer;                /* for the earliest of all deadlines */
};

/* What the tunnels of one route on one worker share, and the list of them. Only tunnels.c and tunnel.c write
 * to it. */
struct tunnels {
    struct transport *transport; /* borrowed */
    LIST_HEAD(, tunnel) list;
    uint64_t held_bytes; /* of all tunnels */
    struct sweep sweep;  /* of the list, after the credentials have changed */
};

/* Takes `fd`. The tunnel stays in the list until it ends. Resets the connection when out of memory. */
void tunnel_open(struct tunnels *tunnels, int fd, const struct socket_address *peer);
/* Ends the tunnel because husk stops: in order, or by a reset and false if bytes are undelivered. */
bool tunnel_stop(struct tunnel *tunnel);

#endif
