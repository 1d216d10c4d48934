/* Agents that wait for acks: the time from a message to its ack.
 *
 * usage: roundtrip PORT CONNECTIONS BYTES MESSAGES RATE. With a RATE, messages are due at random times
 * (Poisson), whether or not earlier messages have been answered. Each is timed from its due time, so a slow
 * proxy cannot hide its delay by slowing the generator down. With RATE 0 each connection always has WINDOW
 * unanswered messages, which measures the capacity. The first tenth of the messages is not counted. */
#include "forward/ack.h"
#include "load/connections.h"
#include "load/load.h"
#include "load/messages.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>

enum { WINDOW = 4, READY_MAX = 256, ARRIVING_BYTES = 16384 };

struct agent {
    int fd;
    size_t held; /* bytes of an incomplete ack */
    uint8_t arriving[ARRIVING_BYTES];
};

struct trip {
    struct agent *agents;
    uint64_t connections;
    int epoll;
    struct message message;
    uint64_t messages, sent, answered, rate;
    uint64_t *due_ns; /* of each message */
    double *took_us;  /* of each message; 0: no answer yet */
    uint64_t random;
};

static void send_next(struct trip *trip, struct agent *agent, uint64_t due_ns)
{
    trip->due_ns[trip->sent] = due_ns;
    message_set_number(&trip->message, trip->sent++);
    load_write_all(agent->fd, trip->message.bytes, trip->message.length);
}

static void take_answer(struct trip *trip, struct agent *agent, const uint8_t *id)
{
    uint64_t number = message_number(id), now = load_now_ns();

    if (number >= trip->sent || trip->took_us[number] > 0)
        load_fail("an unexpected ack");
    trip->took_us[number] = (double)(now - trip->due_ns[number]) / 1e3;
    trip->answered++;
    if (!trip->rate && trip->sent < trip->messages)
        send_next(trip, agent, now);
}

static void read_answers(struct trip *trip, struct agent *agent)
{
    ssize_t length = recv(agent->fd, agent->arriving + agent->held, ARRIVING_BYTES - agent->held, 0);
    size_t at = 0, taken;
    struct span id;

    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (length <= 0)
        load_fail("a proxy closed a connection that waits for acks");
    agent->held += (size_t)length;
    while (ack_parse(agent->arriving + at, agent->held - at, &taken, &id) == ACK_FOUND) {
        take_answer(trip, agent, agent->arriving + at + id.end - MESSAGE_ID_BYTES);
        at += taken;
    }
    agent->held -= at;
    memmove(agent->arriving, agent->arriving + at, agent->held);
}

/* Reads answers until `until_ns`, when the next message is due; 0: until an answer comes. Returns 0 if none
 * came. */
static int serve(struct trip *trip, uint64_t until_ns)
{
    struct epoll_event ready[READY_MAX];
    uint64_t now = load_now_ns();
    uint64_t wait_ns =
        until_ns ? (until_ns > now ? until_ns - now : 0) : LOAD_TIMEOUT_SECONDS * 1000000000ull;
    const struct timespec wait = { (time_t)(wait_ns / 1000000000), (long)(wait_ns % 1000000000) };
    int count = epoll_pwait2(trip->epoll, ready, READY_MAX, &wait, NULL);

    for (int i = 0; i < count; i++)
        read_answers(trip, ready[i].data.ptr);
    return count > 0;
}

/* Uniform in (0, 1]. */
static double random_share(struct trip *trip)
{
    trip->random ^= trip->random << 13;
    trip->random ^= trip->random >> 7;
    trip->random ^= trip->random << 17;
    return ((double)(trip->random >> 11) + 1) / 9007199254740992.0;
}

static void run_open_loop(struct trip *trip)
{
    double due_ns = (double)load_now_ns();

    while (trip->sent < trip->messages) {
        due_ns -= log(random_share(trip)) * 1e9 / (double)trip->rate;
        while (load_now_ns() < (uint64_t)due_ns)
            serve(trip, (uint64_t)due_ns);
        send_next(trip, &trip->agents[trip->sent % trip->connections], (uint64_t)due_ns);
    }
}

static void run_closed_loop(struct trip *trip)
{
    for (uint64_t i = 0; i < trip->connections * WINDOW && trip->sent < trip->messages; i++)
        send_next(trip, &trip->agents[i % trip->connections], load_now_ns());
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static void report(struct trip *trip, double seconds)
{
    uint64_t first = trip->messages / 10, count = trip->messages - first;
    double *took = trip->took_us + first;

    qsort(took, count, sizeof *took, compare);
    printf("{\"seconds\": %.6f, \"messages\": %" PRIu64 ", \"p50_us\": %.2f, \"p90_us\": %.2f, "
           "\"p99_us\": %.2f, \"max_us\": %.2f}\n",
           seconds, trip->messages, took[count / 2], took[count * 9 / 10], took[count * 99 / 100],
           took[count - 1]);
}

static void open_agents(struct trip *trip, uint16_t port)
{
    int *fds = connections_open(port, trip->connections);

    trip->epoll = epoll_create1(EPOLL_CLOEXEC);
    trip->agents = load_allocate(trip->connections, sizeof *trip->agents);
    for (uint64_t i = 0; i < trip->connections; i++) {
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = &trip->agents[i] };
        trip->agents[i].fd = fds[i];
        if (epoll_ctl(trip->epoll, EPOLL_CTL_ADD, fds[i], &event))
            load_fail("epoll_ctl: %s", strerror(errno));
    }
    free(fds);
}

int main(int count, char **arguments)
{
    if (count != 6)
        load_fail("usage: roundtrip PORT CONNECTIONS BYTES MESSAGES RATE");
    struct trip trip = {
        .connections = load_number(arguments[2], 1),
        .message =
            message_make(MESSAGE_SINGLE, load_number(arguments[3], MESSAGE_BYTES_MIN), MESSAGE_WITH_ID),
        .messages = load_number(arguments[4], 100),
        .rate = load_number(arguments[5], 0),
        .random = 88172645463325252u,
    };
    uint64_t start;

    trip.due_ns = load_allocate(trip.messages, sizeof *trip.due_ns);
    trip.took_us = load_allocate(trip.messages, sizeof *trip.took_us);
    prctl(PR_SET_TIMERSLACK, 1);
    open_agents(&trip, (uint16_t)load_number(arguments[1], 1));
    load_wait_for_start(trip.messages);
    start = load_now_ns();
    if (trip.rate)
        run_open_loop(&trip);
    else
        run_closed_loop(&trip);
    while (trip.answered < trip.messages)
        if (!serve(&trip, 0))
            load_fail("%" PRIu64 " messages were never answered", trip.messages - trip.answered);
    report(&trip, (double)(load_now_ns() - start) / 1e9);
    load_hold();
    free(trip.took_us);
    free(trip.due_ns);
    free(trip.agents);
    free(trip.message.bytes);
    return 0;
}
