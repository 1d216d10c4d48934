/* One connection of `protocol: tcp`: an inlet and an outlet. Copies bytes in both directions and parses
 * nothing.
 *
 *   ADMITTING ──inlet ready──▶ DIALLING ──outlet ready──▶ RELAYING ──▶ ENDED
 *
 * Owns its inlet, its outlet and the bytes between them. An end of one direction is passed on: FIN ↔
 * close_notify. When one side breaks, the other side first receives the bytes that were read before, then a
 * reset. Belongs to its worker's thread. */
#ifndef HUSK_TCP_TUNNEL_H
#define HUSK_TCP_TUNNEL_H

#include "link/inlet.h"
#include "link/outlet.h"
#include "link/transport.h"
#include "runtime/timer.h"

#include <sys/queue.h>

enum tunnel_state { TUNNEL_ADMITTING, TUNNEL_DIALLING, TUNNEL_RELAYING, TUNNEL_ENDED };

struct tunnel {
    struct task task; /* first */
    LIST_ENTRY(tunnel) sibling;
    struct tunnels *tunnels; /* borrowed: the tunnel is in its list */
    enum tunnel_state state;
    struct inlet inlet;
    struct outlet outlet;
    struct buffer pending[SIDE_COUNT]; /* read from this side, not taken by the other side yet */
    uint64_t progress_ms;              /* when bytes last moved; on the reactor's clock, as below */
    uint64_t check_ms;                 /* when both peers are checked again; 0: never */
    uint64_t linger_ms;                /* when the tunnel ends even if bytes are undelivered; 0: never */
    struct timer timer;                /* for the earliest of all deadlines */
};

/* The tunnels of one worker. */
struct tunnels {
    struct transport *transport; /* borrowed */
    LIST_HEAD(, tunnel) list;
};

void tunnels_init(struct tunnels *tunnels, struct transport *transport);
/* Ends all tunnels: by a reset if bytes are undelivered, else in order. Returns the number of tunnels with
 * undelivered bytes. */
unsigned tunnels_close(struct tunnels *tunnels);

/* Takes `fd`. Resets the connection when out of memory. */
void tunnels_accept(struct tunnels *tunnels, int fd, const struct socket_address *peer);

/* The upstream's addresses are known for the first time, or have changed. */
void tunnels_endpoints_changed(struct tunnels *tunnels);

#endif
