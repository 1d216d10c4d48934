#include "admin/http_connection.h"

#include "base/clock.h"
#include "wire/socket.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LINGER_MS = 1000, LINGER_MAX_BYTES = 256 * 1024 };

static void state_enter(struct http_connection *connection, enum http_state state)
{
    connection->state = state;
    connection->since_ms = clock_monotonic_ms();
}

/* ---- callbacks of http-parser ---- */

static int on_url(http_parser *parser, const char *text, size_t length)
{
    struct http_connection *connection = parser->data;
    size_t space = sizeof connection->target - connection->target_length;
    size_t kept = length < space ? length : space;

    memcpy(connection->target + connection->target_length, text, kept);
    connection->target_length += kept;
    return 0;
}

static int on_header_field(http_parser *parser, const char *text, size_t length)
{
    struct http_connection *connection = parser->data;

    if (!connection->head_complete) /* not a trailer of a body */
        http_host_take_name(&connection->host, text, length);
    return 0;
}

static int on_header_value(http_parser *parser, const char *text, size_t length)
{
    struct http_connection *connection = parser->data;

    if (!connection->head_complete)
        http_host_take_value(&connection->host, text, length);
    return 0;
}

static int on_headers_complete(http_parser *parser)
{
    struct http_connection *connection = parser->data;

    connection->head_complete = true;
    connection->part_bytes = 0;
    /* UINT64_MAX: no Content-Length. Refuse here, before a client that waits for "100 Continue" sends the
     * body. */
    return parser->content_length != UINT64_MAX && parser->content_length > HTTP_BODY_MAX_BYTES ? -1 : 0;
}

static int on_message_complete(http_parser *parser)
{
    struct http_connection *connection = parser->data;

    connection->request_complete = true;
    /* Upgrade and CONNECT are not served: the bytes behind such a request are not HTTP. */
    connection->keep_alive = http_should_keep_alive(parser) && !parser->upgrade;
    http_parser_pause(parser, 1); /* pipelined requests wait */
    return 0;
}

static const http_parser_settings parser_settings = {
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
    .on_message_complete = on_message_complete,
};

/* ---- answers ---- */

static const char *status_phrase(unsigned status)
{
    switch (status) {
#define PHRASE(number, name, phrase)                                                                         \
    case number:                                                                                             \
        return #phrase;
        HTTP_STATUS_MAP(PHRASE)
#undef PHRASE
    default:
        return "";
    }
}

static void deadline_restart(struct http_connection *connection, unsigned delay_ms)
{
    ev_timer_stop(connection->loop, &connection->deadline);
    ev_timer_set(&connection->deadline, delay_ms / 1000.0, 0);
    ev_timer_start(connection->loop, &connection->deadline);
}

/* Starts to write an answer. Takes response->body. */
static void answer_start(struct http_connection *connection, struct http_response *response)
{
    char head[512], date[64];
    struct tm utc;
    time_t now = time(NULL);
    bool with_body = connection->parser.method != HTTP_HEAD;

    gmtime_r(&now, &utc);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &utc);
    int head_length =
        snprintf(head, sizeof head,
                 "HTTP/1.1 %u %s\r\nDate: %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: %s\r\n"
                 "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n%s%s%s\r\n",
                 response->status, status_phrase(response->status), date, response->type, response->length,
                 connection->keep_alive ? "keep-alive" : "close", response->allow ? "Allow: " : "",
                 response->allow ? response->allow : "", response->allow ? "\r\n" : "");
    assert(head_length > 0 && (size_t)head_length < sizeof head);

    size_t body_length = with_body ? response->length : 0;
    if (response->body) {
        connection->output = malloc((size_t)head_length + body_length);
        if (connection->output) {
            memcpy(connection->output, head, (size_t)head_length);
            memcpy(connection->output + head_length, response->body, body_length);
        }
    }
    free(response->body);
    connection->output_length = (size_t)head_length + body_length;
    connection->output_sent = 0;
    state_enter(connection, HTTP_WRITING);
    deadline_restart(connection, connection->service->timeout_ms);
}

/* Answers a request that cannot be read to its end, and closes. */
static void refuse(struct http_connection *connection, unsigned status)
{
    struct http_response response = { .status = status, .type = "text/plain; charset=utf-8" };
    int length = asprintf(&response.body, "%s\n", status_phrase(status));

    response.length = length < 0 ? 0 : (size_t)length;
    if (length < 0)
        response.body = NULL;
    connection->keep_alive = false;
    answer_start(connection, &response);
}

/* Finds path and host in the target. `path` has space for the whole target. */
static void target_parse(struct http_connection *connection, char *path)
{
    const char *target = connection->target;
    struct http_parser_url url;

    http_parser_url_init(&url);
    if (http_parser_parse_url(target, connection->target_length, connection->parser.method == HTTP_CONNECT,
                              &url) != 0)
        return;
    if (url.field_set & 1 << UF_PATH) {
        memcpy(path, target + url.field_data[UF_PATH].off, url.field_data[UF_PATH].len);
        path[url.field_data[UF_PATH].len] = '\0';
    }
    if (url.field_set & 1 << UF_HOST) {
        size_t start = url.field_data[UF_HOST].off, length = url.field_data[UF_HOST].len;
        size_t bracket = start > 0 && target[start - 1] == '[';
        http_host_set_target(&connection->host, target + start - bracket, length + 2 * bracket);
    }
}

static void serve(struct http_connection *connection)
{
    struct http_response response = { 0 };
    char path[HTTP_TARGET_BYTES + 1] = "";

    target_parse(connection, path);
    const struct socket_address peer = socket_peer_address(connection->io.fd);
    const struct http_request request = {
        .method = connection->parser.method,
        .path = path,
        .minor = connection->parser.http_major ? connection->parser.http_minor : 0, /* HTTP/0.9 */
        .host = &connection->host,
        .is_local = socket_address_is_local(&peer),
    };
    connection->service->on_request(connection->service->owner, &request, &response);
    answer_start(connection, &response);
}

/* ---- moving bytes ---- */

/* Waits for a request: `state` is HTTP_OPENED or HTTP_IDLE. */
static void request_await(struct http_connection *connection, enum http_state state)
{
    http_parser_init(&connection->parser, HTTP_REQUEST);
    connection->parser.data = connection;
    connection->target_length = 0;
    connection->host = (struct http_host) { 0 };
    connection->part_bytes = 0;
    connection->head_complete = false;
    connection->request_complete = false;
    connection->keep_alive = false;
    state_enter(connection, state);
    deadline_restart(connection, connection->service->timeout_ms);
}

/* Passes the input to the parser, up to the limit of the head or body. May start an answer. */
static void parse(struct http_connection *connection)
{
    if (connection->state == HTTP_IDLE)
        state_enter(connection, HTTP_READING);
    size_t limit = connection->head_complete ? HTTP_BODY_MAX_BYTES : HTTP_HEAD_MAX_BYTES;
    size_t length = connection->input_end - connection->input_start;

    if (length > limit - connection->part_bytes)
        length = limit - connection->part_bytes;
    if (length == 0) {
        refuse(connection, connection->head_complete ? HTTP_STATUS_PAYLOAD_TOO_LARGE
                                                     : HTTP_STATUS_REQUEST_HEADER_FIELDS_TOO_LARGE);
        return;
    }
    bool was_in_head = !connection->head_complete;
    const char *bytes = connection->input + connection->input_start;
    size_t used = http_parser_execute(&connection->parser, &parser_settings, bytes, length);
    connection->input_start += used;
    if (!connection->head_complete || !was_in_head)
        connection->part_bytes += used;
    if (connection->request_complete) {
        serve(connection);
    } else if (HTTP_PARSER_ERRNO(&connection->parser) == HPE_CB_headers_complete) {
        refuse(connection, HTTP_STATUS_PAYLOAD_TOO_LARGE);
    } else if (HTTP_PARSER_ERRNO(&connection->parser) != HPE_OK) {
        connection->service->on_not_http(connection->service->owner, bytes, length);
        refuse(connection, HTTP_STATUS_BAD_REQUEST);
    }
}

enum progress { PROGRESS, PROGRESS_BLOCKED, PROGRESS_ENDED };

static enum progress progress_of_failure(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? PROGRESS_BLOCKED : PROGRESS_ENDED;
}

static enum progress step_reading(struct http_connection *connection)
{
    if (connection->input_start < connection->input_end) {
        parse(connection);
        return PROGRESS;
    }
    ssize_t length = recv(connection->io.fd, connection->input, sizeof connection->input, 0);
    if (length < 0)
        return progress_of_failure();
    if (length == 0)
        return PROGRESS_ENDED;
    connection->input_start = 0;
    connection->input_end = (size_t)length;
    return PROGRESS;
}

static enum progress step_writing(struct http_connection *connection)
{
    if (!connection->output)
        return PROGRESS_ENDED; /* out of memory */
    ssize_t sent = send(connection->io.fd, connection->output + connection->output_sent,
                        connection->output_length - connection->output_sent, MSG_NOSIGNAL);
    if (sent < 0)
        return progress_of_failure();
    connection->output_sent += (size_t)sent;
    if (connection->output_sent < connection->output_length)
        return PROGRESS;
    free(connection->output);
    connection->output = NULL;
    if (connection->keep_alive) {
        request_await(connection, HTTP_IDLE);
        return PROGRESS;
    }
    shutdown(connection->io.fd, SHUT_WR);
    state_enter(connection, HTTP_LINGERING);
    connection->lingered_bytes = 0;
    deadline_restart(connection, connection->service->timeout_ms < LINGER_MS ? connection->service->timeout_ms
                                                                             : LINGER_MS);
    return PROGRESS;
}

static enum progress step_lingering(struct http_connection *connection)
{
    ssize_t length = recv(connection->io.fd, connection->input, sizeof connection->input, 0);

    if (length < 0)
        return progress_of_failure();
    connection->lingered_bytes += (size_t)length;
    return length == 0 || connection->lingered_bytes > LINGER_MAX_BYTES ? PROGRESS_ENDED : PROGRESS;
}

static void watch(struct http_connection *connection, int events)
{
    int fd = connection->io.fd;

    if (connection->io.events == events && ev_is_active(&connection->io))
        return;
    ev_io_stop(connection->loop, &connection->io);
    ev_io_set(&connection->io, fd, events);
    ev_io_start(connection->loop, &connection->io);
}

void http_connection_step(struct http_connection *connection)
{
    enum progress progress = PROGRESS;
    bool has_answered = false;

    while (progress == PROGRESS && !has_answered) {
        enum http_state before = connection->state;

        if (before == HTTP_WRITING)
            progress = step_writing(connection);
        else if (before == HTTP_LINGERING)
            progress = step_lingering(connection);
        else
            progress = step_reading(connection);
        has_answered = before == HTTP_WRITING && connection->state != HTTP_WRITING;
    }
    if (progress == PROGRESS_ENDED)
        http_connection_close(connection);
    else if (progress == PROGRESS)
        watch(connection, EV_READ | EV_WRITE); /* more to do: called again at the next turn of the loop */
    else
        watch(connection, connection->state == HTTP_WRITING ? EV_WRITE : EV_READ);
}

static void on_io(struct ev_loop *loop, struct ev_io *io, int events)
{
    (void)loop;
    (void)events;
    http_connection_step(io->data);
}

static void on_deadline(struct ev_loop *loop, struct ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    http_connection_close(timer->data);
}

void http_connection_open(struct http_connection *connection, struct ev_loop *loop, int fd,
                          const struct http_service *service)
{
    assert(connection->state == HTTP_FREE);
    connection->loop = loop;
    connection->service = service;
    connection->input_start = 0;
    connection->input_end = 0;
    ev_io_init(&connection->io, on_io, fd, EV_READ);
    connection->io.data = connection;
    ev_init(&connection->deadline, on_deadline);
    connection->deadline.data = connection;
    request_await(connection, HTTP_OPENED);
    http_connection_step(connection);
}

void http_connection_close(struct http_connection *connection)
{
    if (connection->state == HTTP_FREE)
        return;
    ev_io_stop(connection->loop, &connection->io);
    ev_timer_stop(connection->loop, &connection->deadline);
    close(connection->io.fd);
    free(connection->output);
    connection->output = NULL;
    connection->state = HTTP_FREE;
    connection->service->on_closed(connection->service->owner);
}
