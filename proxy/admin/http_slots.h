/* The connections of the admin endpoint, a fixed number, and which of them gives way to a new connection.
 *
 * No client may keep a liveness probe out, so a new connection is never refused. If there is no free slot,
 * one connection gives way. Connections that have been in their state for HTTP_SLOTS_GRACE_MS or longer give
 * way first, in the order of enum http_state, then by age; a probe asks as soon as it is connected, and is
 * not among these. If all connections are younger, the oldest gives way. husk reads the bytes that have
 * already arrived on a connection before the connection gives way, and answers a complete request. */
#ifndef HUSK_ADMIN_HTTP_SLOTS_H
#define HUSK_ADMIN_HTTP_SLOTS_H

#include "admin/http_connection.h"
#include "base/fault.h"
#include "base/log.h"

enum { HTTP_SLOTS_GRACE_MS = 100 };

struct http_slots; /* owned by its opener */

/* `count` slots, not 0; `loop`, `service` and `log` are borrowed. NULL: out of memory. */
MUST_CHECK struct http_slots *http_slots_open(unsigned count, struct ev_loop *loop,
                                              const struct http_service *service, struct log *log);
/* Closes all connections. NULL is fine. */
void http_slots_close(struct http_slots *slots);

/* Opens a connection on `fd`, which it takes, and answers what has already arrived. */
void http_slots_add(struct http_slots *slots, int fd);

/* Closes the connection that is first to give way, so that its descriptor is free. False: there is no
 * connection. */
bool http_slots_evict(struct http_slots *slots);

/* Whether `a` gives way before `b`. Neither is HTTP_FREE. */
bool http_slots_gives_way(const struct http_connection *a, const struct http_connection *b, uint64_t now_ms);

#endif
