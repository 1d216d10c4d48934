/* proxy/control/health.c: which addresses a round tries. */
#include "control/health.h"

#include "support/addresses.h"
#include "support/loop.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SHARED = 3 }; /* names at the first address */

/* Binds a port of 127.0.0.1, which refuses connections unless it listens. */
static int socket_bind(struct socket_address *to)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *to = addresses_at_port(0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&to->storage, to->length), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&to->storage, &to->length), 0);
    return fd;
}

/* Several names have the first address, which refuses; the last endpoint has an address that accepts. */
static void a_round_tries_an_address_once(void **state)
{
    static const char *const names[] = { "a.test", "b.test", "c.test", "d.test" };
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    const struct health_options options = { .interval_ms = 60000, .timeout_ms = 60000 };
    struct endpoint endpoints[SHARED + 1];
    struct socket_address dead, alive;
    int dead_fd = socket_bind(&dead), alive_fd = socket_bind(&alive);
    struct health health;

    (void)state;
    assert_int_equal(listen(alive_fd, 1), 0);
    for (size_t i = 0; i <= SHARED; i++)
        endpoints[i] =
            (struct endpoint) { .address = i == SHARED ? alive : dead, .server_name = names[i], .weight = 1 };
    health_open(&health, loop, &options);
    health_replace(&health, endpoint_list_new(endpoints, SHARED + 1));
    while (!health.is_known) {
        assert_true(health.at == 0 || health.at == SHARED);
        loop_turn(loop);
    }
    assert_int_equal(health.failure, END_NONE);
    assert_int_equal(health.at, SHARED);

    health_replace(&health, endpoint_list_new(endpoints, SHARED)); /* the dead address alone */
    health.is_known = false;
    while (!health.is_known) {
        assert_int_equal(health.at, 0);
        loop_turn(loop);
    }
    assert_int_equal(health.failure, END_CONNECT_REFUSED);
    health_close(&health);
    ev_loop_destroy(loop);
    close(dead_fd);
    close(alive_fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_round_tries_an_address_once) };

    return cmocka_run_group_tests_name("health", tests, NULL, NULL);
}
