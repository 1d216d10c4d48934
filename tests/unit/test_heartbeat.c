/* proxy/control/heartbeat.c over real sockets: what is answered, from where, and how often. */
#include "control/heartbeat.h"

#include "base/clock.h"
#include "support/addresses.h"
#include "support/loop.h"
#include "wire/socket.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { QUIET_MS = 100, PLENTY = 1000000, PER_SOURCE = 5, TURNS_MAX = 10000 };

struct site {
    struct ev_loop *loop;
    struct log log;
    struct heartbeat heartbeat;
    struct socket_address address; /* of the first socket */
    bool is_healthy;
};

static bool on_asked(void *owner)
{
    return ((struct site *)owner)->is_healthy;
}

/* Binds a socket to `text`. If `text` has no port, finds a free one. */
static bool site_bind(struct site *site, const char *text, struct fault *fault)
{
    struct socket_address address = addresses_parse(text);

    if (!socket_address_port(&address)) {
        int probe = socket_bind_datagram(&address, fault);
        assert_true(probe >= 0);
        address = socket_local_address(probe);
        close(probe);
    }
    if (!site->heartbeat.count)
        site->address = address;
    return heartbeat_bind(&site->heartbeat, &address, fault);
}

static void site_start(struct site *site, uint32_t per_second, uint32_t per_second_and_source)
{
    *site = (struct site) { .loop = ev_loop_new(EVFLAG_AUTO), .is_healthy = true };
    log_init(&site->log, STDERR_FILENO, LOG_ERROR, LOG_TEXT);
    const struct heartbeat_options options = {
        .per_second = per_second,
        .per_second_and_source = per_second_and_source,
        .log = &site->log,
        .on_asked = on_asked,
        .owner = site,
    };
    heartbeat_open(&site->heartbeat, site->loop, &options);
}

/* One socket, and no limit for a source. */
static bool site_open(struct site *site, const char *text, uint32_t per_second, struct fault *fault)
{
    site_start(site, per_second, 0);
    return site_bind(site, text, fault);
}

static void site_close(struct site *site)
{
    heartbeat_close(&site->heartbeat);
    log_deinit(&site->log);
    ev_loop_destroy(site->loop);
}

/* The socket of an agent: it receives only from the address that it asks. */
static int agent_open(const struct site *site, const char *host)
{
    struct socket_address given = addresses_parse(host), address;

    assert_true(socket_address_from_ip(&address, (const struct sockaddr *)&given.storage,
                                       socket_address_port(&site->address)));
    int fd = socket(address.storage.ss_family, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address.storage, address.length), 0);
    return fd;
}

static void ask(int agent, const void *bytes, size_t length)
{
    assert_int_equal(send(agent, bytes, length, 0), length);
}

/* True: one zero byte was received. */
static bool is_answered(int agent)
{
    char answer[16] = "x";
    ssize_t length = recv(agent, answer, sizeof answer, 0);

    if (length < 0) {
        assert_int_equal(errno, EAGAIN);
        return false;
    }
    assert_int_equal(length, 1);
    assert_int_equal(answer[0], 0);
    return true;
}

static void expect_answer(struct site *site, int agent)
{
    while (!is_answered(agent))
        loop_turn(site->loop);
}

static void each_datagram_is_answered_with_one_zero_byte(void **state)
{
    struct site site;
    struct fault fault;
    char large[2000];

    (void)state;
    memset(large, 'x', sizeof large);
    assert_true(site_open(&site, "127.0.0.1:0", PLENTY, &fault));
    int agent = agent_open(&site, "127.0.0.1:1");
    ask(agent, "\0", 1);
    expect_answer(&site, agent);
    ask(agent, "hello", 5);
    expect_answer(&site, agent);
    ask(agent, large, sizeof large);
    expect_answer(&site, agent);
    for (int i = 0; i < 200; i++) { /* more than are read in one turn of the loop */
        ask(agent, "\0", 1);
    }
    for (int i = 0; i < 200; i++)
        expect_answer(&site, agent);
    assert_false(is_answered(agent));
    assert_int_equal(site.heartbeat.answered, 203);
    close(agent);
    site_close(&site);
}

static void an_empty_datagram_is_answered_too(void **state)
{
    struct site site;
    struct fault fault;

    (void)state;
    assert_true(site_open(&site, "127.0.0.1:0", PLENTY, &fault));
    int agent = agent_open(&site, "127.0.0.1:1");
    ask(agent, "", 0);
    expect_answer(&site, agent);
    assert_int_equal(site.heartbeat.answered, 1);
    close(agent);
    site_close(&site);
}

static void health_decides_at_each_datagram(void **state)
{
    struct site site;
    struct fault fault;

    (void)state;
    assert_true(site_open(&site, "127.0.0.1:0", PLENTY, &fault));
    int agent = agent_open(&site, "127.0.0.1:1");
    site.is_healthy = false;
    ask(agent, "\0", 1);
    loop_run_for(site.loop, QUIET_MS);
    assert_false(is_answered(agent));
    site.is_healthy = true;
    loop_run_for(site.loop, QUIET_MS);
    assert_false(is_answered(agent)); /* the earlier datagrams are not answered later */
    ask(agent, "\0", 1);
    expect_answer(&site, agent);
    close(agent);
    site_close(&site);
}

static void the_answer_comes_from_the_address_that_was_asked(void **state)
{
    static const char *const cases[][2] = {
        { "0.0.0.0:0", "127.0.0.2:1" },
        { "[::]:0", "127.0.0.2:1" },
        { "[::]:0", "[::1]:1" },
        { "[::1]:0", "[::1]:1" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct site site;
        struct fault fault;
        assert_true(site_open(&site, cases[i][0], PLENTY, &fault));
        int agent = agent_open(&site, cases[i][1]);
        ask(agent, "\0", 1);
        expect_answer(&site, agent);
        close(agent);
        site_close(&site);
    }
}

static void beyond_the_limit_reading_pauses_until_the_second_is_over(void **state)
{
    struct site site;
    struct fault fault;
    int answers = 0;

    (void)state;
    assert_true(site_open(&site, "127.0.0.1:0", 5, &fault));
    int agent = agent_open(&site, "127.0.0.1:1");
    uint64_t began = clock_monotonic_ms();
    for (int i = 0; i < 8; i++)
        ask(agent, "\0", 1);
    loop_run_for(site.loop, QUIET_MS);
    while (is_answered(agent))
        answers++;
    assert_int_equal(answers, 5);
    for (; answers < 8; answers++)
        expect_answer(&site, agent);
    assert_true(clock_monotonic_ms() - began >= 1000);
    close(agent);
    site_close(&site);
}

/* After a datagram with a forged source, each program answers the answers of the other. */
static void two_programs_that_answer_each_other_stop(void **state)
{
    struct site here, there;
    struct fault fault;
    uint64_t answered;

    (void)state;
    site_start(&here, PLENTY, PER_SOURCE);
    site_start(&there, PLENTY, PER_SOURCE);
    assert_true(site_bind(&here, "127.0.0.1:0", &fault));
    assert_true(site_bind(&there, "127.0.0.1:0", &fault));
    assert_int_equal(sendto(here.heartbeat.watchers[0].fd, "\0", 1, 0,
                            (const struct sockaddr *)&there.address.storage, there.address.length),
                     1);
    for (int i = 0; i < TURNS_MAX && !here.heartbeat.limited && !there.heartbeat.limited; i++) {
        loop_run_for(here.loop, 1);
        loop_run_for(there.loop, 1);
    }
    assert_int_equal(here.heartbeat.limited + there.heartbeat.limited, 1);
    answered = here.heartbeat.answered + there.heartbeat.answered;
    assert_in_range(answered, PER_SOURCE, 2 * (PER_SOURCE * SOURCE_LIMIT_BURST_MS / 1000 + 1));
    loop_run_for(there.loop, QUIET_MS);
    loop_run_for(here.loop, QUIET_MS);
    assert_int_equal(here.heartbeat.answered + there.heartbeat.answered, answered);
    site_close(&there);
    site_close(&here);
}

static void a_source_beyond_its_limit_costs_no_other_source_an_answer(void **state)
{
    struct site site;
    struct fault fault;
    int answers = 0;

    (void)state;
    site_start(&site, PLENTY, PER_SOURCE);
    assert_true(site_bind(&site, "127.0.0.1:0", &fault));
    int hasty = agent_open(&site, "127.0.0.1:1"), other = agent_open(&site, "127.0.0.1:1");
    for (int i = 0; i < 50; i++)
        ask(hasty, "\0", 1);
    ask(other, "\0", 1);
    expect_answer(&site, other);
    while (is_answered(hasty))
        answers++;
    assert_in_range(answers, 1, 49);
    assert_int_equal(site.heartbeat.answered + site.heartbeat.limited, 51);
    close(hasty);
    close(other);
    site_close(&site);
}

static void all_sockets_are_answered_and_share_the_limit(void **state)
{
    struct site site;
    struct fault fault;
    int answers = 0;

    (void)state;
    site_start(&site, 5, 0);
    assert_true(site_bind(&site, "127.0.0.1:0", &fault));
    int first = agent_open(&site, "127.0.0.1:1");
    assert_true(site_bind(&site, "[::1]:0", &fault));
    struct socket_address second_address = socket_local_address(site.heartbeat.watchers[1].fd);
    int second = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_int_equal(connect(second, (const struct sockaddr *)&second_address.storage, second_address.length),
                     0);
    for (int i = 0; i < 4; i++) {
        ask(first, "\0", 1);
        ask(second, "\0", 1);
    }
    loop_run_for(site.loop, QUIET_MS);
    while (is_answered(first) || is_answered(second))
        answers++;
    assert_int_equal(answers, 5);
    for (; answers < 8; answers++) { /* in the next second */
        while (!is_answered(first) && !is_answered(second))
            loop_turn(site.loop);
    }
    close(first);
    close(second);
    site_close(&site);
}

static void a_port_in_use_is_a_fault(void **state)
{
    struct site first, second;
    struct fault fault;
    char text[ADDRESS_TEXT_BYTES], expected[sizeof fault.text];

    (void)state;
    assert_true(site_open(&first, "127.0.0.1:0", PLENTY, &fault));
    socket_address_format(&first.address, text, sizeof text);
    assert_false(site_open(&second, text, PLENTY, &fault));
    snprintf(expected, sizeof expected, "cannot bind UDP %s: Address already in use", text);
    assert_string_equal(fault.text, expected);
    site_close(&second);
    site_close(&first);
}

static void sockets_at_addresses_that_stay_remain(void **state)
{
    struct site site;
    struct fault fault;
    struct socket_address kept[2];

    (void)state;
    site_start(&site, PLENTY, PER_SOURCE);
    for (unsigned i = 0; i < 4; i++)
        assert_true(site_bind(&site, "127.0.0.1:0", &fault));
    int first = site.heartbeat.watchers[0].fd, third = site.heartbeat.watchers[2].fd;
    kept[0] = socket_local_address(third);
    kept[1] = socket_local_address(first);
    heartbeat_keep(&site.heartbeat, kept, 2);
    assert_int_equal(site.heartbeat.count, 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(heartbeat_bind(&site.heartbeat, &kept[i], &fault)); /* it is bound */
        site.address = kept[i];
        int agent = agent_open(&site, "127.0.0.1:1");
        ask(agent, "", 1);
        expect_answer(&site, agent);
        close(agent);
    }
    assert_int_equal(site.heartbeat.count, 2);
    assert_int_equal(site.heartbeat.answered, 2);
    site_close(&site);
    assert_int_equal(site.heartbeat.answered, 2);
}

/* So many descriptors are left, however many the starter of the test has open. */
static void limit_to(const struct rlimit *before, unsigned left)
{
    struct rlimit few = *before;

    for (few.rlim_cur = 0; left; few.rlim_cur++)
        left -= fcntl((int)few.rlim_cur, F_GETFD) < 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
}

static void the_last_descriptors_are_for_connections(void **state)
{
    struct rlimit before;
    struct site site;
    struct fault fault;

    (void)state;
    site_start(&site, PLENTY, PER_SOURCE);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    limit_to(&before, 17);
    assert_true(site_bind(&site, "127.0.0.1:0", &fault));
    assert_false(site_bind(&site, "127.0.0.1:0", &fault));
    assert_string_equal(fault.text, "less than 16 descriptors are left for connections");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(site.heartbeat.count, 1);
    site_close(&site);
}

static void the_last_descriptor_may_have_a_low_number(void **state)
{
    struct rlimit before;
    struct site site;
    struct fault fault;
    int taken[40];

    (void)state;
    site_start(&site, PLENTY, PER_SOURCE);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    limit_to(&before, 40);
    for (int i = 0; i < 40; i++)
        assert_true((taken[i] = dup(STDERR_FILENO)) >= 0);
    close(taken[0]);
    assert_false(site_bind(&site, "127.0.0.1:0", &fault));
    for (int i = 1; i < 17; i++)
        close(taken[i]);
    assert_true(site_bind(&site, "127.0.0.1:0", &fault));
    for (int i = 17; i < 40; i++)
        close(taken[i]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    site_close(&site);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_datagram_is_answered_with_one_zero_byte),
        cmocka_unit_test(an_empty_datagram_is_answered_too),
        cmocka_unit_test(health_decides_at_each_datagram),
        cmocka_unit_test(the_answer_comes_from_the_address_that_was_asked),
        cmocka_unit_test(beyond_the_limit_reading_pauses_until_the_second_is_over),
        cmocka_unit_test(two_programs_that_answer_each_other_stop),
        cmocka_unit_test(a_source_beyond_its_limit_costs_no_other_source_an_answer),
        cmocka_unit_test(all_sockets_are_answered_and_share_the_limit),
        cmocka_unit_test(a_port_in_use_is_a_fault),
        cmocka_unit_test(sockets_at_addresses_that_stay_remain),
        cmocka_unit_test(the_last_descriptors_are_for_connections),
        cmocka_unit_test(the_last_descriptor_may_have_a_low_number),
    };

    return cmocka_run_group_tests_name("heartbeat", tests, NULL, NULL);
}
