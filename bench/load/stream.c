/* Agents that ask for no acks: bulk, small messages, arrays of events, or a message now and then.
 *
 * usage: stream PORT CONNECTIONS KIND BYTES MESSAGES WRITE_BYTES RATE. With RATE 0, all connections send the
 * same number of messages of BYTES, as fast as the proxy reads them, in writes of about WRITE_BYTES.
 * Otherwise the connections send RATE messages per second in turn. */
#include "load/connections.h"
#include "load/load.h"
#include "load/messages.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

struct agent {
    int fd;
    uint64_t unsent; /* bytes that it still has to send */
};

struct block {
    uint8_t *bytes; /* complete messages */
    size_t length;
    uint64_t messages;
};

static struct block block_make(const struct message *message, size_t write_bytes)
{
    uint64_t messages = write_bytes > message->length ? write_bytes / message->length : 1;
    struct block block = { load_allocate(messages, message->length), messages * message->length, messages };

    for (uint64_t i = 0; i < messages; i++)
        memcpy(block.bytes + i * message->length, message->bytes, message->length);
    return block;
}

/* Returns 0 once everything is sent, otherwise 1. */
static int agent_send(struct agent *agent, const struct block *block)
{
    while (agent->unsent) {
        size_t rest = (agent->unsent - 1) % block->length + 1;
        ssize_t written = send(agent->fd, block->bytes + block->length - rest, rest, MSG_NOSIGNAL);
        if (written < 0 && errno == EAGAIN)
            return 1;
        if (written < 0)
            load_fail("write: %s", strerror(errno));
        agent->unsent -= (uint64_t)written;
    }
    return 0;
}

static void send_flat_out(const int *fds, uint64_t count, const struct block *block, uint64_t blocks_each)
{
    enum { READY_MAX = 256 };
    struct agent *agents = load_allocate(count, sizeof *agents);
    struct epoll_event ready[READY_MAX];
    uint64_t sending = count;
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    for (uint64_t i = 0; i < count; i++) {
        struct epoll_event event = { .events = EPOLLOUT, .data.ptr = &agents[i] };
        agents[i] = (struct agent) { fds[i], blocks_each * block->length };
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event))
            load_fail("epoll_ctl: %s", strerror(errno));
    }
    while (sending) {
        int ready_count = epoll_wait(epoll, ready, READY_MAX, LOAD_TIMEOUT_SECONDS * 1000);
        if (ready_count == 0)
            load_fail("a proxy has read nothing for %d s", LOAD_TIMEOUT_SECONDS);
        for (int i = 0; i < ready_count; i++) {
            struct agent *agent = ready[i].data.ptr;
            if (agent_send(agent, block))
                continue;
            epoll_ctl(epoll, EPOLL_CTL_DEL, agent->fd, NULL);
            sending--;
        }
    }
    free(agents);
}

static void send_paced(const int *fds, uint64_t count, const struct message *message, uint64_t messages,
                       uint64_t rate)
{
    uint64_t start = load_now_ns();

    for (uint64_t i = 0; i < messages; i++) {
        load_sleep_until(start + (uint64_t)((double)i * 1e9 / (double)rate));
        load_write_all(fds[i % count], message->bytes, message->length);
    }
}

int main(int count, char **arguments)
{
    if (count != 8)
        load_fail("usage: stream PORT CONNECTIONS KIND BYTES MESSAGES WRITE_BYTES RATE");
    uint64_t connections = load_number(arguments[2], 1), messages = load_number(arguments[5], 1);
    uint64_t rate = load_number(arguments[7], 0);
    struct message message = message_make(message_kind_named(arguments[3]),
                                          load_number(arguments[4], MESSAGE_BYTES_MIN), MESSAGE_WITHOUT_ID);
    struct block block = block_make(&message, load_number(arguments[6], 1));
    uint64_t blocks_each = (messages + connections * block.messages - 1) / (connections * block.messages);
    int *fds = connections_open((uint16_t)load_number(arguments[1], 1), connections);

    if (!rate)
        messages = blocks_each * connections * block.messages;
    load_wait_for_start(messages * message.events);
    if (rate)
        send_paced(fds, connections, &message, messages, rate);
    else
        send_flat_out(fds, connections, &block, blocks_each);
    puts("{}");
    load_hold();
    free(fds);
    free(block.bytes);
    free(message.bytes);
    return 0;
}
