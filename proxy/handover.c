#include "handover.h"

#include "wire/socket.h"

#include <stdlib.h>
#include <string.h>

const char handover_admin[] = "/admin";

/* ---- to a new process ---- */

static bool socket_collect(const char *route, const struct listening_socket *socket,
                           struct spawn_sockets *sockets)
{
    char name[INHERITED_NAME_BYTES];
    const struct inherited_origin origin = {
        .is_from_husk = socket->origin != LISTENING_FROM_MANAGER,
        .is_own_file = !socket->is_others_file && socket_address_path(&socket->address),
    };

    inherited_name(name, route, &socket->asked.address, &origin);
    for (unsigned i = 0; i < socket->fd_count; i++) {
        if (!listening_fd_is_open(&socket->fds[i]))
            continue;
        if (!spawn_sockets_add(sockets, socket->fds[i].number, name))
            return false;
    }
    return true;
}

static bool admin_collect(const struct admin *admin, struct spawn_sockets *sockets)
{
    char name[INHERITED_NAME_BYTES];
    const struct admin_socket socket = admin_socket_of(admin);

    inherited_name(name, handover_admin, admin_asked_address(admin), &socket.origin);
    return spawn_sockets_add(sockets, socket.fd, name);
}

bool handover_collect(const struct routes *routes, const struct admin *admin, struct spawn_sockets *sockets)
{
    const struct route *route;

    TAILQ_FOREACH (route, &routes->list, sibling) {
        const struct listening *listening = &route->group.listening;
        for (unsigned i = 0; route->state == ROUTE_RUNNING && i < listening->count; i++) {
            if (!socket_collect(route->options->route.name, &listening->sockets[i], sockets))
                return false;
        }
    }
    return !admin || admin_collect(admin, sockets);
}

/* ---- from the process before ---- */

void handover_end(const struct inherited_socket *socket)
{
    const struct inherited_origin origin = inherited_origin_of(socket);

    if (!origin.is_from_husk)
        return;
    socket_listen_pause(socket->fd);
    if (origin.is_own_file)
        socket_file_reclaim(&socket->address);
}

/* ---- to the service manager ---- */

static struct handover_kept *kept_find(struct handover_store *store, const char *name)
{
    for (unsigned i = 0; i < store->count; i++) {
        if (strcmp(store->items[i].name, name) == 0)
            return &store->items[i];
    }
    return NULL;
}

static struct handover_kept *kept_add(struct handover_store *store, const char *name)
{
    struct handover_kept *items = realloc(store->items, (store->count + 1) * sizeof *items);

    if (!items)
        return NULL;
    store->items = items;
    struct handover_kept *added = &items[store->count++];
    *added = (struct handover_kept) { .inode = 0 };
    memcpy(added->name, name, strlen(name) + 1);
    return added;
}

/* The sockets of husk that are of no route have a name that begins with a slash. */
void handover_store_expect(struct handover_store *store, const struct service_manager *manager,
                           const struct inherited *inherited)
{
    for (unsigned i = 0; manager->is_open && i < inherited->count; i++) {
        const struct inherited_socket *socket = &inherited->items[i];
        const char *name = inherited_plain_name(socket);
        if (inherited_origin_of(socket).is_from_husk && name[0] != '/' && !kept_find(store, name))
            (void)kept_add(store, name); /* best effort: without memory, the service manager keeps too much */
    }
}

static void socket_send(struct service_manager *manager, const char *name,
                        const struct listening_socket *socket)
{
    int fds[SERVICE_MANAGER_FDS_MAX];
    unsigned count = 0;

    for (unsigned i = 0; i < socket->fd_count && count < SERVICE_MANAGER_FDS_MAX; i++) {
        if (listening_fd_is_open(&socket->fds[i]))
            fds[count++] = socket->fds[i].number;
    }
    if (count)
        service_manager_store(manager, name, fds, count);
}

/* A service manager that keeps a socket already does not keep it once more. */
static void socket_keep(struct handover_store *store, struct service_manager *manager, const char *route,
                        const struct listening_socket *socket)
{
    const struct inherited_origin origin = { .is_from_husk = true };
    char name[INHERITED_NAME_BYTES];
    ino_t inode = socket->fds[0].inode;

    if (socket->origin == LISTENING_FROM_MANAGER)
        return;
    inherited_name(name, route, &socket->asked.address, &origin);
    struct handover_kept *kept = kept_find(store, name);
    if (kept && kept->inode != inode)
        service_manager_discard(manager, name);
    if (!kept && !(kept = kept_add(store, name)))
        return;
    if (kept->inode != inode)
        socket_send(manager, name, socket);
    kept->inode = inode;
    kept->is_current = true;
}

static void others_discard(struct handover_store *store, struct service_manager *manager)
{
    unsigned left = 0;

    for (unsigned i = 0; i < store->count; i++) {
        if (store->items[i].is_current)
            store->items[left++] = store->items[i];
        else
            service_manager_discard(manager, store->items[i].name);
    }
    store->count = left;
}

void handover_store_update(struct handover_store *store, struct service_manager *manager,
                           const struct routes *routes)
{
    const struct route *route;

    if (!manager->is_open)
        return;
    for (unsigned i = 0; i < store->count; i++)
        store->items[i].is_current = false;
    TAILQ_FOREACH (route, &routes->list, sibling) {
        const struct listening *listening = &route->group.listening;
        for (unsigned i = 0; route->state == ROUTE_RUNNING && i < listening->count; i++)
            socket_keep(store, manager, route->options->route.name, &listening->sockets[i]);
    }
    others_discard(store, manager);
}

void handover_store_free(struct handover_store *store)
{
    free(store->items);
    *store = (struct handover_store) { 0 };
}
