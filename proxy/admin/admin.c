#include "admin/admin.h"

#include "admin/http_connection.h"
#include "admin/metrics_text.h"
#include "admin/process_text.h"
#include "base/clock.h"
#include "wire/socket.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ACCEPTS_PER_STEP = 16, PAUSE_MIN_MS = 100, PAUSE_MAX_MS = 1000, READY_TEXT_BYTES = 2048 };

struct admin {
    struct ev_loop *loop;
    struct admin_options options;
    struct admin_source source;
    struct log *log;
    struct http_service service;

    struct socket_address bound;
    struct socket_file file;
    struct ev_io acceptor;
    struct ev_timer resume; /* accepting, after descriptors ran out */
    unsigned pause_ms;      /* the last pause; 0: accepting works */
    struct log_limiter limiter;

    struct http_connection connections[]; /* options.max_connections of them */
};

/* ---- what is answered
 * -------------------------------------------------------------------------------------- */

static const char plain_text[] = "text/plain; charset=utf-8";

/* Takes `body`; NULL means out of memory. */
static void respond(struct http_response *response, unsigned status, char *body)
{
    response->status = status;
    response->type = plain_text;
    response->body = body;
    response->length = body ? strlen(body) : 0;
}

static void answer_live(struct admin *admin, struct http_response *response)
{
    (void)admin;
    respond(response, HTTP_STATUS_OK, strdup("live\n"));
}

static void answer_ready(struct admin *admin, struct http_response *response)
{
    char reasons[READY_TEXT_BYTES] = "";

    if (admin->source.ready(admin->source.owner, reasons, sizeof reasons - 1)) {
        respond(response, HTTP_STATUS_OK, strdup("ready\n"));
        return;
    }
    size_t length = strlen(reasons);
    if (length == 0)
        snprintf(reasons, sizeof reasons, "not ready\n");
    else if (reasons[length - 1] != '\n')
        memcpy(reasons + length, "\n", 2);
    respond(response, HTTP_STATUS_SERVICE_UNAVAILABLE, strdup(reasons));
}

static void answer_metrics(struct admin *admin, struct http_response *response)
{
    struct metrics_snapshot snapshot = { 0 };
    char process[PROCESS_TEXT_BYTES];
    char *body = NULL;

    admin->source.snapshot(admin->source.owner, &snapshot);
    char *metrics = metrics_text_render(&snapshot);
    process_text_render(process, sizeof process);
    if (metrics && asprintf(&body, "%s%s", metrics, process) < 0)
        body = NULL;
    free(metrics);
    respond(response, HTTP_STATUS_OK, body);
    response->type = "text/plain; version=0.0.4; charset=utf-8";
}

struct endpoint {
    const char *path;
    void (*answer)(struct admin *admin, struct http_response *response);
};

static const struct endpoint endpoints[] = {
    { "/live", answer_live },
    { "/ready", answer_ready },
    { "/metrics", answer_metrics },
};
enum { ENDPOINT_COUNT = sizeof endpoints / sizeof *endpoints };

static void answer_not_found(struct http_response *response)
{
    char text[256] = "not found; there are:\n";

    for (size_t i = 0; i < ENDPOINT_COUNT; i++) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s\n", endpoints[i].path);
    }
    respond(response, HTTP_STATUS_NOT_FOUND, strdup(text));
}

static void on_request(void *owner, const struct http_request *request, struct http_response *response)
{
    const struct endpoint *endpoint = NULL;

    for (size_t i = 0; i < ENDPOINT_COUNT; i++)
        if (strcmp(request->path, endpoints[i].path) == 0)
            endpoint = &endpoints[i];
    if (!endpoint) {
        answer_not_found(response);
    } else if (request->method != HTTP_GET && request->method != HTTP_HEAD) {
        respond(response, HTTP_STATUS_METHOD_NOT_ALLOWED, strdup("only GET and HEAD\n"));
        response->allow = "GET, HEAD";
    } else {
        endpoint->answer(owner, response);
    }
}

/* ---- accepting
 * --------------------------------------------------------------------------------------------- */

static void accept_pause(struct admin *admin, int error)
{
    uint32_t suppressed;

    admin->pause_ms = admin->pause_ms ? admin->pause_ms * 2 : PAUSE_MIN_MS;
    if (admin->pause_ms > PAUSE_MAX_MS)
        admin->pause_ms = PAUSE_MAX_MS;
    ev_io_stop(admin->loop, &admin->acceptor);
    ev_timer_set(&admin->resume, admin->pause_ms / 1000.0, 0);
    ev_timer_start(admin->loop, &admin->resume);
    if (log_limiter_admit(&admin->limiter, clock_monotonic_ms(), 1, &suppressed))
        log_say(admin->log, LOG_WARN, "admin endpoint cannot accept: %s", strerror(error));
}

static void accept_place(struct admin *admin, int fd)
{
    for (unsigned i = 0; i < admin->options.max_connections; i++) {
        if (admin->connections[i].state == HTTP_FREE) {
            http_connection_open(&admin->connections[i], admin->loop, fd, &admin->service);
            return;
        }
    }
    close(fd);
}

static void on_acceptable(struct ev_loop *loop, struct ev_io *io, int events)
{
    struct admin *admin = io->data;

    (void)loop;
    (void)events;
    for (unsigned i = 0; i < ACCEPTS_PER_STEP; i++) {
        int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            admin->pause_ms = 0;
            accept_place(admin, fd);
            continue;
        }
        switch (errno) {
        case EAGAIN:
            return;
        case EINTR:
        case ECONNABORTED:
        case EPROTO: /* and the errors of the new connection's network, accept(2) */
        case ENETDOWN:
        case ENETUNREACH:
        case EHOSTDOWN:
        case EHOSTUNREACH:
        case ENOPROTOOPT:
        case ENONET:
        case EOPNOTSUPP:
        case EPERM:
            continue;
        default:
            /* Out of descriptors or memory: the connection stays in the backlog and would announce itself for
             * ever. */
            accept_pause(admin, errno);
            return;
        }
    }
}

static void on_resume(struct ev_loop *loop, struct ev_timer *timer, int events)
{
    struct admin *admin = timer->data;

    (void)events;
    ev_io_start(loop, &admin->acceptor);
}

/* ---- life
 * ---------------------------------------------------------------------------------------------------- */

struct admin *admin_open(struct ev_loop *loop, const struct admin_options *options,
                         const struct admin_source *source, struct log *log, struct fault *fault)
{
    assert(options->max_connections && options->request_timeout_ms);
    size_t slots = options->max_connections * sizeof(struct http_connection);
    struct admin *admin = calloc(1, sizeof *admin + slots);

    if (!admin) {
        fault_set(fault, "out of memory");
        return NULL;
    }
    int fd = socket_listen(&options->listen, SOCKET_EXCLUSIVE, fault);
    if (fd < 0) {
        free(admin);
        return NULL;
    }
    admin->loop = loop;
    admin->options = *options;
    admin->source = *source;
    admin->log = log;
    admin->service = (struct http_service) { .owner = admin,
                                             .on_request = on_request,
                                             .timeout_ms = options->request_timeout_ms };
    admin->bound = socket_local_address(fd);
    admin->file = socket_file_of(&options->listen);
    ev_io_init(&admin->acceptor, on_acceptable, fd, EV_READ);
    admin->acceptor.data = admin;
    ev_init(&admin->resume, on_resume);
    admin->resume.data = admin;
    ev_io_start(loop, &admin->acceptor);
    return admin;
}

void admin_close(struct admin *admin)
{
    if (!admin)
        return;
    for (unsigned i = 0; i < admin->options.max_connections; i++)
        http_connection_close(&admin->connections[i]);
    ev_io_stop(admin->loop, &admin->acceptor);
    ev_timer_stop(admin->loop, &admin->resume);
    socket_file_remove(&admin->file, &admin->options.listen);
    close(admin->acceptor.fd);
    free(admin);
}

const struct socket_address *admin_address(const struct admin *admin)
{
    return &admin->bound;
}
