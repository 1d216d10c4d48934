/* husk receive: a Forward aggregator for tests. Prints every event as a JSON line, and then acks the message
 * if it requests an ack.
 *
 * One thread, one loop. The receiver owns the peers. A step of a peer reads once, prints the complete
 * messages, writes acks, and then sets what to wait for. */
#include "commands/commands.h"

#include "commands/event_json.h"
#include "commands/forward_message.h"
#include "commands/object_stream.h"
#include "config/setting_value.h"
#include "config/settings.h"
#include "config/settings_help.h"
#include "wire/socket.h"

#include <errno.h>
#include <ev.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 64 * 1024, LAST_ACKS_MS = 2000 };

struct receive_options {
    const char *listen;
    uint64_t count, timeout_ms, max_message;
};

#define AT(field) offsetof(struct receive_options, field)
static const struct setting settings[] = {
    { "listen", SETTING_TEXT, AT(listen), .required_by = SETTING_REQUIRED, .value_name = "ADDR",
      .help = "IP:port (port 0: any free one) or unix:PATH" },
    { "count", SETTING_COUNT, AT(count), .min = 1, .value_name = "N",
      .help = "exit after N events; the message with the Nth event is printed completely" },
    { "timeout", SETTING_DURATION, AT(timeout_ms), .fallback = "off", .min = 1, .max = 86400000,
      .zero_word = "off", .value_name = "DURATION",
      .help = "exit with status 1 if --count is not reached in this time" },
    { "max-message", SETTING_BYTES, AT(max_message), .fallback = "64MiB", .min = 1024,
      .max = UINT64_C(2) << 30, .value_name = "SIZE",
      .help = "largest accepted message, compressed or decompressed" },
};
#undef AT
static const struct settings_table table = { .rows = settings,
                                             .count = sizeof settings / sizeof settings[0] };

struct receiver {
    const struct receive_options *options;
    struct ev_loop *loop;
    ev_io listener;
    ev_signal interrupted, terminated;
    ev_timer timeout;
    struct peer *peers;
    FILE *lines; /* events of the current read, in memory until they are written to stdout at once */
    char *lines_text;
    size_t lines_bytes;
    uint64_t printed;
    bool is_stopping;
    int status; /* when is_stopping is set */
};

struct peer {
    struct receiver *receiver;
    struct peer *previous, *next;
    ev_io io;
    char name[ADDRESS_TEXT_BYTES];
    struct object_stream stream;
    msgpack_sbuffer acks; /* not yet taken by the socket */
};

enum outcome { OUTCOME_GOES_ON, OUTCOME_ENDED, OUTCOME_REFUSED };

/* The first call decides the exit status. */
static void stop(struct receiver *receiver, int status)
{
    if (!receiver->is_stopping)
        receiver->status = status;
    receiver->is_stopping = true;
    ev_break(receiver->loop, EVBREAK_ALL);
}

static bool count_is_reached(const struct receiver *receiver)
{
    return receiver->options->count > 0 && receiver->printed >= receiver->options->count;
}

/* ---- acks ---- */

/* Sends the id back with the same type and bytes. */
static bool ack_queue(struct peer *peer, const msgpack_object *chunk)
{
    msgpack_packer packer;

    msgpack_packer_init(&packer, &peer->acks, msgpack_sbuffer_write);
    int failures = msgpack_pack_map(&packer, 1);
    failures |= msgpack_pack_str_with_body(&packer, "ack", strlen("ack"));
    failures |= msgpack_pack_object(&packer, *chunk);
    return failures == 0;
}

/* Sends all queued acks with one call: agents treat a partial ack as a failure. */
static bool acks_send(struct peer *peer)
{
    if (peer->acks.size == 0)
        return true;
    ssize_t sent = send(peer->io.fd, peer->acks.data, peer->acks.size, MSG_NOSIGNAL);
    if (sent < 0)
        return errno == EAGAIN || errno == EINTR;
    memmove(peer->acks.data, peer->acks.data + sent, peer->acks.size - (size_t)sent);
    peer->acks.size -= (size_t)sent;
    return true;
}

/* Before the process exits: sends the acks of printed events, if the agent takes them soon. */
static void last_acks_send(struct peer *peer)
{
    struct pollfd writable = { .fd = peer->io.fd, .events = POLLOUT };

    while (acks_send(peer) && peer->acks.size > 0 && poll(&writable, 1, LAST_ACKS_MS) > 0)
        ;
}

/* ---- events ---- */

static void on_event(void *target, const struct forward_event *event)
{
    struct receiver *receiver = target;

    event_json_print(receiver->lines, event);
    receiver->printed++;
}

/* Prints the events of one message and queues its ack. Does neither if the message is broken. */
static bool message_receive(struct peer *peer, const msgpack_object *object, struct fault *fault)
{
    struct receiver *receiver = peer->receiver;
    struct forward_message message;
    uint64_t printed_before = receiver->printed;
    off_t lines_before = ftello(receiver->lines);

    if (!forward_message_read(&message, object, fault))
        return false;
    if (!forward_message_visit(&message, receiver->options->max_message, on_event, receiver, fault)) {
        fseeko(receiver->lines, lines_before, SEEK_SET);
        receiver->printed = printed_before;
        return false;
    }
    if (message.chunk.type == MSGPACK_OBJECT_NIL || ack_queue(peer, &message.chunk))
        return true;
    fault_set(fault, "out of memory");
    return false;
}

/* Handles all complete messages in the peer's stream, up to --count. */
static bool messages_receive(struct peer *peer, struct fault *fault)
{
    enum object_stream_state state = OBJECT_INCOMPLETE;
    msgpack_object object;

    while (!count_is_reached(peer->receiver) &&
           (state = object_stream_next(&peer->stream, &object, fault)) == OBJECT_WHOLE) {
        if (!message_receive(peer, &object, fault))
            return false;
    }
    if (state == OBJECT_BROKEN)
        fault_wrap(fault, "a message cannot be read");
    return state != OBJECT_BROKEN;
}

/* Writes the events before their acks are sent: an ack promises that the events are stored. */
static bool lines_write(struct receiver *receiver)
{
    if (fflush(receiver->lines) != 0 || ferror(receiver->lines)) {
        fputs("husk receive: out of memory\n", stderr);
        return false;
    }
    /* The position, not the size of the buffer: lines of a broken message may be behind it. */
    off_t bytes = ftello(receiver->lines);
    if (bytes >= 0 && fseeko(receiver->lines, 0, SEEK_SET) == 0 &&
        fwrite(receiver->lines_text, 1, (size_t)bytes, stdout) == (size_t)bytes && fflush(stdout) == 0)
        return true;
    fprintf(stderr, "husk receive: cannot write to stdout: %s\n", strerror(errno));
    return false;
}

/* ---- peers ---- */

static void peer_close(struct peer *peer, enum outcome outcome)
{
    struct receiver *receiver = peer->receiver;

    ev_io_stop(receiver->loop, &peer->io);
    if (outcome == OUTCOME_REFUSED)
        socket_close_by_reset(peer->io.fd);
    else
        close(peer->io.fd);
    if (peer->previous)
        peer->previous->next = peer->next;
    else
        receiver->peers = peer->next;
    if (peer->next)
        peer->next->previous = peer->previous;
    object_stream_deinit(&peer->stream);
    msgpack_sbuffer_destroy(&peer->acks);
    free(peer);
    /* Accepting may have paused because there was no descriptor; now there is one. */
    ev_io_start(receiver->loop, &receiver->listener);
}

static enum outcome peer_end(struct peer *peer, int error)
{
    if (object_stream_is_inside(&peer->stream))
        fprintf(stderr, "husk receive: %s: %s in the middle of a message\n", peer->name,
                error ? strerror(error) : "ended");
    return OUTCOME_ENDED;
}

static enum outcome peer_read(struct peer *peer, struct fault *fault)
{
    char bytes[READ_BYTES];

    ssize_t got = recv(peer->io.fd, bytes, sizeof bytes, 0);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? OUTCOME_GOES_ON : peer_end(peer, errno);
    if (got == 0)
        return peer_end(peer, 0);
    if (!object_stream_append(&peer->stream, bytes, (size_t)got, fault) || !messages_receive(peer, fault))
        return OUTCOME_REFUSED;
    return OUTCOME_GOES_ON;
}

/* An agent that does not take its acks is not read. */
static void peer_await(struct peer *peer)
{
    int wanted = peer->acks.size > 0 ? EV_WRITE : EV_READ;

    if ((peer->io.events & (EV_READ | EV_WRITE)) == wanted && ev_is_active(&peer->io))
        return;
    ev_io_stop(peer->receiver->loop, &peer->io);
    ev_io_set(&peer->io, peer->io.fd, wanted);
    ev_io_start(peer->receiver->loop, &peer->io);
}

static void peer_step(struct peer *peer)
{
    struct receiver *receiver = peer->receiver;
    enum outcome outcome = OUTCOME_GOES_ON;
    struct fault fault;

    if (peer->acks.size == 0)
        outcome = peer_read(peer, &fault);
    if (!lines_write(receiver)) {
        msgpack_sbuffer_clear(&peer->acks);
        stop(receiver, EXIT_STATUS_FAILED);
        return;
    }
    if (!acks_send(peer) && outcome == OUTCOME_GOES_ON)
        outcome = OUTCOME_ENDED;
    if (count_is_reached(receiver))
        stop(receiver, EXIT_STATUS_OK);
    if (outcome == OUTCOME_REFUSED)
        fprintf(stderr, "husk receive: %s: %s; connection reset\n", peer->name, fault.text);
    if (outcome == OUTCOME_GOES_ON)
        peer_await(peer);
    else
        peer_close(peer, outcome);
}

static void on_peer_ready(struct ev_loop *loop, ev_io *io, int events)
{
    struct peer *peer = io->data;

    (void)loop;
    (void)events;
    if (!peer->receiver->is_stopping) /* libev still calls pending watchers */
        peer_step(peer);
}

/* Takes `fd`. */
static bool peer_open(struct receiver *receiver, int fd, const struct socket_address *address)
{
    struct peer *peer = calloc(1, sizeof *peer);

    if (!peer) {
        close(fd);
        return false;
    }
    peer->receiver = receiver;
    peer->next = receiver->peers;
    if (peer->next)
        peer->next->previous = peer;
    receiver->peers = peer;
    object_stream_init(&peer->stream, receiver->options->max_message);
    msgpack_sbuffer_init(&peer->acks);
    socket_address_format(address, peer->name, sizeof peer->name);
    socket_tune(fd, 0);
    ev_io_init(&peer->io, on_peer_ready, fd, EV_READ);
    peer->io.data = peer;
    peer_await(peer);
    return true;
}

static void on_connection(struct ev_loop *loop, ev_io *io, int events)
{
    struct receiver *receiver = io->data;
    struct socket_address address = { .length = sizeof address.storage };

    (void)events;
    int fd =
        accept4(io->fd, (struct sockaddr *)&address.storage, &address.length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        if (!peer_open(receiver, fd, &address))
            fputs("husk receive: out of memory; a connection was closed\n", stderr);
        return;
    }
    if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
        return;
    fprintf(stderr, "husk receive: cannot accept: %s\n", strerror(errno));
    if (receiver->peers)
        ev_io_stop(loop, io); /* until a peer leaves */
    else
        stop(receiver, EXIT_STATUS_FAILED);
}

/* ---- the process ---- */

static void on_signal(struct ev_loop *loop, ev_signal *signal, int events)
{
    (void)loop;
    (void)events;
    stop(signal->data, EXIT_STATUS_OK);
}

static void on_timeout(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct receiver *receiver = timer->data;
    char wanted[32] = "";

    (void)loop;
    (void)events;
    if (receiver->options->count)
        snprintf(wanted, sizeof wanted, " of %" PRIu64, receiver->options->count);
    fprintf(stderr, "husk receive: timed out with %" PRIu64 "%s events\n", receiver->printed, wanted);
    stop(receiver, EXIT_STATUS_FAILED);
}

static void watchers_start(struct receiver *receiver, int listener)
{
    ev_io_init(&receiver->listener, on_connection, listener, EV_READ);
    ev_signal_init(&receiver->interrupted, on_signal, SIGINT);
    ev_signal_init(&receiver->terminated, on_signal, SIGTERM);
    ev_timer_init(&receiver->timeout, on_timeout, (double)receiver->options->timeout_ms / 1000, 0);
    receiver->listener.data = receiver->interrupted.data = receiver->terminated.data =
        receiver->timeout.data = receiver;
    ev_io_start(receiver->loop, &receiver->listener);
    ev_signal_start(receiver->loop, &receiver->interrupted);
    ev_signal_start(receiver->loop, &receiver->terminated);
    if (receiver->options->timeout_ms)
        ev_timer_start(receiver->loop, &receiver->timeout);
}

static void watchers_stop(struct receiver *receiver)
{
    ev_io_stop(receiver->loop, &receiver->listener);
    ev_signal_stop(receiver->loop, &receiver->interrupted);
    ev_signal_stop(receiver->loop, &receiver->terminated);
    ev_timer_stop(receiver->loop, &receiver->timeout);
}

static void readiness_report(int listener)
{
    struct socket_address address = socket_local_address(listener);
    char text[ADDRESS_TEXT_BYTES];

    socket_address_format(&address, text, sizeof text);
    fprintf(stderr, "husk receive: listening on %s\n", text);
}

static int receive_events(const struct receive_options *options, int listener)
{
    struct receiver receiver = { .options = options,
                                 .loop = ev_loop_new(EVFLAG_AUTO),
                                 .status = EXIT_STATUS_FAILED };

    receiver.lines = open_memstream(&receiver.lines_text, &receiver.lines_bytes);
    if (!receiver.loop || !receiver.lines) {
        fputs("husk receive: out of memory\n", stderr);
        goto out;
    }
    watchers_start(&receiver, listener);
    readiness_report(listener); /* after the watchers are started: a signal now ends the process in order */
    ev_run(receiver.loop, 0);
    for (struct peer *peer = receiver.peers, *next; peer; peer = next) {
        next = peer->next;
        last_acks_send(peer);
        peer_close(peer, OUTCOME_ENDED);
    }
    watchers_stop(&receiver);
out:
    if (receiver.lines)
        fclose(receiver.lines);
    free(receiver.lines_text);
    if (receiver.loop)
        ev_loop_destroy(receiver.loop);
    return receiver.status;
}

static void unix_path_remove(const struct address *address)
{
    if (address->is_unix)
        unlink(address->host);
}

int receive_command(int argc, char **argv)
{
    struct receive_options options = { 0 };
    struct address address;
    struct socket_address at;
    struct fault fault;

    const struct settings_words words = { .count = argc, .items = argv };
    bool usable = settings_parse(&table, &options, &words, &fault);
    if (usable && !address_parse(&address, options.listen, &fault)) {
        fault_wrap(&fault, "--listen");
        usable = false;
    }
    if (usable && !address_to_socket(&address, &at)) {
        fault_set(&fault, "--listen: \"%s\" is not an IP address", address.host);
        usable = false;
    }
    if (!usable) {
        fprintf(stderr, "husk receive: %s\n", fault.text);
        return EXIT_STATUS_USAGE;
    }
    int listener = socket_listen(&at, SOCKET_EXCLUSIVE, NULL, &fault);
    if (listener < 0) {
        fprintf(stderr, "husk receive: %s\n", fault.text);
        return EXIT_STATUS_FAILED;
    }
    signal(SIGPIPE, SIG_IGN); /* a closed stdout is an error like any other */
    int status = receive_events(&options, listener);
    unix_path_remove(&address);
    close(listener);
    return status;
}

void receive_print_help(FILE *out)
{
    fputs("husk receive: prints the events that Forward agents send to it, as JSON, one per line\n\n", out);
    settings_print_help(&table, out);
}
