/* The sockets that the process has had since its start: from a service manager (sd_listen_fds(3)), or from
 * the husk that it replaces.
 *
 * Owns the sockets that nobody has taken. A socket is for the address that it is bound to. husk gives sockets
 * that it hands over, or that a service manager keeps, a name of its own: ROUTE/ADDRESS, with a comma for
 * each colon, as in client/127.0.0.1,24224. This name finds a socket whose address has port 0. A mark before
 * the name tells the process that takes over where the socket comes from: + if husk has made the file of the
 * Unix socket, = if the service manager has made the socket. */
#ifndef HUSK_WIRE_INHERITED_H
#define HUSK_WIRE_INHERITED_H

#include "base/fault.h"
#include "wire/address.h"

#include <stdbool.h>

enum { INHERITED_NAME_BYTES = 512 };

struct inherited_socket {
    int fd;                        /* -1: taken */
    const char *name;              /* in `names` */
    struct socket_address address; /* length 0: none */
    const char *unfit;             /* why husk cannot listen on it; NULL: it can */
};

/* Whose socket it is. */
struct inherited_origin {
    bool is_from_husk; /* husk has bound it: it is from the husk before, or was kept for it */
    bool is_own_file;  /* husk has made the file of the Unix socket */
};

/* All zeros: none. */
struct inherited {
    struct inherited_socket *items; /* owned */
    unsigned count;
    char *names; /* owned */
};

/* What the variables LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES say; NULL: not set. */
struct inherited_variables {
    const char *pid, *fds, *names;
};

/* The number of descriptors for the process `pid`, from 3 on. 0 without a fault: the variables are not for
 * this process. False and a fault: they make no sense. */
MUST_CHECK bool inherited_count(const struct inherited_variables *variables, long pid, unsigned *count,
                                struct fault *fault);

/* Finds the sockets; call it before anything else opens a descriptor. Makes them non-blocking and
 * close-on-exec. False and a fault: there is none, because the variables make no sense. */
MUST_CHECK bool inherited_open(struct inherited *inherited, struct fault *fault);
/* Closes the sockets that nobody has taken. Safe on all zeros. */
void inherited_close(struct inherited *inherited);

/* The socket for the address `asked` of a route: the caller owns the descriptor. -1: there is none. Closes a
 * Unix socket that a husk has passed on and whose file is missing: nobody can connect to it any more. */
int inherited_take(struct inherited *inherited, const char *route, const struct socket_address *asked,
                   struct inherited_origin *origin);
/* The next socket at the address of a socket that was taken before; -1: there is none. */
int inherited_take_next(struct inherited *inherited, const struct socket_address *bound);
/* A descriptor by its name alone; -1: there is none. */
int inherited_take_named(struct inherited *inherited, const char *name);

/* The origin by the name. */
struct inherited_origin inherited_origin_of(const struct inherited_socket *socket);
/* The name without its mark. */
const char *inherited_plain_name(const struct inherited_socket *socket);

/* The name, with its mark, of a socket that listens at `asked` for a route. */
void inherited_name(char name[INHERITED_NAME_BYTES], const char *route, const struct socket_address *asked,
                    const struct inherited_origin *origin);

#endif
