/* The aggregator: reads Forward, acknowledges every message that has a chunk id, counts events.
 *
 * usage: sink PORT. A line "N" on standard input begins a new count. Once N events have arrived, or after an
 * empty line, it prints {"events": …, "bytes": …, "seconds": …}. It ends when standard input ends. */
#include "forward/ack.h"
#include "load/load.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    TAIL_BYTES = 128, /* kept from the previous read: the end of a read may cut the id of a message */
    READY_MAX = 256,
};

struct agent {
    int fd;
    uint64_t received;      /* bytes */
    uint64_t message_start; /* of the current message, in received bytes */
    uint8_t tail[TAIL_BYTES];
    struct scanner scanner;
};

struct sink {
    int epoll, listener;
    uint64_t events, bytes, wanted, started_ns;
    size_t acks_length;
    uint8_t area[TAIL_BYTES + LOAD_BUFFER_BYTES];
    uint8_t acks[LOAD_BUFFER_BYTES + ACK_BYTES_MAX];
};

static void report(struct sink *sink)
{
    printf("{\"events\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"seconds\": %.6f}\n", sink->events,
           sink->bytes, (double)(load_now_ns() - sink->started_ns) / 1e9);
    fflush(stdout);
    sink->wanted = 0;
}

static void watch(const struct sink *sink, int fd, void *what)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = what };

    if (epoll_ctl(sink->epoll, EPOLL_CTL_ADD, fd, &event))
        load_fail("epoll_ctl: %s", strerror(errno));
}

static void accept_agents(struct sink *sink)
{
    const struct scanner_limits limits = { .tag_bytes = 1024, .message_bytes = 256 << 20, .depth = 64 };
    int fd;

    while ((fd = accept4(sink->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct agent *agent = load_allocate(1, sizeof *agent);
        agent->fd = fd;
        scanner_init(&agent->scanner, &limits);
        watch(sink, fd, agent);
    }
}

static void end_agent(struct agent *agent)
{
    close(agent->fd);
    free(agent);
}

static void send_acks(struct sink *sink, const struct agent *agent)
{
    if (sink->acks_length)
        load_write_all(agent->fd, sink->acks, sink->acks_length);
    sink->acks_length = 0;
}

/* `fresh`: the bytes just read; the bytes of the tail are directly before them. */
static void settle(struct sink *sink, struct agent *agent, const uint8_t *fresh)
{
    const struct scanner *message = &agent->scanner;
    uint64_t id_at = agent->message_start + message->chunk.start;
    size_t id_length = message->chunk.end - message->chunk.start;

    sink->events += message->entries ? message->entries : 1; /* a packed body without a size is one */
    agent->message_start += message->length;
    if (!id_length)
        return;
    if (id_at + TAIL_BYTES < agent->received)
        load_fail("a chunk id is further from the end of its message than any agent puts it");
    sink->acks_length +=
        ack_write(sink->acks + sink->acks_length, fresh + (ptrdiff_t)(id_at - agent->received), id_length);
    if (sink->acks_length > LOAD_BUFFER_BYTES)
        send_acks(sink, agent);
}

static void take(struct sink *sink, struct agent *agent, size_t length)
{
    const uint8_t *fresh = sink->area + TAIL_BYTES;
    enum scanner_status status;

    for (size_t at = 0; at < length;) {
        at += scanner_feed(&agent->scanner, fresh + at, length - at, &status);
        if (status == SCANNER_END)
            settle(sink, agent, fresh);
        if (status == SCANNER_REFUSED)
            load_fail("not Forward: %s", scanner_refusal_name(agent->scanner.refusal));
    }
    send_acks(sink, agent);
    agent->received += length;
    sink->bytes += length;
    memcpy(agent->tail, sink->area + length, TAIL_BYTES);
}

static void read_agent(struct sink *sink, struct agent *agent)
{
    ssize_t length = recv(agent->fd, sink->area + TAIL_BYTES, LOAD_BUFFER_BYTES, 0);

    if (length > 0) {
        memcpy(sink->area, agent->tail, TAIL_BYTES);
        take(sink, agent, (size_t)length);
    } else if (length == 0 || (errno != EAGAIN && errno != EINTR)) {
        end_agent(agent);
    }
}

static void read_order(struct sink *sink)
{
    char line[32];

    if (!fgets(line, sizeof line, stdin))
        exit(0);
    if (*line == '\n') {
        report(sink);
        return;
    }
    sink->wanted = strtoull(line, NULL, 10);
    sink->events = sink->bytes = 0;
    sink->started_ns = load_now_ns();
    puts("counting");
    fflush(stdout);
}

int main(int count, char **arguments)
{
    static struct sink sink;
    struct epoll_event ready[READY_MAX];

    if (count != 2)
        load_fail("usage: sink PORT");
    sink.epoll = epoll_create1(EPOLL_CLOEXEC);
    sink.listener = load_listen((uint16_t)load_number(arguments[1], 1));
    setvbuf(stdin, NULL, _IONBF, 0);
    watch(&sink, sink.listener, &sink.listener);
    watch(&sink, STDIN_FILENO, stdin);
    puts("listening");
    fflush(stdout);
    for (;;) {
        int ready_count = epoll_wait(sink.epoll, ready, READY_MAX, -1);
        for (int i = 0; i < ready_count; i++) {
            if (ready[i].data.ptr == &sink.listener)
                accept_agents(&sink);
            else if (ready[i].data.ptr == stdin)
                read_order(&sink);
            else
                read_agent(&sink, ready[i].data.ptr);
        }
        if (sink.wanted && sink.events >= sink.wanted)
            report(&sink);
    }
}
