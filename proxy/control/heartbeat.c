#include "control/heartbeat.h"

#include "base/clock.h"
#include "wire/socket.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DATAGRAMS_PER_WAKE = 64, SECOND_MS = 1000 };

/* A datagram's first byte, where it came from, and which of our addresses it was sent to. */
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

/* What was received says where from, what is sent says where from: an answer is from the address that was
 * asked, or the agent does not know it. The route is the kernel's choice. */
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

/* False: there is none. */
static bool datagram_take(struct heartbeat *heartbeat)
{
    struct datagram datagram;

    datagram_prepare(&datagram);
    ssize_t length = recvmsg(heartbeat->fd, &datagram.header, MSG_DONTWAIT);
    if (length < 0)
        return false;
    heartbeat->taken++;
    /* What comes from our own port number is most likely an answer, of another husk or an aggregator, to a
     * question with a forged sender: the two would go on answering each other for ever. */
    bool is_echo = socket_address_port(&datagram.sender) == socket_address_port(&heartbeat->options.address);
    if (length && !is_echo && heartbeat->options.on_asked(heartbeat->options.owner))
        datagram_answer(heartbeat, &datagram);
    return true;
}

/* False once as many have been taken as a second may have: then it rests until the second is over. */
static bool second_has_room(struct heartbeat *heartbeat)
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
    for (int i = 0; i < DATAGRAMS_PER_WAKE && second_has_room(heartbeat); i++) {
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
