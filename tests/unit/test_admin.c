/* proxy/admin/admin.c and http_connection.c over real sockets, with clients on the same loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "admin/admin.h"
#include "support/loop.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { CLIENT_BYTES = 4 << 20 };

/* Simulated time: added to the program's clocks, so that the test need not wait. */
static time_t elapsed_seconds;

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = (int)syscall(SYS_clock_gettime, clock, now);

    now->tv_sec += elapsed_seconds;
    return result;
}

/* ---- fixture ---- */

struct fixture {
    struct ev_loop *loop;
    struct log log;
    int log_fd;
    struct admin_options options;
    struct admin *admin;
    struct fault fault;
    bool has_started, ready;
    unsigned quits;
    const char *notes; /* while ready; NULL: none */
    const char *reasons;
    struct metrics metrics;
    const struct metrics *workers[1];
    struct metrics_route route;
    char directory[64];
};

struct client {
    struct fixture *fixture;
    struct ev_io io;
    bool ended; /* by the other side */
    int error;  /* errno; 0: in order */
    size_t taken, length;
    char *bytes;
};

struct answer {
    int status;
    char head[1024];
    char *body; /* inside the client's bytes, not terminated */
    size_t body_length;
};

static bool source_ready(void *owner, char *text, size_t size)
{
    struct fixture *f = owner;

    assert_string_equal(text, "");
    if (!f->ready || f->notes)
        snprintf(text, size, "%s", f->ready ? f->notes : f->reasons);
    return f->ready;
}

static bool source_has_started(void *owner)
{
    const struct fixture *f = owner;

    return f->has_started;
}

static void source_quit(void *owner)
{
    struct fixture *f = owner;

    f->quits++;
}

static void source_snapshot(void *owner, struct metrics_snapshot *snapshot)
{
    struct fixture *f = owner;

    f->route = (struct metrics_route) { .name = "forward", .workers = f->workers, .worker_count = 1 };
    snapshot->routes = &f->route;
    snapshot->version = "0";
    snapshot->tls_library = "none";
}

static void listen_on(struct fixture *f, const char *text)
{
    struct address address;

    assert_true(address_parse(&address, text, &f->fault));
    assert_true(address_to_socket(&address, &f->options.listen));
}

static bool try_open(struct fixture *f)
{
    const struct admin_source source = { .owner = f,
                                         .has_started = source_has_started,
                                         .quit = source_quit,
                                         .ready = source_ready,
                                         .snapshot = source_snapshot };

    f->admin = admin_open(f->loop, &f->options, &source, &f->log, &f->fault);
    if (f->admin)
        admin_begin(f->admin);
    return f->admin != NULL;
}

static void open_admin(struct fixture *f)
{
    if (!try_open(f))
        fail_msg("%s", f->fault.text);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    f->loop = ev_loop_new(EVFLAG_AUTO);
    f->log_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    log_init(&f->log, f->log_fd, LOG_DEBUG, LOG_TEXT);
    f->workers[0] = &f->metrics;
    f->ready = true;
    f->options.max_connections = 8;
    f->options.request_timeout_ms = 10000;
    listen_on(f, "127.0.0.1:0");
    snprintf(f->directory, sizeof f->directory, "/tmp/husk-test-admin-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    admin_close(f->admin);
    assert_int_equal(ev_run(f->loop, EVRUN_NOWAIT), 0); /* no watcher was left behind */
    ev_loop_destroy(f->loop);
    log_deinit(&f->log);
    close(f->log_fd);
    assert_int_equal(rmdir(f->directory), 0); /* nor a socket file */
    free(f);
    return 0;
}

/* ---- clients ---- */

static void on_client(struct ev_loop *loop, struct ev_io *io, int events)
{
    struct client *client = io->data;
    ssize_t length =
        recv(io->fd, client->bytes + client->length, CLIENT_BYTES - client->length, MSG_DONTWAIT);

    (void)events;
    assert_true(client->length < CLIENT_BYTES);
    if (length < 0 && errno == EAGAIN)
        return;
    if (length <= 0) {
        client->ended = true;
        client->error = length < 0 ? errno : 0;
        ev_io_stop(loop, io);
        return;
    }
    client->length += (size_t)length;
}

static void client_connect(struct fixture *f, struct client *client)
{
    const struct socket_address *to = admin_address(f->admin);
    int fd = socket(to->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *client = (struct client) { .fixture = f, .bytes = malloc(CLIENT_BYTES) };
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to->storage, to->length), 0);
    ev_io_init(&client->io, on_client, fd, EV_READ);
    client->io.data = client;
    ev_io_start(f->loop, &client->io);
}

static void client_close(struct client *client)
{
    ev_io_stop(client->fixture->loop, &client->io);
    close(client->io.fd);
    free(client->bytes);
}

static void client_send(struct client *client, const void *bytes, size_t length)
{
    assert_int_equal(send(client->io.fd, bytes, length, MSG_NOSIGNAL), length);
}

static void client_say(struct client *client, const char *text)
{
    client_send(client, text, strlen(text));
}

static void wait_for_end(struct client *client)
{
    while (!client->ended)
        loop_turn(client->fixture->loop);
}

static void expect_end(struct client *client)
{
    wait_for_end(client);
    assert_int_equal(client->error, 0);
    assert_int_equal(client->taken, client->length);
}

/* Waits until `length` more bytes are there and returns them. */
static char *wait_for_bytes(struct client *client, size_t length)
{
    while (client->length - client->taken < length) {
        if (client->ended)
            fail_msg("ended (%s) with only: %.*s", strerror(client->error),
                     (int)(client->length - client->taken), client->bytes + client->taken);
        loop_turn(client->fixture->loop);
    }
    return client->bytes + client->taken;
}

static void take_head(struct client *client, struct answer *answer)
{
    const char *end = NULL;

    *answer = (struct answer) { 0 };
    for (size_t length = 1; !end; length++) {
        const char *start = wait_for_bytes(client, length);

        if (length >= 4 && memcmp(start + length - 4, "\r\n\r\n", 4) == 0)
            end = start + length;
    }
    size_t head_length = (size_t)(end - client->bytes) - client->taken;
    assert_true(head_length < sizeof answer->head);
    memcpy(answer->head, client->bytes + client->taken, head_length);
    client->taken += head_length;
    assert_int_equal(sscanf(answer->head, "HTTP/1.1 %d ", &answer->status), 1);
    const char *length_header = strstr(answer->head, "\r\nContent-Length: ");
    assert_non_null(length_header);
    answer->body_length = strtoul(length_header + 18, NULL, 10);
}

static void take_answer(struct client *client, struct answer *answer)
{
    take_head(client, answer);
    answer->body = wait_for_bytes(client, answer->body_length);
    client->taken += answer->body_length;
}

static void expect_answer(struct client *client, int status, const char *body)
{
    struct answer answer;

    take_answer(client, &answer);
    assert_int_equal(answer.status, status);
    assert_int_equal(answer.body_length, strlen(body));
    assert_memory_equal(answer.body, body, answer.body_length);
}

/* Sends one request on its own connection. */
static void ask_once(struct fixture *f, const char *request, int status, const char *body)
{
    struct client client;

    client_connect(f, &client);
    client_say(&client, request);
    expect_answer(&client, status, body);
    client_close(&client);
}

/* ---- pages ---- */

#define GET(path) "GET " path " HTTP/1.1\r\nHost: localhost\r\n\r\n"

static void test_live_and_ready(void **state)
{
    struct fixture *f = *state;

    open_admin(f);
    ask_once(f, GET("/live"), 200, "live\n");
    ask_once(f, GET("/ready"), 200, "ready\n");
    f->notes = "upstream: odd\n";
    ask_once(f, GET("/ready"), 200, "ready\nupstream: odd\n");
    f->ready = false;
    f->reasons = "upstream has no address\ncertificate expired";
    ask_once(f, GET("/ready"), 503, "upstream has no address\ncertificate expired\n");
    f->reasons = "draining\n";
    ask_once(f, GET("/ready"), 503, "draining\n");
    f->reasons = "";
    ask_once(f, GET("/ready"), 503, "not ready\n");
    ask_once(f, GET("/live"), 200, "live\n");

    char long_reason[20000];
    memset(long_reason, 'r', sizeof long_reason - 1);
    long_reason[sizeof long_reason - 1] = '\0';
    f->reasons = long_reason;
    char expected[16384];
    memset(expected, 'r', 16382);
    memcpy(expected + 16382, "\n", 2);
    ask_once(f, GET("/ready"), 503, expected);
}

static void test_metrics(void **state)
{
    struct fixture *f = *state;
    struct client client;
    struct answer answer;

    open_admin(f);
    client_connect(f, &client);
    metrics_add(&f->metrics.accept_errors, 42);
    client_say(&client, GET("/metrics"));
    take_answer(&client, &answer);
    assert_int_equal(answer.status, 200);
    assert_non_null(strstr(answer.head, "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert_non_null(
        memmem(answer.body, answer.body_length, "\nhusk_accept_errors_total{route=\"forward\"} 42\n", 46));
    assert_non_null(memmem(answer.body, answer.body_length, "\nprocess_open_fds ", 18));
    assert_int_equal(answer.body[answer.body_length - 1], '\n');
    client_close(&client);
}

static void test_head_has_no_body(void **state)
{
    struct fixture *f = *state;
    struct client client;
    struct answer answer;

    open_admin(f);
    client_connect(f, &client);
    client_say(&client, "HEAD /live HTTP/1.1\r\nHost: localhost\r\n\r\n" GET("/ready"));
    take_head(&client, &answer);
    assert_int_equal(answer.status, 200);
    assert_int_equal(answer.body_length, 5);
    expect_answer(&client, 200, "ready\n");
    client_close(&client);
}

static void test_startup(void **state)
{
    struct fixture *f = *state;

    open_admin(f);
    ask_once(f, GET("/startup"), 503, "starting\n");
    f->has_started = true;
    ask_once(f, GET("/startup"), 200, "started\n");
}

#define POST(path) "POST " path " HTTP/1.1\r\nHost: localhost\r\n\r\n"

static void test_quit(void **state)
{
    struct fixture *f = *state;

    f->options.has_quit = true;
    open_admin(f);
    ask_once(f, POST("/quit"), 503, "starting\n");
    f->has_started = true;
    ask_once(f, GET("/quit"), 405, "only POST\n");
    assert_int_equal(f->quits, 0);
    ask_once(f, POST("/quit"), 200, "draining\n");
    assert_int_equal(f->quits, 1);
}

static void test_quit_is_off_by_default(void **state)
{
    struct fixture *f = *state;

    f->has_started = true;
    open_admin(f);
    ask_once(f, POST("/quit"), 403, "this page is off: set --admin-quit\n");
    assert_int_equal(f->quits, 0);
}

static void test_paths(void **state)
{
    struct fixture *f = *state;
    static const char list[] = "not found; there are:\n/startup\n/live\n/ready\n/metrics\n/quit\n";
    char request[2048];

    open_admin(f);
    ask_once(f, GET("/"), 404, list);
    ask_once(f, GET("/live/"), 404, list);
    ask_once(f, GET("/LIVE"), 404, list);
    ask_once(f, GET("/livelive"), 404, list);
    ask_once(f, GET("http://localhost:9901"), 404, list);
    ask_once(f, "CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, list);
    ask_once(f, "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, list);
    ask_once(f, "POST /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, list);
    ask_once(f, GET("/live?verbose=1&x=/ready"), 200, "live\n");
    ask_once(f, GET("/live?"), 200, "live\n");
    ask_once(f, GET("http://localhost:9901/live?x"), 200, "live\n");

    snprintf(request, sizeof request, "GET /%0*d HTTP/1.1\r\nHost: localhost\r\n\r\n", 1000, 0);
    ask_once(f, request, 404, list);
    snprintf(request, sizeof request, "GET /live?%0*d HTTP/1.1\r\nHost: localhost\r\n\r\n", 1000, 0);
    ask_once(f, request, 200, "live\n");
}

static void test_other_methods(void **state)
{
    struct fixture *f = *state;
    static const char *const methods[] = { "POST", "PUT", "DELETE", "OPTIONS", "PATCH" };
    char request[128];

    open_admin(f);
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        struct client client;
        struct answer answer;

        client_connect(f, &client);
        snprintf(request, sizeof request, "%s /live HTTP/1.1\r\nHost: localhost\r\n\r\n", methods[i]);
        client_say(&client, request);
        take_answer(&client, &answer);
        assert_int_equal(answer.status, 405);
        assert_non_null(strstr(answer.head, "\r\nAllow: GET, HEAD\r\n"));
        client_say(&client, GET("/live"));
        expect_answer(&client, 200, "live\n");
        client_close(&client);
    }
}

static void test_hosts(void **state)
{
    struct fixture *f = *state;
    static const char other[] =
        "this host is not husk's: use an IP address or localhost, or set --admin-host\n";
    static const char bad[] = "expected one Host: a name or an IP address\n";

    f->options.hosts = (struct http_host_names) { .items = { "husk.logging.svc" }, .count = 1 };
    open_admin(f);
    ask_once(f, "GET /live HTTP/1.1\r\nhost:LOCALHOST.:9901\r\n\r\n", 200, "live\n");
    ask_once(f, "GET /live HTTP/1.1\r\nA: b\r\nHost: Husk.Logging.svc:9901 \r\nC: d\r\n\r\n", 200, "live\n");
    ask_once(f, "GET /live HTTP/1.1\r\nHost: 10.1.2.3:9901\r\n\r\n", 200, "live\n");
    ask_once(f, "GET /live HTTP/1.1\r\nHost: [2001:db8::1]:9901\r\n\r\n", 200, "live\n");
    ask_once(f, "GET /live HTTP/1.1\r\nHost:\r\n\r\n", 200, "live\n");
    ask_once(f, "GET /live HTTP/1.0\r\n\r\n", 200, "live\n");

    ask_once(f, "GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421, other);
    ask_once(f, "GET /nowhere HTTP/1.1\r\nHost: localhost.evil.example:80\r\n\r\n", 421, other);
    ask_once(f, "POST /live HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 1\r\n\r\nx", 421, other);
    ask_once(f, "GET /live HTTP/1.0\r\nHost: evil.example\r\n\r\n", 421, other);

    ask_once(f, "GET /live HTTP/1.1\r\n\r\n", 400, bad);
    ask_once(f, "GET /live HTTP/1.1\r\nX-Host: localhost\r\n\r\n", 400, bad);
    ask_once(f, "GET /live HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400, bad);
    ask_once(f, "GET /live HTTP/1.0\r\nHost:\r\nhost:\r\n\r\n", 400, bad);
    ask_once(f, "GET /live HTTP/1.1\r\nHost: a b\r\n\r\n", 400, bad);
    ask_once(f, "GET /live HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: localhost\r\n\r\n", 400,
             bad); /* a trailer is no header */
}

/* The host of the target replaces Host, which must be there all the same (RFC 9112, 3.2). */
static void test_host_of_the_target(void **state)
{
    struct fixture *f = *state;
    static const char other[] =
        "this host is not husk's: use an IP address or localhost, or set --admin-host\n";

    open_admin(f);
    ask_once(f, "GET http://localhost/live HTTP/1.1\r\nHost: evil.example\r\n\r\n", 200, "live\n");
    ask_once(f, "GET http://[::1]:9901/live HTTP/1.1\r\nHost: evil.example\r\n\r\n", 200, "live\n");
    ask_once(f, "GET http://me@127.0.0.1/live HTTP/1.1\r\nHost: evil.example\r\n\r\n", 200, "live\n");
    ask_once(f, "GET http://evil.example/live HTTP/1.1\r\nHost: localhost\r\n\r\n", 421, other);
    ask_once(f, "GET http://localhost@evil.example/live HTTP/1.1\r\nHost: localhost\r\n\r\n", 421, other);
    ask_once(f, "CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", 421, other);
    ask_once(f, "GET http://localhost/live HTTP/1.1\r\n\r\n", 400,
             "expected one Host: a name or an IP address\n");
}

static void test_a_connection_goes_on_after_another_host(void **state)
{
    struct fixture *f = *state;
    struct client client;
    struct answer answer;

    open_admin(f);
    client_connect(f, &client);
    client_say(&client, "GET /live HTTP/1.1\r\nHost: evil.example\r\n\r\n" GET("/live"));
    take_answer(&client, &answer);
    assert_int_equal(answer.status, 421);
    assert_non_null(strstr(answer.head, "HTTP/1.1 421 Misdirected Request\r\n"));
    expect_answer(&client, 200, "live\n");
    client_close(&client);
}

/* ---- connections ---- */

static void test_keep_alive_and_pipelining(void **state)
{
    struct fixture *f = *state;
    struct client client;
    enum { PAIRS = 50 };
    char requests[PAIRS * 2 * 64] = "";

    open_admin(f);
    client_connect(f, &client);
    client_say(&client, GET("/live"));
    expect_answer(&client, 200, "live\n");
    client_say(&client, GET("/ready"));
    expect_answer(&client, 200, "ready\n");
    for (int i = 0; i < PAIRS; i++)
        strcat(requests, GET("/live") GET("/ready"));
    client_say(&client, requests);
    for (int i = 0; i < PAIRS; i++) {
        expect_answer(&client, 200, "live\n");
        expect_answer(&client, 200, "ready\n");
    }
    assert_false(client.ended);
    client_close(&client);
}

static void test_requests_in_pieces(void **state)
{
    struct fixture *f = *state;
    struct client client;
    static const char requests[] = GET("/live") "GET http://localhost/ready?q HTTP/1.1\r\nHost: "
                                                "localhost\r\nContent-Length: 3\r\n\r\nabc" GET("/live");

    open_admin(f);
    client_connect(f, &client);
    for (size_t i = 0; i < sizeof requests - 1; i++) {
        client_send(&client, &requests[i], 1);
        loop_run_for(f->loop, 0);
    }
    expect_answer(&client, 200, "live\n");
    expect_answer(&client, 200, "ready\n");
    expect_answer(&client, 200, "live\n");
    client_close(&client);
}

static void test_connection_headers_are_obeyed(void **state)
{
    struct fixture *f = *state;
    static const char *const requests[] = {
        "GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        "GET /live HTTP/1.0\r\n\r\n",
        "GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        /* Requests pipelined behind the last one are not answered, and cause no reset. */
        "GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" GET("/live"),
    };

    open_admin(f);
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        struct client client;
        struct answer answer;

        client_connect(f, &client);
        client_say(&client, requests[i]);
        take_answer(&client, &answer);
        assert_int_equal(answer.status, 200);
        assert_non_null(strstr(answer.head, "\r\nConnection: close\r\n"));
        expect_end(&client);
        client_close(&client);
    }

    struct client old;
    struct answer answer;
    client_connect(f, &old);
    for (int i = 0; i < 2; i++) {
        client_say(&old, "GET /live HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        take_answer(&old, &answer);
        assert_non_null(strstr(answer.head, "\r\nConnection: keep-alive\r\n"));
    }
    client_close(&old);
}

static void test_half_closed_client_is_answered(void **state)
{
    struct fixture *f = *state;
    struct client client;

    open_admin(f);
    client_connect(f, &client);
    client_say(&client, GET("/live") GET("/metrics") "GET /li");
    shutdown(client.io.fd, SHUT_WR);
    expect_answer(&client, 200, "live\n");
    struct answer answer;
    take_answer(&client, &answer);
    assert_int_equal(answer.status, 200);
    expect_end(&client);
    client_close(&client);
}

static void test_malformed_requests(void **state)
{
    struct fixture *f = *state;
    static const char *const requests[] = {
        "hello\r\n\r\n",
        "\x16\x03\x01\x02 this is a TLS ClientHello",
        "GET /live HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        "GET /live HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "GET /live HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET /live HTTP/x\r\n\r\n",
        "GET /live HTTP/1.1\r\nHost: localhost\r\nBad(Header: x\r\n\r\n",
        "POST /live HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    };

    open_admin(f);
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        struct client client;

        client_connect(f, &client);
        client_say(&client, requests[i]);
        expect_answer(&client, 400, "Bad Request\n");
        expect_end(&client);
        client_close(&client);
    }
}

/* A request with a head of `length` bytes. */
static void say_long_head(struct client *client, size_t length)
{
    static const char start[] = "GET /live HTTP/1.1\r\nHost: localhost\r\nX-Long: ";
    char *request = malloc(length);

    memset(request, 'x', length);
    memcpy(request, start, sizeof start - 1);
    memcpy(request + length - 4, "\r\n\r\n", 4);
    client_send(client, request, length);
    free(request);
}

static void test_head_limit(void **state)
{
    struct fixture *f = *state;
    struct client client;

    open_admin(f);
    client_connect(f, &client);
    say_long_head(&client, 8192);
    expect_answer(&client, 200, "live\n");
    say_long_head(&client, 8192); /* the limit is for each request */
    expect_answer(&client, 200, "live\n");
    say_long_head(&client, 8193);
    expect_answer(&client, 431, "Request Header Fields Too Large\n");
    expect_end(&client);
    client_close(&client);

    /* Bytes still in flight must not turn the answer into a reset. */
    client_connect(f, &client);
    say_long_head(&client, 100000);
    expect_answer(&client, 431, "Request Header Fields Too Large\n");
    expect_end(&client);
    for (int i = 0; i < 3; i++) {
        client_say(&client, "and so on");
        loop_run_for(f->loop, 5);
    }
    client_close(&client);
}

static void test_bodies(void **state)
{
    struct fixture *f = *state;
    struct client client;
    char body[20000];

    open_admin(f);
    client_connect(f, &client);
    client_say(&client,
               "GET /live HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello" GET("/ready"));
    expect_answer(&client, 200, "live\n");
    expect_answer(&client, 200, "ready\n");
    client_say(&client, "GET /live HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
                        "chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" GET("/ready"));
    expect_answer(&client, 200, "live\n");
    expect_answer(&client, 200, "ready\n");
    memset(body, 'b', sizeof body);
    client_say(&client, "POST /live HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8192\r\n\r\n");
    client_send(&client, body, 8192);
    expect_answer(&client, 405, "only GET and HEAD\n");
    client_say(
        &client,
        "POST /live HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 8193\r\n\r\n");
    expect_answer(&client, 413, "Payload Too Large\n");
    expect_end(&client);
    client_close(&client);

    client_connect(f, &client);
    client_say(
        &client,
        "POST /live HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n4e20\r\n"); /* 20000 */
    client_send(&client, body, sizeof body);
    expect_answer(&client, 413, "Payload Too Large\n");
    expect_end(&client);
    client_close(&client);
}

static void test_slow_clients_are_closed(void **state)
{
    struct fixture *f = *state;
    struct client silent, slow, trickling;

    f->options.request_timeout_ms = 100;
    open_admin(f);
    client_connect(f, &silent);
    client_connect(f, &slow);
    client_connect(f, &trickling);
    client_say(&slow, "GET /live HTTP/1.1\r\nHo");
    client_say(&trickling, "GET /live HTTP/1.1\r\nHost: localhost\r\nX: ");
    while (!trickling.ended) {
        /* One more byte does not extend the deadline. */
        send(trickling.io.fd, "x", 1, MSG_NOSIGNAL);
        loop_run_for(f->loop, 5);
    }
    expect_end(&silent);
    expect_end(&slow);
    assert_int_equal(trickling.length, 0);
    client_close(&silent);
    client_close(&slow);
    client_close(&trickling);
    ask_once(f, GET("/live"), 200, "live\n");
}

static void test_each_answer_restarts_the_deadline(void **state)
{
    struct fixture *f = *state;
    struct client client;

    f->options.request_timeout_ms = 600;
    open_admin(f);
    client_connect(f, &client);
    for (int i = 0; i < 4; i++) {
        client_say(&client, GET("/live"));
        expect_answer(&client, 200, "live\n");
        loop_run_for(f->loop, 200);
    }
    expect_end(&client);
    client_close(&client);
}

static void test_a_new_connection_takes_the_slot_of_one_that_has_asked_nothing(void **state)
{
    struct fixture *f = *state;
    struct client first, second, third;

    f->options.max_connections = 2;
    open_admin(f);
    client_connect(f, &first);
    loop_run_for(f->loop, 5);
    client_connect(f, &second);
    loop_run_for(f->loop, 5);
    elapsed_seconds += 1;
    client_connect(f, &third);
    expect_end(&first);
    client_say(&third, GET("/live"));
    expect_answer(&third, 200, "live\n");
    client_say(&second, GET("/live"));
    expect_answer(&second, 200, "live\n");
    client_close(&first);
    client_close(&second);
    client_close(&third);
}

/* Fills the connection with answers that the client does not read, then reads them. */
static void test_blocked_answers_are_continued(void **state)
{
    struct fixture *f = *state;
    struct client client;
    struct answer answer;
    enum { REQUESTS = 200 };

    open_admin(f);
    client_connect(f, &client);
    ev_io_stop(f->loop, &client.io);
    for (int i = 0; i < REQUESTS; i++)
        client_say(&client, GET("/metrics"));
    loop_run_for(f->loop, 50);
    ask_once(f, GET("/live"), 200, "live\n"); /* other clients are served meanwhile */
    ev_io_start(f->loop, &client.io);
    for (int i = 0; i < REQUESTS; i++) {
        take_answer(&client, &answer);
        assert_int_equal(answer.status, 200);
        assert_memory_equal(answer.body, "# HELP husk_build_info ", 23);
        client.length -= client.taken;
        memmove(client.bytes, client.bytes + client.taken, client.length);
        client.taken = 0;
    }
    client_close(&client);
}

static void test_answers_that_are_not_read_are_given_up(void **state)
{
    struct fixture *f = *state;
    struct client client;

    f->options.request_timeout_ms = 100;
    f->options.max_connections = 1;
    open_admin(f);
    client_connect(f, &client);
    ev_io_stop(f->loop, &client.io);
    for (int i = 0; i < 1000; i++)
        if (send(client.io.fd, GET("/metrics"), strlen(GET("/metrics")), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
            break;
    loop_run_for(f->loop, 1500);
    ask_once(f, GET("/live"), 200, "live\n"); /* the only slot is free again */
    client_close(&client);
}

static void test_admin_can_be_closed_at_any_time(void **state)
{
    struct fixture *f = *state;
    struct client idle, half, blocked, lingering;

    open_admin(f);
    client_connect(f, &idle);
    client_connect(f, &half);
    client_connect(f, &blocked);
    client_connect(f, &lingering);
    client_say(&half, "GET /li");
    ev_io_stop(f->loop, &blocked.io);
    for (int i = 0; i < 200; i++)
        client_say(&blocked, GET("/metrics"));
    client_say(&lingering, "GET /live HTTP/1.0\r\n\r\n");
    expect_answer(&lingering, 200, "live\n");
    loop_run_for(f->loop, 50);
    admin_close(f->admin);
    f->admin = NULL;
    expect_end(&idle);
    wait_for_end(&half);
    client_close(&idle);
    client_close(&half);
    client_close(&blocked);
    client_close(&lingering);
    admin_close(NULL);
}

/* ---- out of descriptors ---- */

enum { FILLERS_MAX = 64 };

struct shortage {
    struct rlimit before;
    int fillers[FILLERS_MAX];
    unsigned count;
};

/* Uses up all descriptors, under a low limit. */
static void shortage_begin(struct shortage *shortage, int highest_fd)
{
    struct rlimit none;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &shortage->before), 0);
    none = shortage->before;
    none.rlim_cur = (rlim_t)highest_fd + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    shortage->count = 0;
    for (int fd; (fd = dup(0)) >= 0;) {
        assert_true(shortage->count < FILLERS_MAX);
        shortage->fillers[shortage->count++] = fd;
    }
    assert_int_equal(errno, EMFILE);
}

static void shortage_end(struct shortage *shortage)
{
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &shortage->before), 0);
    while (shortage->count)
        close(shortage->fillers[--shortage->count]);
}

/* There are 4 reserves, see admin.c. */
static void test_each_client_is_served_when_descriptors_run_out(void **state)
{
    struct fixture *f = *state;
    enum { CLIENTS = 7 };
    struct client clients[CLIENTS];
    struct shortage shortage;

    open_admin(f);
    for (int i = 0; i < CLIENTS; i++) {
        client_connect(f, &clients[i]);
        client_say(&clients[i], GET("/live"));
    }
    shortage_begin(&shortage, clients[CLIENTS - 1].io.fd);
    for (int i = 0; i < CLIENTS; i++)
        expect_answer(&clients[i], 200, "live\n");
    unsigned open = 0;
    for (int i = 0; i < CLIENTS; i++)
        open += !clients[i].ended;
    assert_int_equal(open, 4);
    shortage_end(&shortage);
    for (int i = 0; i < CLIENTS; i++)
        client_close(&clients[i]);
}

static void test_silent_clients_do_not_keep_the_last_descriptors(void **state)
{
    struct fixture *f = *state;
    enum { SILENT = 5 };
    struct client silent[SILENT], client;
    struct shortage shortage;

    open_admin(f);
    for (int i = 0; i < SILENT; i++)
        client_connect(f, &silent[i]);
    client_connect(f, &client);
    shortage_begin(&shortage, client.io.fd);
    loop_run_for(f->loop, 20);
    client_say(&client, GET("/live"));
    expect_answer(&client, 200, "live\n");
    shortage_end(&shortage);
    for (int i = 0; i < SILENT; i++)
        client_close(&silent[i]);
    client_close(&client);
}

static void test_descriptors_return_to_the_reserve(void **state)
{
    struct fixture *f = *state;
    struct client clients[5];
    struct shortage shortage;

    open_admin(f);
    for (int i = 0; i < 5; i++) {
        client_connect(f, &clients[i]);
        shutdown(clients[i].io.fd, SHUT_WR);
    }
    shortage_begin(&shortage, clients[4].io.fd);
    for (int i = 0; i < 5; i++)
        expect_end(&clients[i]);
    loop_run_for(f->loop, 5);
    assert_int_equal(dup(0), -1);
    shortage_end(&shortage);
    for (int i = 0; i < 5; i++)
        client_close(&clients[i]);
}

/* Allows no new descriptor, even if one is closed. */
static void forbid_descriptors(struct rlimit *before)
{
    assert_int_equal(getrlimit(RLIMIT_NOFILE, before), 0);
    const struct rlimit none = { .rlim_cur = 3, .rlim_max = before->rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
}

static void allow_descriptors(const struct rlimit *before)
{
    assert_int_equal(setrlimit(RLIMIT_NOFILE, before), 0);
}

static void test_accepting_pauses_when_no_descriptor_can_be_freed(void **state)
{
    struct fixture *f = *state;
    struct client client;
    struct rlimit before;

    open_admin(f);
    client_connect(f, &client);
    client_say(&client, GET("/live"));
    forbid_descriptors(&before);
    unsigned turns = ev_iteration(f->loop);
    loop_run_for(f->loop, 800);
    turns = ev_iteration(f->loop) - turns;
    allow_descriptors(&before);
    assert_int_equal(client.length, 0);
    assert_in_range(turns, 2, 25); /* pauses of 100, 200, 400, … ms, two turns each */
    expect_answer(&client, 200, "live\n");
    client_close(&client);
}

/* `words` must be in the log; then empties the log. */
static void expect_log(struct fixture *f, const char *words)
{
    char text[4096];
    ssize_t length = pread(f->log_fd, text, sizeof text - 1, 0);

    assert_true(length >= 0);
    text[length] = '\0';
    if (!strstr(text, words))
        fail_msg("log has no \"%s\": %s", words, text);
    assert_int_equal(ftruncate(f->log_fd, 0), 0);
}

static void test_pauses_are_logged_once_in_ten_seconds(void **state)
{
    struct fixture *f = *state;
    struct client waiting;
    struct rlimit before;
    int file = memfd_create("log", 0);

    assert_int_equal(dup2(file, f->log_fd), f->log_fd);
    close(file);
    assert_int_equal(fcntl(f->log_fd, F_SETFL, O_APPEND), 0);
    f->options.request_timeout_ms = 60000;
    open_admin(f);
    client_connect(f, &waiting);
    forbid_descriptors(&before);
    loop_run_for(f->loop, 500);
    expect_log(f, "admin cannot accept detail=\"Too many open files\"\n");
    elapsed_seconds += 10;
    loop_run_for(f->loop, 1100);
    expect_log(f, " suppressed=");
    allow_descriptors(&before);
    client_close(&waiting);
}

/* ---- listening ---- */

static void test_address_in_use_is_a_fault(void **state)
{
    struct fixture *f = *state;
    char expected[FAULT_TEXT_BYTES], text[ADDRESS_TEXT_BYTES];

    open_admin(f);
    struct admin *first = f->admin;
    socket_address_format(admin_address(first), text, sizeof text);
    snprintf(expected, sizeof expected, "cannot listen on %s: Address already in use", text);
    f->options.listen = *admin_address(first);
    assert_false(try_open(f));
    assert_string_equal(f->fault.text, expected);
    f->admin = first;
}

static void test_ipv6_listener_accepts_both_families(void **state)
{
    struct fixture *f = *state;
    struct client client;

    listen_on(f, "*:0");
    if (!try_open(f))
        skip(); /* no IPv6 on this machine */
    struct socket_address *to = (struct socket_address *)admin_address(f->admin);
    const struct socket_address bound = *to;
    uint16_t port = ntohs(((const struct sockaddr_in6 *)&bound.storage)->sin6_port);
    struct address address = { .host = "127.0.0.1", .port = port };
    assert_true(address_to_socket(&address, to)); /* where the client connects to */
    client_connect(f, &client);
    *to = bound;
    client_say(&client, GET("/live"));
    expect_answer(&client, 200, "live\n");
    client_close(&client);
}

static void test_unix_listener(void **state)
{
    struct fixture *f = *state;
    char text[128];
    struct stat file;

    snprintf(text, sizeof text, "unix:%s/admin.sock", f->directory);
    listen_on(f, text);
    open_admin(f);
    ask_once(f, GET("/live"), 200, "live\n");
    ask_once(f, "GET /live HTTP/1.1\r\nHost: any\r\n\r\n", 200, "live\n"); /* no web page gets here */
    ask_once(f, "GET /live HTTP/1.1\r\n\r\n", 200, "live\n");
    struct admin *first = f->admin;
    assert_false(try_open(f)); /* another listener answers there */
    assert_non_null(strstr(f->fault.text, "/admin.sock: Address already in use"));
    f->admin = first;
    ask_once(f, GET("/live"), 200, "live\n");
    admin_close(f->admin);
    f->admin = NULL;
    assert_int_equal(stat(text + 5, &file), -1);
}

static void test_stale_unix_socket_is_replaced(void **state)
{
    struct fixture *f = *state;
    char text[128];
    struct stat file;

    snprintf(text, sizeof text, "unix:%s/admin.sock", f->directory);
    listen_on(f, text);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&f->options.listen.storage, f->options.listen.length), 0);
    close(fd); /* as after kill -9 */
    open_admin(f);
    ask_once(f, GET("/live"), 200, "live\n");

    /* A successor that has taken over the path keeps its file. */
    assert_int_equal(unlink(text + 5), 0);
    struct admin *first = f->admin;
    open_admin(f);
    admin_close(first);
    ask_once(f, GET("/live"), 200, "live\n");
    admin_close(f->admin);
    assert_int_equal(stat(text + 5, &file), -1);

    /* A file that is not a socket is never removed. */
    fd = open(text + 5, O_CREAT | O_WRONLY, 0600);
    close(fd);
    assert_false(try_open(f));
    assert_int_equal(unlink(text + 5), 0);
}

static void test_abstract_unix_listener(void **state)
{
    struct fixture *f = *state;
    char text[128];

    snprintf(text, sizeof text, "unix:@husk-test-%d", getpid());
    listen_on(f, text);
    open_admin(f);
    ask_once(f, GET("/live"), 200, "live\n");
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_live_and_ready),
        CASE(test_metrics),
        CASE(test_head_has_no_body),
        CASE(test_startup),
        CASE(test_quit),
        CASE(test_quit_is_off_by_default),
        CASE(test_paths),
        CASE(test_other_methods),
        CASE(test_hosts),
        CASE(test_host_of_the_target),
        CASE(test_a_connection_goes_on_after_another_host),
        CASE(test_keep_alive_and_pipelining),
        CASE(test_requests_in_pieces),
        CASE(test_connection_headers_are_obeyed),
        CASE(test_half_closed_client_is_answered),
        CASE(test_malformed_requests),
        CASE(test_head_limit),
        CASE(test_bodies),
        CASE(test_slow_clients_are_closed),
        CASE(test_each_answer_restarts_the_deadline),
        CASE(test_a_new_connection_takes_the_slot_of_one_that_has_asked_nothing),
        CASE(test_blocked_answers_are_continued),
        CASE(test_answers_that_are_not_read_are_given_up),
        CASE(test_admin_can_be_closed_at_any_time),
        CASE(test_each_client_is_served_when_descriptors_run_out),
        CASE(test_silent_clients_do_not_keep_the_last_descriptors),
        CASE(test_descriptors_return_to_the_reserve),
        CASE(test_accepting_pauses_when_no_descriptor_can_be_freed),
        CASE(test_pauses_are_logged_once_in_ten_seconds),
        CASE(test_address_in_use_is_a_fault),
        CASE(test_ipv6_listener_accepts_both_families),
        CASE(test_unix_listener),
        CASE(test_stale_unix_socket_is_replaced),
        CASE(test_abstract_unix_listener),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
