/* proxy/tcp/tunnels.c, proxy/tcp/tunnel.c: the memory of tunnels whose peers do not read. */
#include "tcp/tunnels.h"

#include "support/addresses.h"
#include "support/peers.h"
#include "support/runtime.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PAIRS_MAX = 3, RETAIN_BYTES = 1 << 16, QUIET_TURNS = 50 };

/* Two routes of one worker. The aggregator of both reads nothing until a test reads. */
struct fixture {
    struct runtime runtime; /* the first route */
    struct transport second;
    struct tunnels tunnels[2]; /* of each route */
    int listening_fd;
    struct peers_pair pairs[PAIRS_MAX];
    unsigned pair_count;
};

static struct fixture fixture;

static int set_up(void **state)
{
    static struct credentials *const plaintext[SIDE_COUNT];
    struct fixture *f = &fixture;
    struct runtime *runtime = &f->runtime;
    struct socket_address upstream;

    *f = (struct fixture) { 0 };
    f->listening_fd = peers_listen(&upstream);
    runtime_open(runtime);
    runtime->route.protocol = ROUTE_TCP;
    runtime->route.retain_bytes = RETAIN_BYTES;
    transport_init(&f->second, &runtime->reactor, &runtime->route, &runtime->log, plaintext);
    struct transport *transports[] = { &runtime->transport, &f->second };
    for (unsigned i = 0; i < 2; i++) {
        const struct endpoint endpoint = { .address = upstream, .weight = ENDPOINT_WEIGHT_UNIT };
        dialer_set_endpoints(&transports[i]->dialer, endpoint_list_new(&endpoint, 1));
        tunnels_init(&f->tunnels[i], transports[i]);
    }
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < f->pair_count; i++)
        peers_pair_close(&f->pairs[i]);
    for (unsigned i = 0; i < 2; i++) {
        (void)tunnels_close(&f->tunnels[i]);
        assert_int_equal(f->tunnels[i].held_bytes, 0);
    }
    connection_log_close(&f->second.connection_log);
    transport_deinit(&f->second);
    runtime_close(&f->runtime);
    close(f->listening_fd);
    return 0;
}

static void turn(struct fixture *f)
{
    ev_run(f->runtime.reactor.loop, EVRUN_NOWAIT);
}

/* Sends until nobody takes a byte. */
static void fill(struct fixture *f, int agent)
{
    static const char bytes[4096];

    for (unsigned quiet = 0; quiet < QUIET_TURNS; quiet++) {
        while (send(agent, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
            quiet = 0;
        assert_int_equal(errno, EAGAIN);
        turn(f);
    }
}

/* A tunnel of the route that has sent a byte to its aggregator. */
static struct tunnel *tunnel_make(struct fixture *f, unsigned route)
{
    struct socket_address peer = addresses_at_port(1);
    struct peers_pair *pair = &f->pairs[f->pair_count];
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    tunnels_accept(&f->tunnels[route], fds[0], &peer);
    struct tunnel *tunnel = LIST_FIRST(&f->tunnels[route].list);
    assert_int_equal(send(fds[1], "a", 1, 0), 1);
    while (tunnel->state != TUNNEL_RELAYING)
        turn(f);
    pair->agent = fds[1];
    pair->upstream = peers_accept(f->listening_fd);
    f->pair_count++;
    return tunnel;
}

static void held_bytes_are_of_one_route(void **state)
{
    struct fixture *f = *state;

    (void)tunnel_make(f, 0);
    fill(f, f->pairs[0].agent);
    assert_in_range(f->tunnels[0].held_bytes, RETAIN_BYTES, 2 * RETAIN_BYTES);
    assert_int_equal(f->tunnels[1].held_bytes, 0);

    /* A further tunnel of the full route holds little, a tunnel of the other route a whole buffer. */
    struct tunnel *next = tunnel_make(f, 0), *other = tunnel_make(f, 1);
    fill(f, f->pairs[1].agent);
    fill(f, f->pairs[2].agent);
    assert_in_range(next->held_bytes, 1, LEG_LEAST_WINDOW_BYTES);
    assert_in_range(other->held_bytes, RETAIN_BYTES / 2 + 1, RETAIN_BYTES);
}

static void nothing_is_held_when_the_aggregator_has_all_bytes(void **state)
{
    struct fixture *f = *state;
    char bytes[4096];

    (void)tunnel_make(f, 0);
    fill(f, f->pairs[0].agent);
    for (unsigned quiet = 0; quiet < QUIET_TURNS; quiet++) {
        while (recv(f->pairs[0].upstream, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
            quiet = 0;
        turn(f);
    }
    assert_int_equal(f->tunnels[0].held_bytes, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(held_bytes_are_of_one_route),
        TEST(nothing_is_held_when_the_aggregator_has_all_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
