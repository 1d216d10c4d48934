/* Starts the program of this process once more: the file at the same path, which may be a new one, with the
 * same arguments, and with sockets of this process.
 *
 * The child gets the sockets as by sd_listen_fds(3), and no other descriptor but the standard streams. Owns
 * nothing. */
#ifndef HUSK_CONTROL_SPAWN_H
#define HUSK_CONTROL_SPAWN_H

#include "base/fault.h"
#include "wire/inherited.h"

#include <sys/types.h>

struct spawn_socket {
    int fd;                          /* borrowed */
    char name[INHERITED_NAME_BYTES]; /* without a colon */
};

/* All zeros: none. */
struct spawn_sockets {
    struct spawn_socket *items; /* owned */
    unsigned count;
};

/* Another socket for the child. False: out of memory. */
MUST_CHECK bool spawn_sockets_add(struct spawn_sockets *sockets, int fd, const char *name);
void spawn_sockets_free(struct spawn_sockets *sockets);

/* The path of the program, as it was given when this process started. Valid until the process ends. */
const char *spawn_path(void);
/* The process id of the child; -1 and a fault: there is no child. Other threads may run. */
MUST_CHECK pid_t spawn_self(const struct spawn_sockets *sockets, struct fault *fault);

#endif
