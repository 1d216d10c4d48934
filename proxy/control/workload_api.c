#include "control/workload_api.h"

#include "wire/socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BYTES = 16 * 1024, READS_PER_TURN = 16, DEAD_PEER_MS = 60 * 1000 };

static const char method[] = "/SpiffeWorkloadAPI/FetchX509SVID";

/* ---- pauses ---- */

/* Between a half and the whole of the pause: the clients of an agent that starts again come one by one. */
static uint64_t shortened(uint64_t pause_ms)
{
    uint32_t random = 0;

    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        return pause_ms;
    return pause_ms - pause_ms / 2 * random / UINT32_MAX;
}

static void timer_set(struct workload_api *api, uint64_t ms)
{
    ev_timer_stop(api->options.loop, &api->timer);
    ev_timer_set(&api->timer, (double)ms / 1000, 0);
    ev_timer_start(api->options.loop, &api->timer);
}

/* ---- the end of a stream ---- */

static void stream_close(struct workload_api *api)
{
    ev_io_stop(api->options.loop, &api->readable);
    ev_io_stop(api->options.loop, &api->writable);
    ev_timer_stop(api->options.loop, &api->timer);
    grpc_call_free(api->call);
    api->call = NULL;
    if (api->fd >= 0)
        close(api->fd);
    api->fd = -1;
    api->unsent.length = 0;
}

/* Logs a state once, however often the attempts end in the same way. */
static void failure_note(struct workload_api *api, const char *text)
{
    bool is_known = strcmp(api->fault.text, text) == 0;

    api->failures++;
    fault_set(&api->fault, "%s", text);
    if (!is_known)
        log_say(api->options.log, LOG_WARN, "%s: SPIFFE Workload API: %s; husk tries again%s", api->socket,
                text,
                api->answer         ? ", and keeps the last answer"
                : api->is_withdrawn ? ", and no longer uses the last answer"
                                    : "");
}

static void stream_fail(struct workload_api *api, const char *text)
{
    char copy[FAULT_TEXT_BYTES];

    strncpy(copy, text, sizeof copy - 1);
    copy[sizeof copy - 1] = '\0';
    stream_close(api);
    failure_note(api, copy);
    timer_set(api, shortened(api->retry_ms));
    api->retry_ms *= 2;
    if (api->retry_ms > api->options.limits.retry_max_ms)
        api->retry_ms = api->options.limits.retry_max_ms;
}

static void retry_reset(struct workload_api *api)
{
    uint64_t max_ms = api->options.limits.retry_max_ms;

    api->retry_ms = max_ms < WORKLOAD_API_RETRY_MIN_MS ? max_ms : WORKLOAD_API_RETRY_MIN_MS;
}

/* ---- answers ---- */

static void answer_free(struct workload_api *api)
{
    if (api->answer) {
        explicit_bzero(api->answer, api->answer_bytes);
        free(api->answer);
    }
    api->answer = NULL;
    api->answer_bytes = 0;
}

/* The call runs: nobody is told of the answer before the call has returned. */
static void on_message(void *owner, uint8_t *bytes, size_t length)
{
    struct workload_api *api = owner;

    api->received++;
    if (api->answer && api->answer_bytes == length && memcmp(api->answer, bytes, length) == 0) {
        explicit_bzero(bytes, length);
        free(bytes);
        return;
    }
    answer_free(api);
    api->answer = bytes;
    api->answer_bytes = length;
    api->is_withdrawn = false;
    api->answers++;
}

/* The caller tells the owner when the stream is closed. */
static bool answer_withdraw(struct workload_api *api)
{
    if (!api->answer)
        return false;
    answer_free(api);
    api->is_withdrawn = true;
    api->answers++;
    return true;
}

/* A stream that begins again repeats the answer. */
static void answer_announce(struct workload_api *api, uint64_t answers_before)
{
    if (api->fault.text[0])
        log_say(api->options.log, LOG_INFO, "%s: SPIFFE Workload API: answers again", api->socket);
    api->fault.text[0] = '\0';
    retry_reset(api);
    ev_timer_stop(api->options.loop, &api->timer);
    if (api->answers != answers_before)
        api->options.on_answer(api->options.owner);
}

/* ---- the stream ---- */

/* False: the connection is broken. */
static bool bytes_send(struct workload_api *api)
{
    while (api->unsent.length || (api->unsent.length = grpc_call_send(api->call, &api->unsent.bytes))) {
        ssize_t sent = send(api->fd, api->unsent.bytes, api->unsent.length, MSG_NOSIGNAL);
        if (sent < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        if (sent < 0)
            return false;
        api->unsent.bytes += sent;
        api->unsent.length -= (size_t)sent;
    }
    ev_io_stop(api->options.loop, api->unsent.length ? &api->readable : &api->writable);
    ev_io_start(api->options.loop, api->unsent.length ? &api->writable : &api->readable);
    return true;
}

/* False: the connection has ended. */
static bool bytes_receive(struct workload_api *api)
{
    uint8_t bytes[READ_BYTES];
    bool goes_on = true;

    for (unsigned i = 0; goes_on && i < READS_PER_TURN; i++) {
        ssize_t length = recv(api->fd, bytes, sizeof bytes, 0);
        if (length < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        goes_on = length > 0 && grpc_call_receive(api->call, bytes, (size_t)length);
    }
    explicit_bzero(bytes, sizeof bytes);
    return goes_on;
}

/* Bytes that are not sent yet belong to the call until it takes other bytes. So received bytes wait for them.
 */
static void stream_step(struct workload_api *api)
{
    uint64_t answers = api->answers, received = api->received;
    bool goes_on = bytes_send(api) && (api->unsent.length || (bytes_receive(api) && bytes_send(api)));
    const struct grpc_end *end = grpc_call_end(api->call);

    if (api->received != received)
        answer_announce(api, answers);
    api->code = end ? end->code : -1;
    bool is_denied = api->code == GRPC_PERMISSION_DENIED && answer_withdraw(api);
    if (end)
        stream_fail(api, end->text.text);
    else if (!goes_on)
        stream_fail(api, "the server closed the connection");
    if (is_denied)
        api->options.on_answer(api->options.owner);
}

static void on_ready(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop, (void)events;
    stream_step(watcher->data);
}

static void on_connected(struct ev_loop *loop, ev_io *watcher, int events)
{
    struct workload_api *api = watcher->data;
    enum end_reason outcome = socket_connect_outcome(api->fd);

    (void)events;
    if (outcome != END_NONE) {
        stream_fail(api, end_reason_phrase(outcome));
        return;
    }
    ev_io_stop(loop, watcher);
    ev_set_cb(watcher, on_ready);
    stream_step(api);
}

static void dial(struct workload_api *api)
{
    const struct grpc_call_options call = {
        .path = method,
        .metadata_key = "workload.spiffe.io",
        .metadata_value = "true",
        .message_bytes_max = api->options.limits.message_bytes,
        .on_message = on_message,
        .owner = api,
    };
    enum end_reason reason = END_NO_MEMORY;

    api->call = grpc_call_new(&call);
    api->fd = api->call ? socket_connect(&api->address, DEAD_PEER_MS, &reason) : -1;
    if (api->fd < 0) {
        stream_fail(api, end_reason_phrase(reason));
        return;
    }
    ev_io_init(&api->readable, on_ready, api->fd, EV_READ);
    ev_io_init(&api->writable, on_connected, api->fd, EV_WRITE);
    api->readable.data = api->writable.data = api;
    ev_io_start(api->options.loop, &api->writable);
    timer_set(api, api->options.limits.answer_ms);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct workload_api *api = timer->data;

    (void)loop, (void)events;
    if (api->fd >= 0)
        stream_fail(api, "the server does not answer");
    else
        dial(api);
}

/* ---- life ---- */

void workload_api_open(struct workload_api *api, const struct workload_api_options *options)
{
    struct address address;
    struct fault unused;

    *api = (struct workload_api) { .options = *options, .fd = -1, .code = -1 };
    strncpy(api->socket, options->socket, sizeof api->socket - 1);
    ev_io_init(&api->readable, on_ready, -1, 0);
    ev_io_init(&api->writable, on_ready, -1, 0);
    ev_timer_init(&api->timer, on_timer, 0, 0);
    api->timer.data = api;
    retry_reset(api);
    if (address_parse_dialled(&address, options->socket, &unused) &&
        address_to_socket(&address, &api->address))
        dial(api);
}

void workload_api_close(struct workload_api *api)
{
    stream_close(api);
    answer_free(api);
}

bool workload_api_answer(const struct workload_api *api, struct svid_message *answer)
{
    *answer = (struct svid_message) { api->answer, api->answer_bytes };
    return api->answer;
}

void workload_api_describe(const struct workload_api *api, struct fault *fault)
{
    fault_set(fault, "%s: SPIFFE Workload API: %s", api->socket,
              api->fault.text[0] ? api->fault.text : "waits for the first answer");
}
