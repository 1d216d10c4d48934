#include "load/connections.h"

#include "load/load.h"
#include "load/messages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* At most so many connections wait for their first ack at a time: no listen queue is shorter. */
enum { OPENING_MAX = 32 };

static void await_ack(int fd)
{
    uint8_t ack[MESSAGE_ACK_BYTES];

    for (size_t got = 0; got < sizeof ack;) {
        ssize_t count = recv(fd, ack + got, sizeof ack - got, 0);
        if (count == 0)
            load_fail("a proxy closed a connection before its first ack");
        if (count < 0)
            load_fail("no first ack: %s", strerror(errno));
        got += (size_t)count;
    }
}

int *connections_open(uint16_t port, uint64_t count)
{
    struct message hello = message_make(MESSAGE_SINGLE, 512, MESSAGE_WITH_ID);
    int *fds = load_allocate(count, sizeof *fds);

    for (uint64_t first = 0; first < count; first += OPENING_MAX) {
        uint64_t end = first + OPENING_MAX < count ? first + OPENING_MAX : count;
        for (uint64_t i = first; i < end; i++) {
            fds[i] = load_connect(port);
            load_write_all(fds[i], hello.bytes, hello.length);
        }
        for (uint64_t i = first; i < end; i++) {
            await_ack(fds[i]);
            load_set_nonblocking(fds[i]);
        }
    }
    free(hello.bytes);
    return fds;
}
