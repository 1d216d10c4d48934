/* The sockets of the process on their way to another process: which ones a new process gets, and which ones a
 * service manager keeps for the next start; and those that no part of a new process takes.
 *
 * Owns the list of what the service manager keeps. */
#ifndef HUSK_HANDOVER_H
#define HUSK_HANDOVER_H

#include "admin/admin.h"
#include "control/service_manager.h"
#include "control/spawn.h"
#include "routes.h"

/* The name of the socket of --admin, in the place of the name of a route. */
extern const char handover_admin[];

/* Adds the listening sockets of the routes that run, and that of `admin` (NULL: none). False: out of
 * memory. */
MUST_CHECK bool handover_collect(const struct routes *routes, const struct admin *admin,
                                 struct spawn_sockets *sockets);

/* In the process that has taken over: ends a socket of the process before, whose address the settings do not
 * have any more. Copies of it may stay open for a while, and nobody would take the connections that come. */
void handover_end(const struct inherited_socket *socket);

/* The sockets at one address that the service manager keeps. */
struct handover_kept {
    char name[INHERITED_NAME_BYTES];
    ino_t inode;     /* of the first socket; 0: not known */
    bool is_current; /* a route listens there */
};

/* All zeros: nothing is kept. */
struct handover_store {
    struct handover_kept *items; /* owned */
    unsigned count;
};

/* The service manager may keep the sockets that a husk before had, under the names that `inherited` has. Call
 * it before the first update. */
void handover_store_expect(struct handover_store *store, const struct service_manager *manager,
                           const struct inherited *inherited);
/* The service manager keeps what the routes listen on now, and nothing else. Sockets that it has made itself
 * are not kept once more. Call it after each change. */
void handover_store_update(struct handover_store *store, struct service_manager *manager,
                           const struct routes *routes);
void handover_store_free(struct handover_store *store);

#endif
