/* The connections of `protocol: tcp`: one inlet, one outlet, bytes both ways, nothing parsed.
 *
 *   ADMITTING ──inlet ready──▶ DIALLING ──outlet ready──▶ RELAYING ──▶ ENDED
 *       └──refused by TLS──▶ LINGERING ──▶ ENDED
 *
 * A tunnel owns its inlet, its outlet and the bytes between them. Half-close is kept: FIN ↔ close_notify.
 * When one side breaks, the bytes read from it before are still delivered, then the other side is reset.
 * Belongs to its worker's thread. */
#ifndef HUSK_TCP_TUNNEL_H
#define HUSK_TCP_TUNNEL_H

#include "link/inlet.h"
#include "link/outlet.h"
#include "link/transport.h"
#include "runtime/timer.h"

#include <sys/queue.h>

enum tunnel_state { TUNNEL_ADMITTING, TUNNEL_DIALLING, TUNNEL_RELAYING, TUNNEL_LINGERING, TUNNEL_ENDED };

struct tunnel {
    struct task task; /* first */
    LIST_ENTRY(tunnel) sibling;
    struct tunnels *tunnels; /* borrowed: whose list it is in */
    enum tunnel_state state;
    struct inlet inlet;
    struct outlet outlet;
    struct buffer pending[SIDE_COUNT]; /* bytes read from that side, not yet taken by the other */
    uint64_t progress_ms;              /* when bytes last moved, in the reactor's now_ms, as below */
    uint64_t check_ms;                 /* when both peers are looked at again; 0: never */
    uint64_t linger_ms;                /* when it ends although bytes are undelivered; 0: no deadline */
    struct timer timer;                /* set to the earliest of all deadlines */
};

/* The tunnels of one worker. */
struct tunnels {
    struct transport *transport; /* borrowed */
    LIST_HEAD(, tunnel) list;
};

void tunnels_init(struct tunnels *tunnels, struct transport *transport);
/* Ends all: in order where no byte is on its way, else by reset. Returns how many had bytes on their way. */
unsigned tunnels_close(struct tunnels *tunnels);

/* Takes `fd`. When there is no memory the connection is reset. */
void tunnels_accept(struct tunnels *tunnels, int fd, const struct socket_address *peer);

/* The upstream's addresses are known, or have changed. */
void tunnels_endpoints_changed(struct tunnels *tunnels);

/* The deadlines of TLS handshakes may have come nearer: they are looked at. */
void tunnels_check_handshakes(struct tunnels *tunnels);

#endif
