/* One HTTP/1.x connection of the admin endpoint: reads requests and writes answers, one after the other.
 *
 * Owns its descriptor, watchers, parser and buffers; knows nothing of the pages and of other connections.
 * Whatever the peer does, it occupies one slot until the deadline at most: heads and bodies are bounded, and
 * the connection ends if a request or an answer is not complete in time. Runs on one loop. */
#ifndef HUSK_ADMIN_HTTP_CONNECTION_H
#define HUSK_ADMIN_HTTP_CONNECTION_H

#include "admin/http_host.h"

#include <ev.h>
#include <http_parser.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HTTP_HEAD_MAX_BYTES = 8192, /* request line and headers; a longer head is answered with 431 */
    HTTP_BODY_MAX_BYTES = 8192, /* bodies are read and discarded; a longer body is answered with 413 */
    HTTP_TARGET_BYTES = 256,    /* of a request target; the rest is ignored */
    HTTP_INPUT_BYTES = 4096
};

struct http_request {
    unsigned method;  /* enum http_method */
    const char *path; /* without the query string; "" if the target has no path */
    unsigned minor;   /* the version is HTTP/1.minor */
    const struct http_host *host;
    bool is_local; /* the client is on this host: its address is a loopback address, or the socket is Unix */
};

struct http_response {
    unsigned status;
    const char *type;  /* Content-Type, static */
    const char *allow; /* Allow, static, or NULL */
    char *body;        /* freed by the connection; NULL: out of memory, the connection is closed */
    size_t length;
};

struct http_service {
    void *owner;
    /* Fills *response, which is zeroed. Must not touch the connection. */
    void (*on_request)(void *owner, const struct http_request *request, struct http_response *response);
    /* The client does not speak HTTP. `bytes`: the `length` bytes in which the parser failed. */
    void (*on_not_http)(void *owner, const void *bytes, size_t length);
    /* A connection has ended: its descriptor is closed and its slot is free. */
    void (*on_closed)(void *owner);
    unsigned timeout_ms; /* for reading a request, from accept or the last answer; for writing an answer */
};

/* In the order in which connections give way to a new one (http_slots.h). */
enum http_state {
    HTTP_FREE,      /* no connection */
    HTTP_OPENED,    /* from accept until the first request is complete */
    HTTP_LINGERING, /* after the last answer: reads until the peer closes, because closing with unread input
                       resets */
    HTTP_IDLE,      /* between an answer and the first byte of the next request */
    HTTP_READING,   /* until a further request is complete */
    HTTP_WRITING,   /* until the answer is written; nothing is read meanwhile */
};

/* A slot. All zeros is HTTP_FREE; a slot is reused for the next connection. */
struct http_connection {
    enum http_state state;
    uint64_t since_ms; /* when the state began, clock_monotonic_ms */
    struct ev_loop *loop;
    const struct http_service *service;
    struct ev_io io;
    struct ev_timer deadline;

    http_parser parser;
    char target[HTTP_TARGET_BYTES];
    size_t target_length;
    struct http_host host;
    size_t part_bytes; /* of the head, or of the body, so far */
    bool head_complete;
    bool request_complete;
    bool keep_alive;

    char *output;
    size_t output_length, output_sent;
    size_t lingered_bytes;
    size_t input_start, input_end;
    char input[HTTP_INPUT_BYTES];
};

/* Takes `fd`, which is non-blocking, and answers what has already arrived. `service` is borrowed. The slot
 * must be HTTP_FREE, and is so again if the connection has already ended. */
void http_connection_open(struct http_connection *connection, struct ev_loop *loop, int fd,
                          const struct http_service *service);

/* Moves bytes until nothing moves, the connection ends, or one answer is written: the next turn of the loop
 * goes on. */
void http_connection_step(struct http_connection *connection);

/* Closes at once. Does nothing to a slot that is HTTP_FREE. */
void http_connection_close(struct http_connection *connection);

#endif
