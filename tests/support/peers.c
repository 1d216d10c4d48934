#include "support/peers.h"

#include "support/addresses.h"
#include "wire/socket.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { TIMEOUT_SECONDS = 20, BYTES = 4096 };

const char peers_message[PEERS_MESSAGE_BYTES + 1] = "\x94\xa1"
                                                    "a\x01\x81\xa1m\xa1x\x81\xa5"
                                                    "chunk\xa1"
                                                    "1";

int peers_listen(struct socket_address *address)
{
    const struct socket_address any = addresses_at_port(0);
    struct fault fault;
    int fd = socket_listen(&any, SOCKET_EXCLUSIVE, NULL, &fault);

    assert_true(fd >= 0);
    *address = socket_local_address(fd);
    return fd;
}

static int limited(int fd)
{
    const struct timeval timeout = { .tv_sec = TIMEOUT_SECONDS };

    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout), 0);
    return fd;
}

int peers_connect(const struct socket_address *address)
{
    int fd = limited(socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));

    if (connect(fd, (const struct sockaddr *)&address->storage, address->length) == 0)
        return fd;
    close(fd);
    return -1;
}

void peers_await(int fd)
{
    struct pollfd ready = { .fd = fd, .events = POLLIN };

    assert_int_equal(poll(&ready, 1, TIMEOUT_SECONDS * 1000), 1);
}

int peers_accept(int listening_fd)
{
    peers_await(listening_fd);
    return limited(accept4(listening_fd, NULL, NULL, SOCK_CLOEXEC));
}

void peers_send(int fd, const void *bytes, size_t length)
{
    assert_int_equal(send(fd, bytes, length, MSG_NOSIGNAL), length);
}

void peers_expect(int fd, const char *text)
{
    char bytes[BYTES];

    assert_int_equal(recv(fd, bytes, strlen(text), MSG_WAITALL), strlen(text));
    assert_memory_equal(bytes, text, strlen(text));
}

void peers_expect_end(int fd)
{
    char byte;

    assert_int_equal(recv(fd, &byte, 1, 0), 0);
    close(fd);
}

void peers_expect_reset(int fd)
{
    char bytes[BYTES];

    while (recv(fd, bytes, sizeof bytes, 0) > 0)
        ;
    assert_int_equal(errno, ECONNRESET);
    close(fd);
}

struct peers_pair peers_pair_open(const struct socket_address *address, int listening_fd)
{
    struct peers_pair pair = { .agent = peers_connect(address) };

    peers_send(pair.agent, "hello", 5);
    pair.upstream = peers_accept(listening_fd);
    peers_expect(pair.upstream, "hello");
    return pair;
}

void peers_pair_exchange(const struct peers_pair *pair)
{
    peers_send(pair->agent, "ping", 4);
    peers_expect(pair->upstream, "ping");
    peers_send(pair->upstream, "pong", 4);
    peers_expect(pair->agent, "pong");
}

void peers_pair_close(const struct peers_pair *pair)
{
    close(pair->agent);
    close(pair->upstream);
}

struct peers_pair peers_message_send(const struct socket_address *address, int listening_fd)
{
    struct peers_pair pair = { .agent = peers_connect(address) };

    peers_send(pair.agent, peers_message, PEERS_MESSAGE_BYTES);
    pair.upstream = peers_accept(listening_fd);
    return pair;
}

void peers_message_ack(const struct peers_pair *pair)
{
    static const char option[] = "\xa5"
                                 "chunk";
    char received[BYTES], ack[64] = "\x81\xa3"
                                    "ack";
    size_t length = 0;
    const char *chunk = NULL;

    while (!chunk) {
        ssize_t got = recv(pair->upstream, received + length, sizeof received - length, 0);
        assert_true(got > 0);
        length += (size_t)got;
        chunk = memmem(received, length, option, sizeof option - 1);
    }
    chunk += sizeof option - 1;
    size_t id_length = (size_t)(received + length - chunk);
    assert_true(id_length < sizeof ack - 5);
    memcpy(ack + 5, chunk, id_length);
    peers_send(pair->upstream, ack, 5 + id_length);
}

void peers_expect_ack(int agent)
{
    peers_expect(agent, "\x81\xa3"
                        "ack\xa1"
                        "1");
}
