/* Strangers: programs without a certificate that connect to the TLS port of husk at a fixed rate.
 *
 * usage: strangers PORT RATE SECONDS OPEN. Opens RATE connections per second, of four kinds in turn: nothing
 * is sent; a ClientHello is sent, and then nothing; a ClientHello is sent, and the connection is closed;
 * garbage is sent. A connection stays open until the proxy closes it, but at most OPEN connections are open:
 * the next connection ends the oldest. The connections come from SOURCES addresses, because one address has
 * too few ports for a minute (TIME_WAIT).
 *
 * Attempts are due at fixed times. If this program is late, it makes up for the delay; "seconds" says how
 * long the run took. "connected": the TCP handshake is complete. "refused": the TCP handshake failed.
 * "closed": by the proxy. "left": by the stranger. The other attempts are open when the last one is made. */
#include "load/load.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    SOURCES = 64,      /* 127.0.0.2 and the addresses after it */
    READY_MAX = 256,   /* events per call of epoll */
    OTHER_FILES = 16,  /* descriptors besides the connections */
    GARBAGE_BYTES = 64 /* more than the header of a TLS record */
};

enum kind { KIND_SILENT, KIND_HELLO, KIND_HELLO_AND_LEAVE, KIND_GARBAGE, KINDS };
enum state { STATE_CLOSED, STATE_CONNECTING, STATE_CONNECTED };

struct stranger {
    int fd;
    enum kind kind;
    enum state state;
};

struct flood {
    struct stranger *strangers; /* a ring of `open_max` */
    int epoll;
    struct sockaddr_in proxy;
    uint64_t open_max, planned, rate;
    uint64_t attempts, connected, refused, closed, left;
    uint8_t *hello;
    size_t hello_length;
    uint8_t garbage[GARBAGE_BYTES];
};

static void count_end(struct stranger *stranger, uint64_t *count)
{
    close(stranger->fd);
    stranger->state = STATE_CLOSED;
    (*count)++;
}

/* ---- ClientHello -----------------------------------------------------------------------------------------
 */

/* All strangers send the same bytes, because the work of the proxy does not depend on the bytes. */
static void make_hello(struct flood *flood)
{
    SSL_CTX *context = SSL_CTX_new(TLS_method());
    SSL *ssl = context ? SSL_new(context) : NULL;
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    const uint8_t *bytes;

    if (!ssl || !in || !out || !SSL_set_tlsext_host_name(ssl, "localhost"))
        load_fail("out of memory");
    SSL_set_bio(ssl, in, out);
    SSL_connect(ssl); /* writes the ClientHello, and fails because there is no answer */
    if (!BIO_mem_contents(out, &bytes, &flood->hello_length) || flood->hello_length == 0)
        load_fail("cannot make a ClientHello");
    flood->hello = load_allocate(flood->hello_length, 1);
    memcpy(flood->hello, bytes, flood->hello_length);
    SSL_free(ssl);
    SSL_CTX_free(context);
}

/* ---- a connection ----------------------------------------------------------------------------------------
 */

static void open_stranger(struct flood *flood)
{
    struct stranger *stranger = &flood->strangers[flood->attempts % flood->open_max];
    const struct sockaddr_in source = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + (uint32_t)(flood->attempts % SOURCES)),
    };
    struct epoll_event event = { .events = EPOLLOUT, .data.ptr = stranger };

    if (stranger->state != STATE_CLOSED)
        count_end(stranger, &flood->left);
    stranger->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    stranger->kind = flood->attempts % KINDS;
    stranger->state = STATE_CONNECTING;
    flood->attempts++;
    if (stranger->fd < 0)
        load_fail("socket: %s", strerror(errno));
    /* The kernel chooses the port at connect(2), so each source address has all ports. */
    setsockopt(stranger->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int) { 1 }, sizeof(int));
    if (bind(stranger->fd, (const struct sockaddr *)&source, sizeof source))
        load_fail("bind: %s", strerror(errno));
    if (connect(stranger->fd, (const struct sockaddr *)&flood->proxy, sizeof flood->proxy) &&
        errno != EINPROGRESS) {
        if (errno != ECONNREFUSED)
            load_fail("connect: %s", strerror(errno));
        count_end(stranger, &flood->refused);
    } else if (epoll_ctl(flood->epoll, EPOLL_CTL_ADD, stranger->fd, &event)) {
        load_fail("epoll_ctl: %s", strerror(errno));
    }
}

/* If the proxy has closed the connection already, the next read reports this. */
static void say(struct flood *flood, const struct stranger *stranger)
{
    const uint8_t *bytes = stranger->kind == KIND_GARBAGE ? flood->garbage : flood->hello;
    size_t length = stranger->kind == KIND_GARBAGE ? sizeof flood->garbage : flood->hello_length;

    if (stranger->kind != KIND_SILENT)
        (void)send(stranger->fd, bytes, length, MSG_NOSIGNAL);
}

static void on_connect_end(struct flood *flood, struct stranger *stranger)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = stranger };
    int error = 0;

    getsockopt(stranger->fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t) { sizeof error });
    if (error) {
        count_end(stranger, &flood->refused);
        return;
    }
    flood->connected++;
    stranger->state = STATE_CONNECTED;
    say(flood, stranger);
    if (stranger->kind == KIND_HELLO_AND_LEAVE)
        count_end(stranger, &flood->left);
    else if (epoll_ctl(flood->epoll, EPOLL_CTL_MOD, stranger->fd, &event))
        load_fail("epoll_ctl: %s", strerror(errno));
}

static void on_readable(struct flood *flood, struct stranger *stranger)
{
    uint8_t bytes[4096]; /* an answer to a ClientHello, or an alert */
    ssize_t length = recv(stranger->fd, bytes, sizeof bytes, 0);

    if (length == 0 || (length < 0 && errno != EAGAIN && errno != EINTR))
        count_end(stranger, &flood->closed);
}

/* ---- the flood -------------------------------------------------------------------------------------------
 */

/* Handles what has happened, and then waits until `due_ns`. */
static void serve_until(struct flood *flood, uint64_t due_ns)
{
    struct epoll_event ready[READY_MAX];
    uint64_t now;

    do {
        now = load_now_ns();
        uint64_t wait_ns = due_ns > now ? due_ns - now : 0;
        const struct timespec wait = { (time_t)(wait_ns / 1000000000), (long)(wait_ns % 1000000000) };
        int count = epoll_pwait2(flood->epoll, ready, READY_MAX, &wait, NULL);
        for (int i = 0; i < count; i++) {
            struct stranger *stranger = ready[i].data.ptr;
            if (stranger->state == STATE_CONNECTING)
                on_connect_end(flood, stranger);
            else
                on_readable(flood, stranger);
        }
    } while (now < due_ns);
}

static void run(struct flood *flood)
{
    uint64_t start = load_now_ns();

    while (flood->attempts < flood->planned) {
        serve_until(flood, start + (uint64_t)((double)flood->attempts * 1e9 / (double)flood->rate));
        open_stranger(flood);
    }
    serve_until(flood, start + (uint64_t)((double)flood->planned * 1e9 / (double)flood->rate));
    printf("{\"seconds\": %.6f, \"attempts\": %" PRIu64 ", \"connected\": %" PRIu64 ", \"refused\": %" PRIu64
           ", \"closed\": %" PRIu64 ", \"left\": %" PRIu64 "}\n",
           (double)(load_now_ns() - start) / 1e9, flood->attempts, flood->connected, flood->refused,
           flood->closed, flood->left);
}

static void need_files(uint64_t count)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files))
        load_fail("getrlimit: %s", strerror(errno));
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) || files.rlim_max < count)
        load_fail("the limit of descriptors is %" PRIu64 ", and %" PRIu64 " are needed: raise ulimit -Hn",
                  (uint64_t)files.rlim_max, count);
}

int main(int count, char **arguments)
{
    if (count != 5)
        load_fail("usage: strangers PORT RATE SECONDS OPEN");
    struct flood flood = {
        .epoll = epoll_create1(EPOLL_CLOEXEC),
        .proxy = { .sin_family = AF_INET,
                   .sin_port = htons((uint16_t)load_number(arguments[1], 1)),
                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) },
        .rate = load_number(arguments[2], 1),
        .open_max = load_number(arguments[4], 1),
    };

    flood.planned = flood.rate * load_number(arguments[3], 1);
    flood.strangers = load_allocate(flood.open_max, sizeof *flood.strangers);
    memset(flood.garbage, 0xff, sizeof flood.garbage); /* no type of a TLS record */
    need_files(flood.open_max + OTHER_FILES);
    make_hello(&flood);
    prctl(PR_SET_TIMERSLACK, 1);
    load_wait_for_start(flood.planned);
    run(&flood);
    load_hold();
    free(flood.strangers);
    free(flood.hello);
    return 0;
}
