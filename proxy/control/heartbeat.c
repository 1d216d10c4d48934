#include "control/heartbeat.h"

#include "base/clock.h"
#include "wire/socket.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DATAGRAMS_PER_WAKE = 64, SECOND_MS = 1000 };

/* The first byte of a datagram, its sender, and which of this machine's addresses it was sent to. */
struct datagram {
    struct socket_address sender;
    char byte;
    struct iovec bytes;
    struct msghdr header;
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(struct in_pktinfo))];
    } control;
};

static void datagram_prepare(struct datagram *datagram)
{
    datagram->bytes = (struct iovec) { &datagram->byte, 1 };
    datagram->header = (struct msghdr) {
        .msg_name = &datagram->sender.storage,
        .msg_namelen = sizeof datagram->sender.storage,
        .msg_iov = &datagram->bytes,
        .msg_iovlen = 1,
        .msg_control = &datagram->control,
        .msg_controllen = sizeof datagram->control,
    };
}

/* The received control message names the address that the datagram was sent to. Sent back, it sets the source
 * address of the answer: an agent accepts an answer only from the address that it asked. The interface is
 * cleared so that the kernel chooses the route. */
static void interface_forget(struct msghdr *header)
{
    for (struct cmsghdr *item = CMSG_FIRSTHDR(header); item; item = CMSG_NXTHDR(header, item)) {
        if (item->cmsg_level == IPPROTO_IP && item->cmsg_type == IP_PKTINFO)
            ((struct in_pktinfo *)CMSG_DATA(item))->ipi_ifindex = 0;
        else if (item->cmsg_level == IPPROTO_IPV6 && item->cmsg_type == IPV6_PKTINFO)
            ((struct in6_pktinfo *)CMSG_DATA(item))->ipi6_ifindex = 0;
    }
}

static void datagram_answer(struct heartbeat *heartbeat, struct datagram *datagram)
{
    datagram->byte = '\0';
    interface_forget(&datagram->header);
    if (sendmsg(heartbeat->fd, &datagram->header, MSG_DONTWAIT | MSG_NOSIGNAL) == 1)
        heartbeat->answered++;
}

/* False: no datagram waits. */
static bool datagram_take(struct heartbeat *heartbeat)
{
    struct datagram datagram;

    datagram_prepare(&datagram);
    ssize_t length = recvmsg(heartbeat->fd, &datagram.header, MSG_DONTWAIT);
    if (length < 0)
        return false;
    heartbeat->taken++;
    /* A datagram from our own port number is most likely an answer of another husk or an aggregator to a
     * forged question. Both would answer each other forever. */
    bool is_echo = socket_address_port(&datagram.sender) == socket_address_port(&heartbeat->options.address);
    if (length && !is_echo && heartbeat->options.on_asked(heartbeat->options.owner))
        datagram_answer(heartbeat, &datagram);
    return true;
}

/* False when the limit of this second is reached: reading pauses until the second is over. */
static bool limit_allows(struct heartbeat *heartbeat)
{
    uint64_t now = clock_monotonic_ms(), elapsed_ms = now - heartbeat->second_start_ms;

    if (elapsed_ms >= SECOND_MS) {
        heartbeat->second_start_ms = now;
        heartbeat->taken = 0;
        return true;
    }
    if (heartbeat->taken < heartbeat->options.per_second)
        return true;
    ev_io_stop(heartbeat->loop, &heartbeat->watcher);
    ev_timer_set(&heartbeat->pause, (double)(SECOND_MS - elapsed_ms) / 1000, 0);
    ev_timer_start(heartbeat->loop, &heartbeat->pause);
    return false;
}

static void on_datagrams(struct ev_loop *loop, ev_io *watcher, int events)
{
    struct heartbeat *heartbeat = watcher->data;

    (void)loop, (void)events;
    for (int i = 0; i < DATAGRAMS_PER_WAKE && limit_allows(heartbeat); i++) {
        if (!datagram_take(heartbeat))
            return;
    }
}

static void on_pause_over(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct heartbeat *heartbeat = timer->data;

    (void)events;
    ev_io_start(loop, &heartbeat->watcher);
}

bool heartbeat_open(struct heartbeat *heartbeat, struct ev_loop *loop,
                    const struct heartbeat_options *options, struct fault *fault)
{
    *heartbeat = (struct heartbeat) { .options = *options };
    heartbeat->fd = socket_bind_datagram(&options->address, fault);
    if (heartbeat->fd < 0)
        return false;
    heartbeat->loop = loop;
    ev_io_init(&heartbeat->watcher, on_datagrams, heartbeat->fd, EV_READ);
    ev_timer_init(&heartbeat->pause, on_pause_over, 0, 0);
    heartbeat->watcher.data = heartbeat->pause.data = heartbeat;
    ev_io_start(loop, &heartbeat->watcher);
    return true;
}

void heartbeat_close(struct heartbeat *heartbeat)
{
    if (!heartbeat->loop)
        return;
    ev_io_stop(heartbeat->loop, &heartbeat->watcher);
    ev_timer_stop(heartbeat->loop, &heartbeat->pause);
    close(heartbeat->fd);
    *heartbeat = (struct heartbeat) { 0 };
}
