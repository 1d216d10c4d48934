/* The admin endpoint: HTTP/1.1 with http-parser, on the control thread's loop.
 *
 * Owns its listener, its connections and a few reserved descriptors. Answers GET and HEAD of /startup, /live,
 * /ready and /metrics, and POST of /quit; knows of routes only what `admin_source` tells. Limits: see
 * admin_options and http_connection.h; http_slots.h says which connection gives way to a new one. When
 * descriptors run out, a new connection takes a reserved descriptor, and then the descriptor of a connection
 * that gives way, so that a process without free descriptors does not look dead. */
#ifndef HUSK_ADMIN_ADMIN_H
#define HUSK_ADMIN_ADMIN_H

#include "admin/http_host.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/metrics.h"
#include "wire/inherited.h"

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Provides the answers. Copied; its owner outlives the endpoint. All calls are made on the control thread. */
struct admin_source {
    void *owner;
    /* True once the routes listen, with all their credentials. */
    bool (*has_started)(void *owner);
    /* Begins to end the process as SIGTERM does. Again: does nothing. */
    void (*quit)(void *owner);
    /* True when ready. Writes notes, or the reasons against it, one per line, to `text` (empty before the
     * call; terminated, cut to size). */
    bool (*ready)(void *owner, char *text, size_t size);
    /* Fills *snapshot (zeroed) with the current values; the pointers in it stay valid until the next call. */
    void (*snapshot)(void *owner, struct metrics_snapshot *snapshot);
};

/* A socket that listens at the address already. */
struct admin_socket {
    int fd; /* taken */
    struct inherited_origin origin;
};

struct admin_options {
    struct socket_address listen;
    const struct admin_socket *socket; /* borrowed until admin_open returns; NULL: admin_open binds one */
    struct http_host_names hosts;      /* a Unix socket serves any host */
    unsigned max_connections;          /* not 0; a new connection beyond this number replaces another */
    unsigned request_timeout_ms; /* for reading a request, counted from accept or from the last answer, and
                                    for writing an answer; not 0 */
    bool has_quit;               /* POST /quit is served, to peers on this host */
};

struct admin; /* owned by its opener */

/* Binds the address; requests wait. Returns NULL and a fault if the address cannot be bound. `log` is
 * borrowed. The file of a Unix socket is created with the permissions that the umask leaves, and replaces one
 * on which nobody answers. */
MUST_CHECK struct admin *admin_open(struct ev_loop *loop, const struct admin_options *options,
                                    const struct admin_source *source, struct log *log, struct fault *fault);
/* Begins to answer. */
void admin_begin(struct admin *admin);
/* Another process goes on at the address: accepts no more, and the file of the Unix socket stays. */
void admin_hand_over(struct admin *admin);
/* The listening socket; borrowed. */
struct admin_socket admin_socket_of(const struct admin *admin);
/* Stops: closes open connections and removes the file of a Unix socket. Must not be called from inside a call
 * of `source`. NULL is fine. */
void admin_close(struct admin *admin);

/* The address of the options. */
const struct socket_address *admin_asked_address(const struct admin *admin);
/* The bound address, with the actual port if port 0 was requested. */
const struct socket_address *admin_address(const struct admin *admin);

#endif
