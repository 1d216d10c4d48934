/* Checks an address on which husk is to listen. */
#ifndef HUSK_CHECK_LISTEN_ADDRESS_H
#define HUSK_CHECK_LISTEN_ADDRESS_H

#include "check/report.h"
#include "wire/socket.h"

struct listen_address {
    const char *setting;                  /* that has the address, without dashes; borrowed */
    size_t index;                         /* of the address, if the setting is a list */
    const struct socket_address *address; /* borrowed */
    const struct socket_access *access;   /* borrowed; NULL: the rights of the umask */
    bool takes_heartbeats;                /* husk binds the UDP port, too */
};

/* The setting and the address, for findings. */
void listen_address_subject(struct subject *subject, const struct report *report,
                            const struct listen_address *listen);

/* Listens on the address for a moment, as husk does at its start. An agent that connects in this moment is
 * reset. The process has one thread (see socket_listen). */
void listen_address_check_free(struct report *report, const struct listen_address *listen);

/* For a husk that runs: a program must accept connections at the address. Returns whether one does. */
bool listen_address_check_running(struct report *report, const struct listen_address *listen);

#endif
