/* Opens, tunes and names sockets. Every descriptor is non-blocking and close-on-exec.
 *
 * Owns nothing: descriptors belong to the caller. */
#ifndef HUSK_WIRE_SOCKET_H
#define HUSK_WIRE_SOCKET_H

#include "base/end_reason.h"
#include "base/fault.h"
#include "wire/address.h"

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

/* Whether other listeners of this process share the port (SO_REUSEPORT). */
enum socket_sharing {
    SOCKET_EXCLUSIVE,
    SOCKET_SHARED, /* the first of several */
    SOCKET_JOINED  /* one of the others */
};

/* Who may connect to a Unix socket: the access rights of its file. */
struct socket_access {
    mode_t mode; /* permission bits, such as 0660; connecting needs the write permission (unix(7)) */
    gid_t group; /* SOCKET_GROUP_KEPT: the group that the system gives the file */
};
#define SOCKET_GROUP_KEPT (~(gid_t)0)

/* Binds and listens. Fails if another program listens on the address; SOCKET_JOINED skips that check, because
 * SOCKET_SHARED has made it. A Unix address takes SOCKET_EXCLUSIVE. Takes over the Unix socket file of a dead
 * process. Nobody can connect before the file has the rights `access`; NULL: the rights of the umask.
 * Changes the umask for a moment, so no other thread may make files meanwhile. Returns -1, a fault and
 * errno on failure. */
MUST_CHECK int socket_listen(const struct socket_address *address, enum socket_sharing sharing,
                             const struct socket_access *access, struct fault *fault);
/* The same in two steps: binds, so that no other program can, and nobody can connect yet. */
MUST_CHECK int socket_bind_stream(const struct socket_address *address, enum socket_sharing sharing,
                                  const struct socket_access *access, struct fault *fault);
/* Listens on a socket that is bound to `address`. Fails if another program was faster. */
MUST_CHECK bool socket_listen_begin(int fd, const struct socket_address *address, struct fault *fault);

/* Whether other sockets of this user may share the port of a TCP socket (SO_REUSEPORT). */
bool socket_shares_port(int fd);

/* Stops listening: the kernel refuses new connections and resets those not yet accepted. The port stays
 * bound. For TCP sockets with an explicit port only: with port 0, the kernel would choose another port
 * afterwards. Do not watch the descriptor until it listens again. */
void socket_listen_pause(int fd);
/* Listens again. False if another program has started to listen on the address. */
MUST_CHECK bool socket_listen_resume(int fd);

/* Binds a datagram socket that reports, for each datagram, the local address the datagram was sent to.
 * `address` is an IP address. Returns -1 and a fault on failure, such as an address in use. */
MUST_CHECK int socket_bind_datagram(const struct socket_address *address, struct fault *fault);

/* Identifies the file of a listening Unix socket; all zeros: none. A file system may give the inode number of
 * a removed file to the next file, so the time tells the two files apart. */
struct socket_file {
    dev_t device;
    ino_t inode;
    struct timespec made;
};

/* The file that listening on `address` made; none for other address families and for abstract names. */
struct socket_file socket_file_of(const struct socket_address *address);
/* Whether the address is that of a Unix socket whose file is missing. */
bool socket_file_is_missing(const struct socket_address *address);
/* The rights of the file of a Unix socket. False: the address has no such file. */
bool socket_file_access(const struct socket_address *address, struct socket_access *access);
/* Gives the file of a listening Unix socket other rights. False and a fault on failure. */
MUST_CHECK bool socket_file_set_access(const struct socket_address *address,
                                       const struct socket_access *access, struct fault *fault);
/* Whether the name of a Unix address still is of this file. True for addresses without a file. */
bool socket_file_is_in_place(const struct socket_file *file, const struct socket_address *address);
/* Removes the file of a Unix socket on which nobody answers: its process is dead, or does not listen any
 * more.
 */
void socket_file_reclaim(const struct socket_address *address);
/* Removes the file, unless another process has put its own file in its place. */
void socket_file_remove(const struct socket_file *file, const struct socket_address *address);

/* The address that a descriptor is bound to. */
struct socket_address socket_local_address(int fd);
/* The address of the peer of a connected descriptor. Length 0: there is no peer any more. */
struct socket_address socket_peer_address(int fd);

/* Starts to connect; the outcome is known when the descriptor becomes writable. Returns -1 and the reason on
 * failure. */
MUST_CHECK int socket_connect(const struct socket_address *address, unsigned dead_peer_ms,
                              enum end_reason *reason);
/* The outcome of a connect, when the descriptor is writable: END_NONE on success. */
enum end_reason socket_connect_outcome(int fd);

/* Sets TCP_NODELAY and keepalive, which detects a dead idle peer within about dead_peer_ms (0: the system
 * defaults). For a connection, or for a listening socket: accepted connections inherit the options. */
void socket_tune(int fd, unsigned dead_peer_ms);

/* Finds failures that neither keepalive nor reading finds. END_DEAD_PEER: sent bytes are being retransmitted,
 * and the peer has sent nothing for dead_peer_ms (0: never). END_RESET: the connection is broken, and nobody
 * reads it. Else END_NONE. A peer that answers but keeps its window closed is alive; TCP_USER_TIMEOUT would
 * end it. */
enum end_reason socket_check(int fd, unsigned dead_peer_ms);
/* How many times per dead_peer_ms to call socket_check. */
enum { SOCKET_CHECKS_PER_DEAD_PEER = 4 };

/* Bytes that have arrived and are not read; 0 also when the kernel does not tell. */
size_t socket_unread(int fd);
/* Bytes written that the peer's kernel has not acknowledged; 0 also when the kernel does not tell. */
size_t socket_unsent(int fd);

/* Maps errno to the reason why a connection ends. */
enum end_reason socket_reason_of_errno(int error);

/* What the peer of an accepted connection has done before the first read. Consumes nothing. */
enum socket_peek { SOCKET_SILENT, SOCKET_HAS_DATA, SOCKET_ENDED };
enum socket_peek socket_peek(int fd);

/* Closes with RST instead of FIN, to tell the peer that bytes are lost. A Unix socket is just closed. */
void socket_close_by_reset(int fd);

#endif
