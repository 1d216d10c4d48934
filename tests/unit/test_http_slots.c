/* proxy/admin/http_slots.c: which connection gives way, and what is read first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "admin/http_slots.h"
#include "support/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Simulated time: added to the program's clocks, so that the test need not wait. */
static time_t elapsed_seconds;

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = (int)syscall(SYS_clock_gettime, clock, now);

    now->tv_sec += elapsed_seconds;
    return result;
}

enum { SLOTS = 3, LARGE_BYTES = 8 << 20 };

struct fixture {
    struct ev_loop *loop;
    struct log log;
    struct http_service service;
    struct http_slots *slots;
    unsigned closed;
};

/* Answers with a body that is larger than the buffers of a socket, except to /live. */
static void on_request(void *owner, const struct http_request *request, struct http_response *response)
{
    (void)owner;
    response->status = 200;
    response->type = "text/plain";
    response->length = strcmp(request->path, "/live") == 0 ? 5 : LARGE_BYTES;
    response->body = calloc(1, response->length + 1);
}

static void on_not_http(void *owner, const void *bytes, size_t length)
{
    (void)owner;
    (void)bytes;
    (void)length;
}

static void on_closed(void *owner)
{
    struct fixture *f = owner;

    f->closed++;
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    f->loop = ev_loop_new(EVFLAG_AUTO);
    log_init(&f->log, open("/dev/null", O_WRONLY | O_CLOEXEC), LOG_DEBUG, LOG_TEXT);
    f->service = (struct http_service) { .owner = f,
                                         .on_request = on_request,
                                         .on_not_http = on_not_http,
                                         .on_closed = on_closed,
                                         .timeout_ms = 60000 };
    f->slots = http_slots_open(SLOTS, f->loop, &f->service, &f->log);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    http_slots_close(f->slots);
    ev_loop_destroy(f->loop);
    close(f->log.fd);
    log_deinit(&f->log);
    free(f);
    return 0;
}

/* Adds a connection and returns the descriptor of its client, which has already sent `text`. */
static int client_add(struct fixture *f, const char *text)
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(send(fds[1], text, strlen(text), MSG_NOSIGNAL), strlen(text));
    http_slots_add(f->slots, fds[0]);
    return fds[1];
}

static void client_say(int client, const char *text)
{
    assert_int_equal(send(client, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static bool has_ended(int client)
{
    char byte;
    ssize_t length = recv(client, &byte, 1, MSG_PEEK);

    return length == 0 || (length < 0 && errno == ECONNRESET);
}

/* Takes an answer, which must be there now. */
static void expect_answer(int client)
{
    char bytes[4096];
    ssize_t length = recv(client, bytes, sizeof bytes, 0);

    assert_true(length > 15);
    assert_memory_equal(bytes, "HTTP/1.1 200 OK", 15);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: localhost\r\n\r\n"

/* ---- the order ---- */

static void test_states_give_way_in_their_order(void **state)
{
    static const enum http_state order[] = { HTTP_OPENED, HTTP_LINGERING, HTTP_IDLE, HTTP_READING,
                                             HTTP_WRITING };
    enum { COUNT = sizeof order / sizeof *order };

    (void)state;
    for (unsigned i = 0; i < COUNT; i++) {
        for (unsigned j = 0; j < COUNT; j++) {
            const struct http_connection a = { .state = order[i], .since_ms = 900 };
            const struct http_connection b = { .state = order[j], .since_ms = 899 };
            assert_int_equal(http_slots_gives_way(&a, &b, 1000), i < j);
        }
    }
}

static void test_of_one_state_the_oldest_gives_way(void **state)
{
    const struct http_connection older = { .state = HTTP_IDLE, .since_ms = 100 };
    const struct http_connection newer = { .state = HTTP_IDLE, .since_ms = 101 };

    (void)state;
    assert_true(http_slots_gives_way(&older, &newer, 1000));
    assert_false(http_slots_gives_way(&newer, &older, 1000));
    assert_false(http_slots_gives_way(&older, &older, 1000));
}

static void test_a_young_connection_gives_way_last(void **state)
{
    const struct http_connection silent = { .state = HTTP_OPENED, .since_ms = 901 };
    const struct http_connection writing = { .state = HTTP_WRITING, .since_ms = 900 };
    const struct http_connection newer = { .state = HTTP_WRITING, .since_ms = 902 };
    const struct http_connection older = { .state = HTTP_WRITING, .since_ms = 901 - 1 };

    (void)state;
    assert_false(http_slots_gives_way(&silent, &writing, 1000));
    assert_true(http_slots_gives_way(&writing, &silent, 1000));
    /* Of the young ones the oldest, whatever they do. */
    assert_true(http_slots_gives_way(&silent, &newer, 1000));
    assert_true(http_slots_gives_way(&older, &silent, 999));
}

/* ---- connections ---- */

static void test_a_request_that_waits_is_answered_at_once(void **state)
{
    struct fixture *f = *state;
    int client = client_add(f, GET("/live"));

    expect_answer(client);
    close(client);
}

/* One of `clients` has ended: the one at `expected`. */
static void expect_one_ended(const int *clients, int expected)
{
    for (int i = 0; i < SLOTS; i++)
        assert_int_equal(has_ended(clients[i]), i == expected);
}

static void close_all(const int *clients, int more)
{
    for (int i = 0; i < SLOTS; i++)
        close(clients[i]);
    close(more);
}

static void test_each_kind_of_peer_gives_way(void **state)
{
    static const char *const kinds[] = {
        "", "GET /li", GET("/live"), GET("/live") "GET /li", GET("/metrics"), "GET /live HTTP/1.0\r\n\r\n"
    };

    for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++) {
        struct fixture *f = *state;
        int clients[SLOTS];

        for (int i = 0; i < SLOTS; i++) {
            clients[i] = client_add(f, kinds[kind]);
            elapsed_seconds++;
        }
        f->closed = 0;
        int probe = client_add(f, GET("/live"));
        expect_answer(probe);
        assert_int_equal(f->closed, 1);
        close_all(clients, probe);
        loop_run_for(f->loop, 0);
        while (http_slots_evict(f->slots))
            ;
    }
}

static void test_an_idle_connection_gives_way_before_a_busy_one(void **state)
{
    struct fixture *f = *state;
    int clients[SLOTS] = { client_add(f, GET("/metrics")), client_add(f, GET("/live") "GET"),
                           client_add(f, GET("/live")) };

    for (int i = 1; i < SLOTS; i++)
        expect_answer(clients[i]);
    elapsed_seconds++;
    int more = client_add(f, "");
    expect_one_ended(clients, 2);
    close_all(clients, more);
}

static void test_a_request_that_has_arrived_is_no_silence(void **state)
{
    struct fixture *f = *state;
    int clients[SLOTS];

    for (int i = 0; i < SLOTS; i++)
        clients[i] = client_add(f, "");
    elapsed_seconds++;
    client_say(clients[0], GET("/live"));
    client_say(clients[1], GET("/live"));
    int more = client_add(f, "");
    expect_one_ended(clients, 2);
    expect_answer(clients[0]);
    expect_answer(clients[1]);
    close_all(clients, more);
}

static void test_a_peer_that_has_left_gives_way_first(void **state)
{
    struct fixture *f = *state;
    int clients[SLOTS];

    for (int i = 0; i < SLOTS; i++)
        clients[i] = client_add(f, "");
    elapsed_seconds++;
    client_say(clients[0], GET("/live"));
    shutdown(clients[1], SHUT_WR);
    int more = client_add(f, "");
    expect_answer(clients[0]);
    assert_false(has_ended(clients[0]));
    assert_true(has_ended(clients[1]));
    assert_false(has_ended(clients[2]));
    close_all(clients, more);
}

/* Bytes that complete no request are no progress. */
static void test_a_dribbled_head_is_silence(void **state)
{
    struct fixture *f = *state;
    int clients[SLOTS];

    for (int i = 0; i < SLOTS; i++)
        clients[i] = client_add(f, i == 0 ? "GET" : GET("/live"));
    elapsed_seconds++;
    client_say(clients[0], " /live");
    int more = client_add(f, "");
    assert_true(has_ended(clients[0]));
    close_all(clients, more);
}

static void test_without_connections_there_is_none_to_evict(void **state)
{
    struct fixture *f = *state;

    assert_false(http_slots_evict(f->slots));
    int client = client_add(f, "");
    assert_true(http_slots_evict(f->slots));
    assert_true(has_ended(client));
    assert_false(http_slots_evict(f->slots));
    close(client);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_states_give_way_in_their_order),
        CASE(test_of_one_state_the_oldest_gives_way),
        CASE(test_a_young_connection_gives_way_last),
        CASE(test_a_request_that_waits_is_answered_at_once),
        CASE(test_each_kind_of_peer_gives_way),
        CASE(test_an_idle_connection_gives_way_before_a_busy_one),
        CASE(test_a_request_that_has_arrived_is_no_silence),
        CASE(test_a_peer_that_has_left_gives_way_first),
        CASE(test_a_dribbled_head_is_silence),
        CASE(test_without_connections_there_is_none_to_evict),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
