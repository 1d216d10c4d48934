/* Sockets: opened, tuned, named. Every descriptor is non-blocking and close-on-exec.
 *
 * Owns nothing: descriptors belong to the caller. */
#ifndef HUSK_WIRE_SOCKET_H
#define HUSK_WIRE_SOCKET_H

#include "base/end_reason.h"
#include "base/fault.h"
#include "wire/address.h"

#include <stdbool.h>
#include <sys/types.h>

/* Whether other listeners of this process share the port (SO_REUSEPORT). */
enum socket_sharing {
    SOCKET_EXCLUSIVE,
    SOCKET_SHARED, /* the first of several */
    SOCKET_JOINED  /* one of the others */
};

/* Binds and listens. An address that another program listens on is a fault (a joined one has been asked for
 * already). A Unix path left behind by a dead process is taken over. -1 and a fault on failure. */
MUST_CHECK int socket_listen(const struct socket_address *address, enum socket_sharing sharing,
                             struct fault *fault);

/* Stops listening: from now on the kernel refuses connections, and resets those not yet accepted. The port
 * stays bound. Of TCP, and with a port that was asked for by number: one that the kernel chose would be
 * another one afterwards. Watch the descriptor no more until it listens again. */
void socket_listen_pause(int fd);
/* Listens again. False: another program has begun to listen there meanwhile. */
MUST_CHECK bool socket_listen_resume(int fd);

/* Binds a datagram socket that tells, with each datagram, which of this machine's addresses it was sent to.
 * The address is an IP address. An address in use is a fault. -1 and a fault on failure. */
MUST_CHECK int socket_bind_datagram(const struct socket_address *address, struct fault *fault);

/* The file of a Unix address that is listened on; all zeros: there is none. */
struct socket_file {
    dev_t device;
    ino_t inode;
};

/* The file made by listening on `address`; none for other families and abstract names. */
struct socket_file socket_file_of(const struct socket_address *address);
/* Removes it, unless a successor has put its own in this place. */
void socket_file_remove(const struct socket_file *file, const struct socket_address *address);

/* The address a descriptor is bound to. */
struct socket_address socket_local_address(int fd);

/* Begins to connect: the outcome shows when the descriptor becomes writable. -1: *reason says why. */
MUST_CHECK int socket_connect(const struct socket_address *address, unsigned dead_peer_ms,
                              enum end_reason *reason);
/* The outcome of a connect that became writable: END_NONE when it succeeded. */
enum end_reason socket_connect_outcome(int fd);

/* For a connection, or for a listening socket whose connections inherit it: TCP_NODELAY, and keepalive such
 * that an idle peer that is silently gone is noticed within about dead_peer_ms (0: the system's defaults). */
void socket_tune(int fd, unsigned dead_peer_ms);

/* What keepalive and reading do not tell: END_DEAD_PEER when what was sent has been repeated without any sign
 * of the peer for dead_peer_ms (0: never), END_RESET when the connection is broken though nobody reads it,
 * else END_NONE. A peer that answers but keeps its window shut is alive: TCP_USER_TIMEOUT would end it. */
enum end_reason socket_check(int fd, unsigned dead_peer_ms);
/* How often in dead_peer_ms it should be asked. */
enum { SOCKET_CHECKS_PER_DEAD_PEER = 4 };

/* True when the peer has acknowledged all that was written; so it is when the kernel does not tell. */
bool socket_has_sent(int fd);

/* What errno says about a connection. */
enum end_reason socket_reason_of_errno(int error);

/* What the peer of an accepted, never read connection has done so far. Consumes nothing. */
enum socket_peek { SOCKET_SILENT, SOCKET_HAS_DATA, SOCKET_ENDED };
enum socket_peek socket_peek(int fd);

/* Closes with RST instead of FIN, so that the peer knows that something is lost. Unix sockets just close. */
void socket_close_by_reset(int fd);

#endif
