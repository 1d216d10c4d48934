#include "admin/admin.h"

#include "admin/http_connection.h"
#include "admin/metrics_text.h"
#include "admin/process_text.h"
#include "base/clock.h"
#include "wire/socket.h"
#include "wire/spoken.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
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
    int reserve;            /* a descriptor to give up when none is left to accept with; -1: in use */
    struct ev_timer resume; /* resumes accepting after descriptors ran out */
    unsigned pause_ms;      /* the last pause; 0: accepting works */
    struct log_limiter limiter;
    struct log_limiter not_http; /* lines about clients that do not speak HTTP */

    struct http_connection connections[]; /* options.max_connections of them */
};

/* ---- pages ---- */

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
    char reasons[READY_TEXT_BYTES] = "", *body = NULL;

    if (admin->source.ready(admin->source.owner, reasons, sizeof reasons - 1)) {
        if (asprintf(&body, "ready\n%s", reasons) < 0)
            body = NULL;
        respond(response, HTTP_STATUS_OK, body);
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

struct page {
    const char *path;
    void (*answer)(struct admin *admin, struct http_response *response);
};

static const struct page pages[] = {
    { "/live", answer_live },
    { "/ready", answer_ready },
    { "/metrics", answer_metrics },
};
enum { PAGE_COUNT = sizeof pages / sizeof *pages };

static void answer_not_found(struct http_response *response)
{
    char text[256] = "not found; there are:\n";

    for (size_t i = 0; i < PAGE_COUNT; i++) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s\n", pages[i].path);
    }
    respond(response, HTTP_STATUS_NOT_FOUND, strdup(text));
}

static void on_request(void *owner, const struct http_request *request, struct http_response *response)
{
    struct admin *admin = owner;
    const struct page *page = NULL;

    for (size_t i = 0; i < PAGE_COUNT; i++)
        if (strcmp(request->path, pages[i].path) == 0)
            page = &pages[i];
    if (!page) {
        answer_not_found(response);
    } else if (request->method != HTTP_GET && request->method != HTTP_HEAD) {
        respond(response, HTTP_STATUS_METHOD_NOT_ALLOWED, strdup("only GET and HEAD\n"));
        response->allow = "GET, HEAD";
    } else {
        page->answer(admin, response);
    }
    /* No client keeps the last descriptor: the next client may be the liveness probe. */
    response->is_last = admin->reserve < 0;
}

/* Logs that a client does not speak HTTP: probably an agent or a husk that has the address of --admin. */
static void on_not_http(void *owner, const void *bytes, size_t length)
{
    struct admin *admin = owner;
    enum spoken spoken = spoken_of(bytes, length);
    struct log_line line;
    uint32_t suppressed;

    if (spoken == SPOKEN_OTHER || spoken == SPOKEN_UNCLEAR ||
        !log_limiter_admit(&admin->not_http, clock_monotonic_ms(), 1, &suppressed))
        return;
    log_begin(&line, admin->log, LOG_WARN, "a client of the admin port does not speak HTTP");
    log_text(&line, "speaks", spoken_name(spoken));
    log_text(&line, "hint", "--admin serves HTTP without TLS: agents and husks use the address of --listen");
    log_suppressed(&line, suppressed);
    log_end(&line);
}

/* ---- accepting ---- */

static void reserve_take(struct admin *admin)
{
    if (admin->reserve < 0)
        admin->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Returns -1 and errno if no connection waits, or if no descriptor is left even with the reserve. */
static int accept_one(struct admin *admin)
{
    int fd = accept4(admin->acceptor.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0 || admin->reserve < 0 || (errno != EMFILE && errno != ENFILE))
        return fd;
    close(admin->reserve);
    admin->reserve = -1;
    fd = accept4(admin->acceptor.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    int error = errno;
    reserve_take(admin);
    errno = error;
    return fd;
}

static void accept_pause(struct admin *admin, int error)
{
    struct log_line line;
    uint32_t suppressed;

    admin->pause_ms = admin->pause_ms ? admin->pause_ms * 2 : PAUSE_MIN_MS;
    if (admin->pause_ms > PAUSE_MAX_MS)
        admin->pause_ms = PAUSE_MAX_MS;
    ev_io_stop(admin->loop, &admin->acceptor);
    ev_timer_set(&admin->resume, admin->pause_ms / 1000.0, 0);
    ev_timer_start(admin->loop, &admin->resume);
    if (!log_limiter_admit(&admin->limiter, clock_monotonic_ms(), 1, &suppressed))
        return;
    log_begin(&line, admin->log, LOG_WARN, "admin cannot accept");
    log_text(&line, "detail", strerror(error));
    log_suppressed(&line, suppressed);
    log_end(&line);
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
    reserve_take(admin);
}

static void on_acceptable(struct ev_loop *loop, struct ev_io *io, int events)
{
    struct admin *admin = io->data;

    (void)loop;
    (void)events;
    /* Without the reserve, accept() fails even if no connection waits, so accept once only: the watcher
     * reports connections that still wait. */
    for (unsigned i = 0; i < ACCEPTS_PER_STEP && (i == 0 || admin->reserve >= 0); i++) {
        int fd = accept_one(admin);

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
        case EPROTO: /* these and the next are errors of the new connection's network, accept(2) */
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
            /* Out of descriptors or memory: the connection stays in the backlog, and the watcher would report
             * it for ever. */
            accept_pause(admin, errno);
            return;
        }
    }
}

static void on_resume(struct ev_loop *loop, struct ev_timer *timer, int events)
{
    struct admin *admin = timer->data;

    (void)events;
    reserve_take(admin);
    ev_io_start(loop, &admin->acceptor);
}

/* A descriptor is free again: accept now, do not wait for the end of the pause. */
static void on_closed(void *owner)
{
    struct admin *admin = owner;

    reserve_take(admin);
    if (ev_is_active(&admin->resume)) {
        ev_timer_stop(admin->loop, &admin->resume);
        ev_io_start(admin->loop, &admin->acceptor);
    }
}

/* ---- opening and closing ---- */

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
    int fd = socket_listen(&options->listen, SOCKET_EXCLUSIVE, NULL, fault);
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
                                             .on_not_http = on_not_http,
                                             .on_closed = on_closed,
                                             .timeout_ms = options->request_timeout_ms };
    admin->bound = socket_local_address(fd);
    admin->file = socket_file_of(&options->listen);
    ev_io_init(&admin->acceptor, on_acceptable, fd, EV_READ);
    admin->acceptor.data = admin;
    ev_init(&admin->resume, on_resume);
    admin->resume.data = admin;
    admin->reserve = -1;
    reserve_take(admin);
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
    if (admin->reserve >= 0)
        close(admin->reserve);
    free(admin);
}

const struct socket_address *admin_address(const struct admin *admin)
{
    return &admin->bound;
}
