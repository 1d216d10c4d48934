#include "admin/admin.h"

#include "admin/http_slots.h"
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

enum {
    ACCEPTS_PER_STEP = 16,
    PAUSE_MIN_MS = 100,
    PAUSE_MAX_MS = 1000,
    READY_TEXT_BYTES = 16384,
    ANSWER_BYTES = 256
};
/* Startup, liveness and readiness probe and a scrape may come at the same time. */
enum { RESERVES = 4 };

struct admin {
    struct ev_loop *loop;
    struct admin_options options;
    struct admin_source source;
    struct log *log;
    struct http_service service;

    struct socket_address bound;
    struct socket_file file;
    struct inherited_origin origin; /* of the socket; another process removes a file that is not own */
    struct ev_io acceptor;
    int reserves[RESERVES]; /* descriptors to give up when none is left to accept with; -1: given up */
    struct ev_timer resume; /* resumes accepting after it failed */
    unsigned pause_ms;      /* the last pause; 0: accepting works */
    struct log_limiter limiter;
    struct log_limiter not_http;   /* lines about clients that do not speak HTTP */
    struct log_limiter other_host; /* lines about requests for other hosts */

    struct http_slots *slots;
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

static void answer_startup(struct admin *admin, const struct http_request *request,
                           struct http_response *response)
{
    bool has_started = admin->source.has_started(admin->source.owner);

    (void)request;
    respond(response, has_started ? HTTP_STATUS_OK : HTTP_STATUS_SERVICE_UNAVAILABLE,
            strdup(has_started ? "started\n" : "starting\n"));
}

static void answer_live(struct admin *admin, const struct http_request *request,
                        struct http_response *response)
{
    (void)admin, (void)request;
    respond(response, HTTP_STATUS_OK, strdup("live\n"));
}

static void answer_ready(struct admin *admin, const struct http_request *request,
                         struct http_response *response)
{
    char reasons[READY_TEXT_BYTES] = "", *body = NULL;

    (void)request;
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

static void answer_metrics(struct admin *admin, const struct http_request *request,
                           struct http_response *response)
{
    struct metrics_snapshot snapshot = { 0 };
    char process[PROCESS_TEXT_BYTES];
    char *body = NULL;

    (void)request;
    admin->source.snapshot(admin->source.owner, &snapshot);
    char *metrics = metrics_text_render(&snapshot);
    process_text_render(process, sizeof process);
    if (metrics && asprintf(&body, "%s%s", metrics, process) < 0)
        body = NULL;
    free(metrics);
    respond(response, HTTP_STATUS_OK, body);
    response->type = "text/plain; version=0.0.4; charset=utf-8";
}

/* Only for peers on this host: the port may be open to a whole cluster. */
static void answer_quit(struct admin *admin, const struct http_request *request,
                        struct http_response *response)
{
    char off[ANSWER_BYTES] = "this page is off: set --admin-quit\n";

    if (!admin->options.has_quit) {
        log_translate(admin->log, SIDE_DOWNSTREAM, off, sizeof off);
        respond(response, HTTP_STATUS_FORBIDDEN, strdup(off));
    } else if (!request->is_local) {
        respond(response, HTTP_STATUS_FORBIDDEN, strdup("only for clients on this host\n"));
    } else if (!admin->source.has_started(admin->source.owner)) {
        respond(response, HTTP_STATUS_SERVICE_UNAVAILABLE, strdup("starting\n"));
    } else {
        admin->source.quit(admin->source.owner);
        respond(response, HTTP_STATUS_OK, strdup("draining\n"));
    }
}

enum page_kind { PAGE_READ, PAGE_ACT };

struct page {
    const char *path;
    enum page_kind kind;
    void (*answer)(struct admin *admin, const struct http_request *request, struct http_response *response);
};

static const struct page pages[] = {
    { "/startup", PAGE_READ, answer_startup }, { "/live", PAGE_READ, answer_live },
    { "/ready", PAGE_READ, answer_ready },     { "/metrics", PAGE_READ, answer_metrics },
    { "/quit", PAGE_ACT, answer_quit },
};
enum { PAGE_COUNT = sizeof pages / sizeof *pages };

static bool page_takes(const struct page *page, unsigned method)
{
    return page->kind == PAGE_ACT ? method == HTTP_POST : method == HTTP_GET || method == HTTP_HEAD;
}

static void answer_other_method(const struct page *page, struct http_response *response)
{
    bool acts = page->kind == PAGE_ACT;

    respond(response, HTTP_STATUS_METHOD_NOT_ALLOWED, strdup(acts ? "only POST\n" : "only GET and HEAD\n"));
    response->allow = acts ? "POST" : "GET, HEAD";
}

static void answer_not_found(struct http_response *response)
{
    char text[ANSWER_BYTES] = "not found; there are:\n";

    for (size_t i = 0; i < PAGE_COUNT; i++) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s\n", pages[i].path);
    }
    respond(response, HTTP_STATUS_NOT_FOUND, strdup(text));
}

static void log_other_host(struct admin *admin, const struct http_host *host)
{
    char name[HTTP_HOST_BYTES + 1];
    struct log_line line;
    uint32_t suppressed;
    size_t length;
    const char *text = http_host_text(host, &length);

    if (!log_limiter_admit(&admin->other_host, clock_monotonic_ms(), 1, &suppressed))
        return;
    snprintf(name, sizeof name, "%.*s", (int)length, text);
    log_begin(&line, admin->log, LOG_WARN, "a client of the admin port asks for another host");
    log_text(&line, "host", name);
    log_words(&line, SIDE_DOWNSTREAM, "hint", "if the name is husk's, set --admin-host");
    log_suppressed(&line, suppressed);
    log_end(&line);
}

/* Whether the request is for husk. If not, writes the response. */
static bool host_admit(struct admin *admin, const struct http_request *request,
                       struct http_response *response)
{
    char text[ANSWER_BYTES] =
        "this host is not husk's: use an IP address or localhost, or set --admin-host\n";

    if (admin->options.listen.storage.ss_family == AF_UNIX)
        return true; /* no web page can reach a Unix socket */
    switch (http_host_judge(request->host, request->minor, &admin->options.hosts)) {
    case HTTP_HOST_OURS:
        break;
    case HTTP_HOST_OTHERS:
        log_other_host(admin, request->host);
        log_translate(admin->log, SIDE_DOWNSTREAM, text, sizeof text);
        respond(response, HTTP_STATUS_MISDIRECTED_REQUEST, strdup(text));
        return false;
    case HTTP_HOST_BAD:
        respond(response, HTTP_STATUS_BAD_REQUEST, strdup("expected one Host: a name or an IP address\n"));
        return false;
    }
    return true;
}

static void on_request(void *owner, const struct http_request *request, struct http_response *response)
{
    struct admin *admin = owner;
    const struct page *page = NULL;

    if (!host_admit(admin, request, response))
        return;
    for (size_t i = 0; i < PAGE_COUNT; i++)
        if (strcmp(request->path, pages[i].path) == 0)
            page = &pages[i];
    if (!page)
        answer_not_found(response);
    else if (!page_takes(page, request->method))
        answer_other_method(page, response);
    else
        page->answer(admin, request, response);
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
    log_words(&line, SIDE_DOWNSTREAM, "hint",
              "--admin serves HTTP without TLS: agents and husks use the address of --listen");
    log_suppressed(&line, suppressed);
    log_end(&line);
}

/* ---- accepting ---- */

static void reserves_take(struct admin *admin)
{
    for (unsigned i = 0; i < RESERVES; i++)
        if (admin->reserves[i] < 0)
            admin->reserves[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static bool reserves_give(struct admin *admin)
{
    for (unsigned i = 0; i < RESERVES; i++) {
        if (admin->reserves[i] < 0)
            continue;
        close(admin->reserves[i]);
        admin->reserves[i] = -1;
        return true;
    }
    return false;
}

/* Frees a descriptor to accept with. False: husk has none that it can free. The descriptor of a connection
 * that gives way becomes a reserve (on_closed). */
static bool descriptor_free(struct admin *admin)
{
    return reserves_give(admin) || (http_slots_evict(admin->slots) && reserves_give(admin));
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

/* Whether the error is of one connection that accept(2) reports, and not of accepting. */
static bool is_of_connection(int error)
{
    switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO: /* EPROTO and the errors below: the network of the connection has failed */
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENOPROTOOPT:
    case ENONET:
    case EOPNOTSUPP:
    case EPERM:
        return true;
    default:
        return false;
    }
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
            http_slots_add(admin->slots, fd);
            continue;
        }
        if (is_of_connection(errno))
            continue;
        int error = errno;
        bool needs_descriptor = error == EMFILE || error == ENFILE;
        /* Without a free descriptor, accept() fails even if no connection waits. Free one for the connection
         * that the watcher has reported; the watcher reports the others again. */
        if (error == EAGAIN || (needs_descriptor && i > 0)) {
            reserves_take(admin);
            return;
        }
        if (needs_descriptor && descriptor_free(admin))
            continue;
        /* The connection stays in the backlog, and the watcher would report the connection for ever. */
        accept_pause(admin, error);
        return;
    }
}

static void on_resume(struct ev_loop *loop, struct ev_timer *timer, int events)
{
    struct admin *admin = timer->data;

    (void)events;
    reserves_take(admin);
    ev_io_start(loop, &admin->acceptor);
}

/* A descriptor is free again: accept now, do not wait for the end of the pause. */
static void on_closed(void *owner)
{
    struct admin *admin = owner;

    reserves_take(admin);
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
    struct admin *admin = calloc(1, sizeof *admin);
    int fd = -1;

    if (!admin || !(admin->slots = http_slots_open(options->max_connections, loop, &admin->service, log)))
        fault_set(fault, "out of memory");
    else
        fd = options->socket ? options->socket->fd
                             : socket_listen(&options->listen, SOCKET_EXCLUSIVE, NULL, fault);
    if (fd < 0) {
        http_slots_close(admin ? admin->slots : NULL);
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
    admin->origin = options->socket ? options->socket->origin
                                    : (struct inherited_origin) { .is_from_husk = true,
                                                                  .is_own_file = admin->file.inode };
    ev_io_init(&admin->acceptor, on_acceptable, fd, EV_READ);
    admin->acceptor.data = admin;
    ev_init(&admin->resume, on_resume);
    admin->resume.data = admin;
    for (unsigned i = 0; i < RESERVES; i++)
        admin->reserves[i] = -1;
    reserves_take(admin);
    return admin;
}

void admin_begin(struct admin *admin)
{
    ev_io_start(admin->loop, &admin->acceptor);
}

/* The socket stays open: libev needs its number to take it out of its epoll set. */
void admin_hand_over(struct admin *admin)
{
    ev_io_stop(admin->loop, &admin->acceptor);
    ev_timer_stop(admin->loop, &admin->resume);
    admin->origin.is_own_file = false;
}

struct admin_socket admin_socket_of(const struct admin *admin)
{
    return (struct admin_socket) { .fd = admin->acceptor.fd, .origin = admin->origin };
}

void admin_close(struct admin *admin)
{
    if (!admin)
        return;
    http_slots_close(admin->slots);
    ev_io_stop(admin->loop, &admin->acceptor);
    ev_timer_stop(admin->loop, &admin->resume);
    if (admin->origin.is_own_file)
        socket_file_remove(&admin->file, &admin->options.listen);
    close(admin->acceptor.fd);
    while (reserves_give(admin))
        ;
    free(admin);
}

const struct socket_address *admin_asked_address(const struct admin *admin)
{
    return &admin->options.listen;
}

const struct socket_address *admin_address(const struct admin *admin)
{
    return &admin->bound;
}
