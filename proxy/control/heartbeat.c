#include "control/heartbeat.h"

#include "base/clock.h"
#include "wire/socket.h"

#include <assert.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    DATAGRAMS_PER_WAKE = 64,
    SECOND_MS = 1000,
    LIMITED_LOG_BURST = 1,
    DESCRIPTORS_LEFT_MIN = 16, /* for connections */
};

/* The first byte of a datagram, its source, and which of this machine's addresses it was sent to. */
struct datagram {
    struct socket_address source;
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
        .msg_name = &datagram->source.storage,
        .msg_namelen = sizeof datagram->source.storage,
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

static void datagram_answer(struct heartbeat *heartbeat, int fd, struct datagram *datagram)
{
    datagram->byte = '\0';
    datagram->bytes.iov_len = 1;
    interface_forget(&datagram->header);
    if (sendmsg(fd, &datagram->header, MSG_DONTWAIT | MSG_NOSIGNAL) == 1)
        heartbeat->answered++;
}

static void limited_log(struct heartbeat *heartbeat, const struct socket_address *source, uint64_t now_ms)
{
    struct log_line line;
    char text[ADDRESS_TEXT_BYTES];
    uint32_t suppressed;

    if (!log_limiter_admit(&heartbeat->limiter, now_ms, LIMITED_LOG_BURST, &suppressed))
        return;
    socket_address_format(source, text, sizeof text);
    log_begin_words(&line, heartbeat->options.log, LOG_WARN, SIDE_DOWNSTREAM,
                    "UDP heartbeats from one source exceed --udp-heartbeats-per-source and are not answered");
    log_text(&line, "route", heartbeat->options.route);
    log_text(&line, "source", text);
    log_suppressed(&line, suppressed);
    log_end(&line);
}

/* False: no datagram waits. */
static bool datagram_take(struct heartbeat *heartbeat, int fd)
{
    struct datagram datagram;
    uint64_t now_ms = clock_monotonic_ms();

    datagram_prepare(&datagram);
    if (recvmsg(fd, &datagram.header, MSG_DONTWAIT) < 0)
        return false;
    heartbeat->taken++;
    datagram.source.length = datagram.header.msg_namelen;
    if (!heartbeat->options.on_asked(heartbeat->options.owner))
        return true;
    if (source_limit_admit(&heartbeat->sources, &datagram.source, now_ms)) {
        datagram_answer(heartbeat, fd, &datagram);
    } else {
        heartbeat->limited++;
        limited_log(heartbeat, &datagram.source, now_ms);
    }
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
    for (unsigned i = 0; i < heartbeat->count; i++)
        ev_io_stop(heartbeat->loop, &heartbeat->watchers[i]);
    ev_timer_set(&heartbeat->pause, (double)(SECOND_MS - elapsed_ms) / 1000, 0);
    ev_timer_start(heartbeat->loop, &heartbeat->pause);
    return false;
}

static void on_datagrams(struct ev_loop *loop, ev_io *watcher, int events)
{
    struct heartbeat *heartbeat = watcher->data;

    (void)loop, (void)events;
    for (int i = 0; i < DATAGRAMS_PER_WAKE && limit_allows(heartbeat); i++) {
        if (!datagram_take(heartbeat, watcher->fd))
            return;
    }
}

static void on_pause_over(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct heartbeat *heartbeat = timer->data;

    (void)events;
    for (unsigned i = 0; i < heartbeat->count; i++)
        ev_io_start(loop, &heartbeat->watchers[i]);
}

void heartbeat_open(struct heartbeat *heartbeat, struct ev_loop *loop,
                    const struct heartbeat_options *options)
{
    *heartbeat = (struct heartbeat) {
        .options = *options, .loop = loop, .answered = heartbeat->answered, .limited = heartbeat->limited
    };
    source_limit_init(&heartbeat->sources, options->per_second_and_source);
    ev_timer_init(&heartbeat->pause, on_pause_over, 0, 0);
    heartbeat->pause.data = heartbeat;
}

void heartbeat_set_options(struct heartbeat *heartbeat, const struct heartbeat_options *options)
{
    if (options->per_second_and_source != heartbeat->options.per_second_and_source) {
        source_limit_deinit(&heartbeat->sources);
        source_limit_init(&heartbeat->sources, options->per_second_and_source);
    }
    heartbeat->options = *options;
}

/* Counts free numbers from the highest one down: a low number may be free while all higher ones are in use.
 * The search is short, because the highest numbers are free unless descriptors run out. */
static bool descriptors_are_left(void)
{
    struct rlimit limit;
    unsigned left = 0;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return true;
    for (rlim_t number = limit.rlim_cur; number && left < DESCRIPTORS_LEFT_MIN; number--)
        left += fcntl((int)(number - 1), F_GETFD) < 0;
    return left == DESCRIPTORS_LEFT_MIN;
}

static void socket_watch(struct heartbeat *heartbeat, unsigned at, int fd)
{
    ev_io *watcher = &heartbeat->watchers[at];

    ev_io_init(watcher, on_datagrams, fd, EV_READ);
    watcher->data = heartbeat;
    if (!ev_is_active(&heartbeat->pause))
        ev_io_start(heartbeat->loop, watcher);
}

static bool is_bound_to(const ev_io *watcher, const struct socket_address *address)
{
    const struct socket_address bound = socket_local_address(watcher->fd);

    return socket_address_equal(&bound, address);
}

bool heartbeat_bind(struct heartbeat *heartbeat, const struct socket_address *address, struct fault *fault)
{
    for (unsigned i = 0; i < heartbeat->count; i++) {
        if (is_bound_to(&heartbeat->watchers[i], address))
            return true;
    }
    assert(heartbeat->count < HEARTBEAT_SOCKETS_MAX);
    int fd = socket_bind_datagram(address, fault);
    if (fd >= 0 && !descriptors_are_left()) {
        fault_set(fault, "less than %d descriptors are left for connections", DESCRIPTORS_LEFT_MIN);
        close(fd);
        fd = -1;
    }
    if (fd < 0)
        return false;
    socket_watch(heartbeat, heartbeat->count++, fd);
    return true;
}

/* The last socket takes the place of the closed one. */
static void socket_close(struct heartbeat *heartbeat, unsigned at)
{
    ev_io *closed = &heartbeat->watchers[at], *last = &heartbeat->watchers[--heartbeat->count];

    ev_io_stop(heartbeat->loop, closed);
    close(closed->fd);
    if (last == closed)
        return;
    ev_io_stop(heartbeat->loop, last);
    socket_watch(heartbeat, at, last->fd);
}

void heartbeat_keep(struct heartbeat *heartbeat, const struct socket_address *addresses, unsigned count)
{
    for (unsigned i = heartbeat->count; i--;) {
        bool is_kept = false;
        for (unsigned k = 0; k < count; k++)
            is_kept = is_kept || is_bound_to(&heartbeat->watchers[i], &addresses[k]);
        if (!is_kept)
            socket_close(heartbeat, i);
    }
}

void heartbeat_close(struct heartbeat *heartbeat)
{
    if (!heartbeat->loop)
        return;
    heartbeat_keep(heartbeat, NULL, 0);
    ev_timer_stop(heartbeat->loop, &heartbeat->pause);
    source_limit_deinit(&heartbeat->sources);
    *heartbeat = (struct heartbeat) { .answered = heartbeat->answered, .limited = heartbeat->limited };
}
