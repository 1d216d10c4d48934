/* proxy/wire/resolver.c with a small name server on the same loop: answers, delays, failures, and closing
 * early. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "support/loop.h"
#include "wire/resolver.h"

#include <arpa/inet.h>
#include <ev.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

enum { TYPE_A = 1, TYPE_CNAME = 5, TYPE_AAAA = 28, TYPE_SRV = 33, RCODE_SERVFAIL = 2, RCODE_NXDOMAIN = 3 };
enum { ANSWERS_MAX = 64, SLACK_MS = 2 };

/* ---- the name server ---- */

/* The SRV records of "_fluent._tcp.test" in the name server, and the addresses of their hosts. */
struct srv_record {
    unsigned priority, weight, port;
    const char *host; /* NULL: "." */
    const char *ipv4; /* NULL: the host does not exist */
    uint32_t ttl;     /* of the address */
};

struct name_server {
    struct ev_loop *loop;
    uint16_t port;
    struct ev_io udp, listener, tcp;

    unsigned rcode;
    unsigned silent_queries; /* number of queries that are not answered */
    bool truncate_udp;
    bool with_cname;
    const char *only_name; /* other names do not exist; NULL: all exist */
    uint32_t ttl;
    const char *const *ipv4, *const *ipv6; /* NULL-terminated */
    const struct srv_record *srv;          /* ends with port 0; NULL: the service does not exist */

    size_t queries; /* for A records */
    uint64_t query_ms[ANSWERS_MAX];
    unsigned tcp_queries;
};

static void put16(uint8_t **at, unsigned value)
{
    *(*at)++ = (uint8_t)(value >> 8);
    *(*at)++ = (uint8_t)value;
}

static void put_record(uint8_t **at, unsigned name_offset, unsigned type, uint32_t ttl, const void *data,
                       size_t length)
{
    put16(at, 0xc000 | name_offset);
    put16(at, type);
    put16(at, 1);
    put16(at, ttl >> 16);
    put16(at, ttl & 0xffff);
    put16(at, (unsigned)length);
    memcpy(*at, data, length);
    *at += length;
}

static unsigned put_answers(const struct name_server *server, unsigned type, uint8_t **at,
                            const uint8_t *start)
{
    const char *const *texts = type == TYPE_A ? server->ipv4 : server->ipv6;
    unsigned count = 0;
    unsigned name_offset = 12;

    if (server->with_cname) {
        static const uint8_t target[] = "\5other\4test";

        unsigned target_offset = (unsigned)(*at - start) + 12;
        put_record(at, name_offset, TYPE_CNAME, server->ttl, target, sizeof target);
        name_offset = target_offset;
        count++;
    }
    for (; texts && *texts; texts++, count++) {
        uint8_t raw[16];

        assert_int_equal(inet_pton(type == TYPE_A ? AF_INET : AF_INET6, *texts, raw), 1);
        put_record(at, name_offset, type, server->with_cname ? 3600 : server->ttl, raw,
                   type == TYPE_A ? 4 : 16);
    }
    return count;
}

static unsigned put_services(const struct name_server *server, uint8_t **at)
{
    unsigned count = 0;

    for (const struct srv_record *srv = server->srv; srv->port; srv++, count++) {
        uint8_t data[300], *end = data;
        put16(&end, srv->priority);
        put16(&end, srv->weight);
        put16(&end, srv->port);
        for (const char *label = srv->host; label && *label;) {
            size_t length = strcspn(label, ".");
            *end++ = (uint8_t)length;
            memcpy(end, label, length);
            end += length;
            label += length + (label[length] == '.');
        }
        *end++ = 0;
        put_record(at, 12, TYPE_SRV, server->ttl, data, (size_t)(end - data));
    }
    return count;
}

/* The answer to a question about one of the hosts; -1: the host does not exist. */
static int put_host(struct name_server *server, const char *name, unsigned type, uint8_t **at)
{
    for (const struct srv_record *srv = server->srv; srv->port; srv++) {
        uint8_t raw[4];
        if (!srv->host || strcmp(srv->host, name) != 0)
            continue;
        if (!srv->ipv4)
            return -1;
        if (type != TYPE_A)
            return 0;
        assert_int_equal(inet_pton(AF_INET, srv->ipv4, raw), 1);
        put_record(at, 12, TYPE_A, srv->ttl, raw, sizeof raw);
        return 1;
    }
    return -1;
}

/* Writes the reply to `query`; 0: no reply. */
static size_t reply_to(struct name_server *server, const uint8_t *query, size_t length, uint8_t *reply)
{
    char name[256] = "";
    size_t question = 12;
    uint8_t *at = reply;

    assert_true(length > 12);
    while (query[question]) {
        snprintf(name + strlen(name), sizeof name - strlen(name), "%s%.*s", *name ? "." : "", query[question],
                 (const char *)query + question + 1);
        question += query[question] + 1U;
    }
    question += 5;
    assert_true(question <= length);
    unsigned type = query[question - 3];

    if (type == TYPE_A) {
        assert_true(server->queries < ANSWERS_MAX);
        server->query_ms[server->queries++] = clock_monotonic_ms();
    }
    if (server->silent_queries) {
        server->silent_queries--;
        return 0;
    }
    unsigned rcode =
        server->only_name && strcmp(name, server->only_name) != 0 ? RCODE_NXDOMAIN : server->rcode;
    memcpy(reply, query, question);
    at += 2;
    put16(&at, 0x8180 | rcode);
    put16(&at, 1);
    put16(&at, 0);
    put16(&at, 0);
    put16(&at, 0);
    at = reply + question;
    if (server->srv) {
        int count = type == TYPE_SRV ? (int)put_services(server, &at) : put_host(server, name, type, &at);
        if (count < 0)
            reply[3] |= RCODE_NXDOMAIN;
        reply[7] = (uint8_t)(count > 0 ? count : 0);
    } else if (rcode == 0)
        reply[7] = (uint8_t)put_answers(server, type, &at, reply);
    return (size_t)(at - reply);
}

static void on_udp(struct ev_loop *loop, struct ev_io *io, int events)
{
    struct name_server *server = io->data;
    uint8_t query[512], reply[4096];
    struct sockaddr_storage from;
    socklen_t from_length = sizeof from;
    ssize_t length = recvfrom(io->fd, query, sizeof query, 0, (struct sockaddr *)&from, &from_length);

    (void)loop;
    (void)events;
    if (length < 0)
        return;
    size_t reply_length = reply_to(server, query, (size_t)length, reply);
    if (server->truncate_udp) {
        reply[2] |= 2;
        reply[7] = 0;
        reply_length = (size_t)length;
    }
    if (reply_length)
        sendto(io->fd, reply, reply_length, 0, (struct sockaddr *)&from, from_length);
}

static void on_tcp(struct ev_loop *loop, struct ev_io *io, int events)
{
    struct name_server *server = io->data;
    uint8_t query[512], reply[4096 + 2];
    uint8_t *at = reply;

    (void)events;
    if (recv(io->fd, query, 2, MSG_WAITALL) != 2) {
        ev_io_stop(loop, io);
        close(io->fd);
        return;
    }
    size_t length = (size_t)query[0] << 8 | query[1];
    assert_true(length <= sizeof query);
    assert_int_equal(recv(io->fd, query, length, MSG_WAITALL), length);
    server->tcp_queries++;
    length = reply_to(server, query, length, reply + 2);
    put16(&at, (unsigned)length);
    assert_int_equal(send(io->fd, reply, length + 2, 0), length + 2);
}

static void on_listener(struct ev_loop *loop, struct ev_io *io, int events)
{
    struct name_server *server = io->data;
    int fd = accept(io->fd, NULL, NULL);

    (void)events;
    assert_true(fd >= 0);
    assert_false(ev_is_active(&server->tcp));
    ev_io_init(&server->tcp, on_tcp, fd, EV_READ);
    server->tcp.data = server;
    ev_io_start(loop, &server->tcp);
}

/* -1: *port is taken. */
static int bound_socket(int type, uint16_t *port)
{
    struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof sin;
    int fd = socket(AF_INET, type, 0);
    int on = 1;

    sin.sin_port = htons(*port);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    if (bind(fd, (struct sockaddr *)&sin, sizeof sin) != 0) {
        close(fd);
        return -1;
    }
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &length), 0);
    *port = ntohs(sin.sin_port);
    return fd;
}

/* Binds the same port for UDP and TCP; the first time any free port. */
static void server_start(struct name_server *server)
{
    uint16_t wanted = server->port;
    int udp = -1;
    int tcp = -1;

    for (int attempts = 0; tcp < 0 && attempts < 1000; attempts++) {
        server->port = wanted;
        udp = bound_socket(SOCK_DGRAM, &server->port);
        if (udp < 0)
            continue;
        tcp = bound_socket(SOCK_STREAM, &server->port);
        if (tcp < 0)
            close(udp);
    }
    assert_true(tcp >= 0);
    ev_io_init(&server->udp, on_udp, udp, EV_READ);
    server->udp.data = server;
    ev_io_start(server->loop, &server->udp);
    ev_io_init(&server->listener, on_listener, tcp, EV_READ);
    server->listener.data = server;
}

/* Before this call TCP connections are refused. */
static void server_listen(struct name_server *server)
{
    assert_int_equal(listen(server->listener.fd, 4), 0);
    ev_io_start(server->loop, &server->listener);
}

static void server_stop(struct name_server *server)
{
    ev_io_stop(server->loop, &server->udp);
    close(server->udp.fd);
    ev_io_stop(server->loop, &server->listener);
    close(server->listener.fd);
    if (ev_is_active(&server->tcp)) {
        ev_io_stop(server->loop, &server->tcp);
        close(server->tcp.fd);
    }
}

/* ---- the resolver under test ---- */

struct answer {
    size_t count;
    struct answered {
        struct socket_address address;
        char host[64];
        unsigned priority, weight;
    } addresses[RESOLVER_ADDRESSES_MAX];
    char why[128];
    uint64_t at_ms;
};

struct fixture {
    struct ev_loop *loop;
    struct name_server server;
    struct resolver *resolver;
    bool close_on_answer;
    size_t count;
    struct answer answers[ANSWERS_MAX];
};

static void on_answer(void *owner, const struct resolver_address *addresses, size_t count, const char *why)
{
    struct fixture *f = owner;
    struct answer *answer = &f->answers[f->count++];

    assert_true(f->count < ANSWERS_MAX);
    assert_int_equal(count == 0, why != NULL);
    answer->count = count;
    answer->at_ms = clock_monotonic_ms();
    for (size_t i = 0; i < count; i++) {
        answer->addresses[i] = (struct answered) { .address = addresses[i].address,
                                                   .priority = addresses[i].priority,
                                                   .weight = addresses[i].weight };
        snprintf(answer->addresses[i].host, sizeof answer->addresses[i].host, "%s",
                 addresses[i].host ? addresses[i].host : "");
    }
    snprintf(answer->why, sizeof answer->why, "%s", why ? why : "");
    if (f->close_on_answer) {
        resolver_close(f->resolver);
        f->resolver = NULL;
    }
}

static void run_until(struct fixture *f, const size_t *counter, size_t wanted)
{
    while (*counter < wanted)
        loop_turn(f->loop);
}

static const char *const some_ipv4[] = { "127.0.0.2", "127.0.0.3", NULL };
static const char *const some_ipv6[] = { "::1", NULL };

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    f->loop = ev_loop_new(EVFLAG_AUTO);
    f->server.loop = f->loop;
    f->server.ttl = 3600;
    f->server.ipv4 = some_ipv4;
    f->server.ipv6 = some_ipv6;
    server_start(&f->server);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    resolver_close(f->resolver);
    server_stop(&f->server);
    assert_int_equal(ev_run(f->loop, EVRUN_NOWAIT), 0); /* no watcher was left behind */
    ev_loop_destroy(f->loop);
    free(f);
    return 0;
}

static const struct resolver_options default_options = {
    .hosts = RESOLVER_KEEP_HOSTS,
    .min_ttl_ms = 30,
    .max_ttl_ms = 60000,
    .retry_min_ms = 20,
    .retry_max_ms = 80,
};

static void open_resolver(struct fixture *f, const char *text, const struct resolver_options *options)
{
    struct resolver_options here = *options;
    struct address address;
    struct fault fault = { .text = "" };
    char servers[32];

    snprintf(servers, sizeof servers, "127.0.0.1:%u", f->server.port);
    here.servers = servers;
    assert_true(address_parse_upstream(&address, text, &fault));
    f->resolver =
        resolver_open(f->loop,
                      &(struct resolver_request) {
                          .address = &address, .options = &here, .on_answer = on_answer, .owner = f },
                      &fault);
    if (!f->resolver)
        fail_msg("%s", fault.text);
    memset(servers, 'x', sizeof servers); /* the resolver must have copied both */
    memset(&address, 'x', sizeof address);
    assert_int_equal(f->count, 0);
}

static bool has_address(const struct answer *answer, const char *text)
{
    char each[ADDRESS_TEXT_BYTES];

    for (size_t i = 0; i < answer->count; i++) {
        socket_address_format(&answer->addresses[i].address, each, sizeof each);
        if (strcmp(each, text) == 0)
            return true;
    }
    return false;
}

static void test_both_families_are_delivered(void **state)
{
    struct fixture *f = *state;

    open_resolver(f, "aggregator.test.:24224", &default_options);
    run_until(f, &f->count, 1);
    assert_int_equal(f->answers[0].count, 3);
    assert_true(has_address(&f->answers[0], "127.0.0.2:24224"));
    assert_true(has_address(&f->answers[0], "127.0.0.3:24224"));
    assert_true(has_address(&f->answers[0], "[::1]:24224"));
    assert_int_equal(f->server.queries, 1);
}

static void test_one_family_is_enough(void **state)
{
    struct fixture *f = *state;

    f->server.ipv6 = NULL;
    open_resolver(f, "aggregator.test.:1", &default_options);
    run_until(f, &f->count, 1);
    assert_int_equal(f->answers[0].count, 2);
}

static void test_aliases_are_followed(void **state)
{
    struct fixture *f = *state;

    /* A CNAME without an AAAA record is the usual answer for an IPv4-only alias. The TTL of the CNAME counts,
     * too. */
    f->server.ipv6 = NULL;
    f->server.with_cname = true;
    f->server.ttl = 0;
    open_resolver(f, "aggregator.test.:1", &default_options);
    run_until(f, &f->count, 2);
    assert_int_equal(f->answers[0].count, 2);
    assert_true(has_address(&f->answers[1], "127.0.0.2:1"));
}

static void test_repeated_addresses_are_merged_and_capped(void **state)
{
    struct fixture *f = *state;
    static const char *const repeated[] = { "127.0.0.2", "127.0.0.2", "127.0.0.3", "127.0.0.2", NULL };
    static char texts[200][16];
    const char *many[201] = { NULL };

    f->server.ipv4 = repeated;
    f->server.ttl = 0;
    open_resolver(f, "aggregator.test.:1", &default_options);
    run_until(f, &f->count, 1);
    assert_int_equal(f->answers[0].count, 3);

    for (size_t i = 0; i < 200; i++) {
        snprintf(texts[i], sizeof texts[i], "127.0.1.%zu", i);
        many[i] = texts[i];
    }
    f->server.ipv4 = many; /* too many for UDP */
    server_listen(&f->server);
    run_until(f, &f->count, 2);
    assert_int_equal(f->answers[1].count, RESOLVER_ADDRESSES_MAX);
}

static void test_large_answers_use_tcp(void **state)
{
    struct fixture *f = *state;

    server_listen(&f->server);
    f->server.truncate_udp = true;
    open_resolver(f, "aggregator.test.:1", &default_options);
    run_until(f, &f->count, 1);
    assert_int_equal(f->answers[0].count, 3);
    assert_int_equal(f->server.tcp_queries, 2);
}

static void test_ttl_has_a_lower_limit(void **state)
{
    struct fixture *f = *state;

    f->server.ttl = 0;
    open_resolver(f, "aggregator.test.:1", &default_options);
    run_until(f, &f->count, 6);
    assert_int_equal(f->server.queries, 6);
    for (size_t i = 1; i < 6; i++)
        assert_true(f->server.query_ms[i] - f->answers[i - 1].at_ms >= default_options.min_ttl_ms - SLACK_MS);
}

static void test_ttl_has_an_upper_limit(void **state)
{
    struct fixture *f = *state;
    struct resolver_options options = default_options;

    options.max_ttl_ms = 40;
    f->server.ttl = 3600;
    open_resolver(f, "aggregator.test.:1", &options);
    run_until(f, &f->count, 3);
    assert_true(f->server.query_ms[1] - f->answers[0].at_ms >= 40 - SLACK_MS);
}

static void test_names_are_resolved_again_after_the_ttl(void **state)
{
    struct fixture *f = *state;

    f->server.ttl = 1;
    open_resolver(f, "aggregator.test.:1", &default_options);
    run_until(f, &f->count, 2);
    assert_true(f->server.query_ms[1] - f->answers[0].at_ms >= 1000 - SLACK_MS);
}

static void test_failures_back_off_and_recover(void **state)
{
    struct fixture *f = *state;
    static const unsigned floors_ms[] = { 20, 40, 80, 80, 80, 80, 80, 80, 80 };
    enum { FAILURES = sizeof floors_ms / sizeof *floors_ms };

    f->server.rcode = RCODE_NXDOMAIN;
    open_resolver(f, "aggregator.test.:1", &default_options);
    run_until(f, &f->count, FAILURES);
    for (size_t i = 0; i < FAILURES; i++) {
        assert_int_equal(f->answers[i].count, 0);
        assert_string_equal(f->answers[i].why, "Domain name not found");
    }
    /* Without the limit these would take 20 + 40 + … + 2560 ms. */
    assert_true(f->answers[FAILURES - 1].at_ms - f->answers[0].at_ms < 4000);

    f->server.rcode = 0;
    run_until(f, &f->count, FAILURES + 1);
    assert_int_equal(f->answers[FAILURES].count, 3);
    for (size_t i = 0; i < FAILURES; i++)
        assert_true(f->server.query_ms[i + 1] - f->answers[i].at_ms >= floors_ms[i] - SLACK_MS);
}

static void test_back_off_is_reset_by_success(void **state)
{
    struct fixture *f = *state;
    struct resolver_options options = default_options;

    options.retry_max_ms = 100000;
    f->server.ttl = 0;
    f->server.rcode = RCODE_NXDOMAIN;
    open_resolver(f, "aggregator.test.:1", &options);
    run_until(f, &f->count, 5); /* the next delay would be 640 ms */
    f->server.rcode = 0;
    run_until(f, &f->count, 6);
    f->server.rcode = RCODE_NXDOMAIN;
    run_until(f, &f->count, 8);
    assert_true(f->server.query_ms[7] - f->answers[6].at_ms < 300);
}

static void test_server_failure_and_empty_answer_are_failures(void **state)
{
    struct fixture *f = *state;

    f->server.rcode = RCODE_SERVFAIL;
    open_resolver(f, "aggregator.test.:1", &default_options);
    run_until(f, &f->count, 1);
    assert_int_equal(f->answers[0].count, 0);
    f->server.rcode = 0;
    f->server.ipv4 = NULL;
    f->server.ipv6 = NULL;
    run_until(f, &f->count, 2);
    assert_int_equal(f->answers[1].count, 0);
    f->server.with_cname = true;
    run_until(f, &f->count, 3);
    assert_int_equal(f->answers[2].count, 0);
    assert_true(strlen(f->answers[2].why) > 0);
}

static void test_starts_without_a_name_server(void **state)
{
    struct fixture *f = *state;

    server_stop(&f->server);
    open_resolver(f, "aggregator.test.:1", &default_options);
    run_until(f, &f->count, 1);
    assert_int_equal(f->answers[0].count, 0);
    server_start(&f->server);
    size_t failures = f->count;
    run_until(f, &f->server.queries, 1);
    run_until(f, &f->count, failures + 1);
    assert_int_equal(f->answers[f->count - 1].count, 3);
}

static void test_lost_queries_are_sent_again(void **state)
{
    struct fixture *f = *state;

    f->server.silent_queries = 2; /* for A and for AAAA records */
    open_resolver(f, "aggregator.test.:1", &default_options);
    run_until(f, &f->count, 1);
    /* Only a query that was sent again can be answered. c-ares gives up a family that is still unanswered
     * when the other family has been answered, so one family may be missing. */
    assert_true(f->answers[0].count > 0);
}

static void test_short_names_are_searched(void **state)
{
    struct fixture *f = *state;

    /* One domain: newer releases of c-ares take only the first one of LOCALDOMAIN. */
    setenv("LOCALDOMAIN", "cluster.test", 1);
    setenv("RES_OPTIONS", "ndots:5", 1);
    f->server.only_name = "aggregator";
    open_resolver(f, "aggregator:1", &default_options);
    run_until(f, &f->count, 1);
    assert_int_equal(f->answers[0].count, 3);
    assert_int_equal(f->server.queries, 2);
    resolver_close(f->resolver);

    f->server.only_name = "aggregator.cluster.test";
    f->count = f->server.queries = 0;
    open_resolver(f, "aggregator:1", &default_options);
    run_until(f, &f->count, 1);
    assert_int_equal(f->answers[0].count, 3);
    assert_int_equal(f->server.queries, 1);
    resolver_close(f->resolver);

    /* A complete name is queried as it is, and no other name is tried. */
    f->server.only_name = "aggregator";
    f->count = 0;
    f->server.queries = 0;
    open_resolver(f, "aggregator.test.:1", &default_options);
    run_until(f, &f->count, 1);
    unsetenv("LOCALDOMAIN");
    unsetenv("RES_OPTIONS");
    assert_string_equal(f->answers[0].why, "Domain name not found");
    assert_int_equal(f->server.queries, 1);
}

static void test_ip_addresses_are_answered_once_without_dns(void **state)
{
    struct fixture *f = *state;
    static const char *const literals[][2] = {
        { "10.0.0.1:5", "10.0.0.1:5" },
        { "[2001:db8::1]:5", "[2001:db8::1]:5" },
        { "localhost:5", "127.0.0.1:5" },
    };

    for (size_t i = 0; i < 3; i++) {
        f->count = 0;
        open_resolver(f, literals[i][0], &default_options);
        run_until(f, &f->count, 1);
        resolver_refresh(f->resolver);
        loop_run_for(f->loop, default_options.min_ttl_ms * 2);
        assert_int_equal(f->count, 1);
        assert_int_equal(f->answers[0].count, 1);
        assert_true(has_address(&f->answers[0], literals[i][1]));
        resolver_close(f->resolver);
        f->resolver = NULL;
    }
    assert_int_equal(f->server.queries, 0);
}

static void test_refresh_is_rate_limited(void **state)
{
    struct fixture *f = *state;
    struct resolver_options options = default_options;

    options.retry_min_ms = 60;
    open_resolver(f, "aggregator.test.:1", &options);
    resolver_refresh(f->resolver); /* the first look-up is due: no effect */
    run_until(f, &f->server.queries, 1);
    resolver_refresh(f->resolver); /* a look-up is running: no effect */
    run_until(f, &f->count, 1);
    loop_run_for(f->loop, 100);
    assert_int_equal(f->server.queries, 1);

    /* The second look-up is due at once, and each further one 60 ms after the look-up before. A slow machine
     * makes the pauses longer, but may note the query of a look-up late: all pauses count together. */
    uint64_t began_ms = clock_monotonic_ms();
    for (size_t i = 1; i <= 4; i++) {
        for (int again = 0; again < 100; again++)
            resolver_refresh(f->resolver);
        run_until(f, &f->count, i + 1);
        assert_int_equal(f->server.queries, i + 1);
    }
    assert_true(f->server.query_ms[4] - began_ms >= 3 * (60 - SLACK_MS));
}

static void test_refresh_respects_the_back_off(void **state)
{
    struct fixture *f = *state;
    struct resolver_options options = default_options;

    options.retry_max_ms = 10000;
    f->server.rcode = RCODE_NXDOMAIN;
    open_resolver(f, "aggregator.test.:1", &options);
    for (size_t i = 1; i <= 4; i++) {
        run_until(f, &f->count, i);
        resolver_refresh(f->resolver);
    }
    run_until(f, &f->count, 5);
    assert_true(f->server.query_ms[4] - f->answers[3].at_ms >= 160 - SLACK_MS);
}

static void test_close_at_any_time(void **state)
{
    struct fixture *f = *state;

    open_resolver(f, "aggregator.test.:1", &default_options); /* before the look-up */
    resolver_close(f->resolver);
    open_resolver(f, "127.0.0.1:1", &default_options);
    resolver_close(f->resolver);

    f->server.silent_queries = 2; /* while the look-up is running */
    open_resolver(f, "aggregator.test.:1", &default_options);
    run_until(f, &f->server.queries, 1);
    resolver_close(f->resolver);

    open_resolver(f, "aggregator.test.:1",
                  &default_options); /* between answer and delivery: at every step of the loop */
    for (unsigned steps = 1; f->count == 0; steps++) {
        for (unsigned i = 0; i < steps && f->count == 0; i++)
            ev_run(f->loop, EVRUN_ONCE);
        resolver_close(f->resolver);
        f->resolver = NULL;
        if (f->count == 0)
            open_resolver(f, "aggregator.test.:1", &default_options);
    }

    f->count = 0;
    f->close_on_answer = true; /* from inside on_answer */
    open_resolver(f, "aggregator.test.:1", &default_options);
    run_until(f, &f->count, 1);
    f->server.rcode = RCODE_NXDOMAIN;
    f->count = 0;
    open_resolver(f, "aggregator.test.:1", &default_options);
    run_until(f, &f->count, 1);
    assert_null(f->resolver);
}

/* ---- SRV ---- */

static void expect_service(struct fixture *f, size_t at, const char *text, const char *host,
                           unsigned priority)
{
    char each[ADDRESS_TEXT_BYTES];
    const struct answered *answered = &f->answers[f->count - 1].addresses[at];

    assert_true(at < f->answers[f->count - 1].count);
    socket_address_format(&answered->address, each, sizeof each);
    assert_string_equal(each, text);
    assert_string_equal(answered->host, host);
    assert_int_equal(answered->priority, priority);
}

static void test_services_resolve_to_their_hosts_by_priority(void **state)
{
    struct fixture *f = *state;
    static const struct srv_record srv[] = { { 20, 5, 3, "c.test", "127.0.0.3", 3600 },
                                             { 10, 7, 1, "a.test", "127.0.0.1", 3600 },
                                             { 10, 0, 2, "b.test", "127.0.0.2", 3600 },
                                             { 30, 1, 1, "a.test", "127.0.0.1", 3600 }, /* a duplicate */
                                             { 0 } };

    setenv("LOCALDOMAIN", "elsewhere.test", 1);
    f->server.srv = srv;
    open_resolver(f, "srv+_fluent._tcp.test", &default_options);
    run_until(f, &f->count, 1);
    unsetenv("LOCALDOMAIN");
    assert_int_equal(f->answers[0].count, 3);
    expect_service(f, 0, "127.0.0.1:1", "a.test", 10);
    expect_service(f, 1, "127.0.0.2:2", "b.test", 10);
    expect_service(f, 2, "127.0.0.3:3", "c.test", 20);
    assert_int_equal(f->answers[0].addresses[0].weight, 7);
    assert_int_equal(f->answers[0].addresses[1].weight, 0);
    assert_int_equal(f->server.queries, 4); /* one per host: targets are complete names */
}

static const struct srv_record srv_at_one_address[] = {
    { 10, 1, 1, "a.test", "127.0.0.1", 3600 }, { 10, 3, 1, "b.test", "127.0.0.1", 3600 },
    { 10, 1, 2, "a.test", "127.0.0.1", 3600 }, { 20, 1, 1, "c.test", "127.0.0.1", 3600 },
    { 30, 1, 1, "b.test", "127.0.0.1", 3600 }, { 0 }
};

static void test_hosts_at_one_address_are_kept_apart(void **state)
{
    struct fixture *f = *state;

    f->server.srv = srv_at_one_address;
    open_resolver(f, "srv+_fluent._tcp.test", &default_options);
    run_until(f, &f->count, 1);
    assert_int_equal(f->answers[0].count, 4);
    expect_service(f, 0, "127.0.0.1:1", "a.test", 10);
    expect_service(f, 1, "127.0.0.1:1", "b.test", 10);
    expect_service(f, 2, "127.0.0.1:2", "a.test", 10);
    expect_service(f, 3, "127.0.0.1:1", "c.test", 20);
}

static void test_without_hosts_only_addresses_are_told_apart(void **state)
{
    struct fixture *f = *state;
    struct resolver_options options = default_options;

    options.hosts = RESOLVER_DROP_HOSTS;
    f->server.srv = srv_at_one_address;
    open_resolver(f, "srv+_fluent._tcp.test", &options);
    run_until(f, &f->count, 1);
    assert_int_equal(f->answers[0].count, 2);
    expect_service(f, 0, "127.0.0.1:1", "", 10);
    expect_service(f, 1, "127.0.0.1:2", "", 10);
}

static void test_a_v4_mapped_answer_is_the_ipv4_address(void **state)
{
    struct fixture *f = *state;
    static const char *const ipv6[] = { "::ffff:127.0.0.2", "::ffff:127.0.0.9", NULL };

    f->server.ipv6 = ipv6;
    open_resolver(f, "aggregator.test.:1", &default_options);
    run_until(f, &f->count, 1);
    assert_int_equal(f->answers[0].count, 3); /* 127.0.0.2 and 127.0.0.3 by A records, 127.0.0.9 */
    for (size_t i = 0; i < f->answers[0].count; i++)
        assert_int_equal(f->answers[0].addresses[i].address.storage.ss_family, AF_INET);
    assert_true(has_address(&f->answers[0], "127.0.0.9:1"));
}

static void test_the_smallest_ttl_of_a_service_counts(void **state)
{
    struct fixture *f = *state;
    static const struct srv_record short_host[] = { { 1, 1, 1, "a.test", "127.0.0.1", 3600 },
                                                    { 1, 1, 2, "b.test", "127.0.0.2", 1 },
                                                    { 0 } };
    static const struct srv_record long_hosts[] = { { 1, 1, 1, "a.test", "127.0.0.1", 3600 }, { 0 } };

    f->server.srv = short_host;
    open_resolver(f, "srv+_fluent._tcp.test", &default_options);
    run_until(f, &f->count, 1);
    f->server.ttl = 1;
    f->server.srv = long_hosts;
    run_until(f, &f->count, 3);
    assert_int_equal(f->answers[0].count, 2);
    assert_int_equal(f->answers[1].count, 1);
    assert_in_range(f->answers[1].at_ms - f->answers[0].at_ms, 1000 - SLACK_MS, 10000);
    assert_in_range(f->answers[2].at_ms - f->answers[1].at_ms, 1000 - SLACK_MS, 10000);
}

static void test_hosts_that_do_not_resolve_are_left_out_and_retried_soon(void **state)
{
    struct fixture *f = *state;
    static const struct srv_record half[] = { { 1, 1, 1, "a.test", NULL, 3600 },
                                              { 1, 1, 2, "b.test", "127.0.0.2", 3600 },
                                              { 1, 1, 3, "unix:/x", "127.0.0.3", 3600 }, /* not a host name */
                                              { 1, 1, 4, "10.0.0.1", "127.0.0.4", 3600 },
                                              { 0 } };
    static const struct srv_record none[] = { { 1, 1, 1, "a.test", NULL, 3600 }, { 0 } };
    static const struct srv_record bad[] = { { 1, 1, 3, "*", "127.0.0.3", 3600 }, { 0 } };

    f->server.srv = half;
    open_resolver(f, "srv+_fluent._tcp.test", &default_options);
    run_until(f, &f->count, 2);
    assert_int_equal(f->answers[1].count, 1);
    expect_service(f, 0, "127.0.0.2:2", "b.test", 1);
    assert_true(f->answers[1].at_ms - f->answers[0].at_ms < 3000); /* and not after an hour */
    f->server.srv = none;
    run_until(f, &f->count, 3);
    assert_string_equal(f->answers[2].why, "Domain name not found");
    f->server.srv = bad;
    run_until(f, &f->count, 4);
    assert_string_equal(f->answers[3].why, "no SRV record has a usable target");
}

static void test_a_service_that_is_not_offered_has_its_own_failure(void **state)
{
    struct fixture *f = *state;
    static const struct srv_record none[] = { { 0, 0, 1, NULL, NULL, 0 }, { 0 } };

    f->server.srv = none;
    open_resolver(f, "srv+_fluent._tcp.test", &default_options);
    run_until(f, &f->count, 1);
    assert_int_equal(f->answers[0].count, 0);
    assert_string_equal(f->answers[0].why, "the service is not offered (SRV target \".\")");
    f->server.srv = NULL;
    f->server.rcode = RCODE_NXDOMAIN;
    run_until(f, &f->count, 2);
    assert_string_equal(f->answers[1].why, "Domain name not found");
    f->server.rcode = RCODE_SERVFAIL;
    run_until(f, &f->count, 3);
    assert_int_equal(f->answers[2].count, 0);
}

static void test_service_look_ups_can_be_closed_at_any_time(void **state)
{
    struct fixture *f = *state;
    static const struct srv_record srv[] = { { 1, 1, 1, "a.test", "127.0.0.1", 1 },
                                             { 1, 1, 2, "b.test", "127.0.0.2", 1 },
                                             { 0 } };

    f->server.srv = srv;
    open_resolver(f, "srv+_fluent._tcp.test", &default_options);
    for (unsigned steps = 1; f->count == 0; steps++) {
        for (unsigned i = 0; i < steps && f->count == 0; i++)
            ev_run(f->loop, EVRUN_ONCE);
        resolver_close(f->resolver);
        f->resolver = NULL;
        if (f->count == 0)
            open_resolver(f, "srv+_fluent._tcp.test", &default_options);
    }
}

static void test_bad_name_servers_are_a_fault(void **state)
{
    struct fixture *f = *state;
    struct resolver_options options = default_options;
    struct address address;
    struct fault fault = { .text = "" };

    options.servers = "not an address";
    assert_true(address_parse(&address, "aggregator.test.:1", &fault));
    const struct resolver_request request = {
        .address = &address, .options = &options, .on_answer = on_answer, .owner = f
    };
    assert_null(resolver_open(f->loop, &request, &fault));
    assert_non_null(strstr(fault.text, "bad name servers \"not an address\": "));
    resolver_close(NULL);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_both_families_are_delivered),
        CASE(test_one_family_is_enough),
        CASE(test_aliases_are_followed),
        CASE(test_repeated_addresses_are_merged_and_capped),
        CASE(test_large_answers_use_tcp),
        CASE(test_ttl_has_a_lower_limit),
        CASE(test_ttl_has_an_upper_limit),
        CASE(test_names_are_resolved_again_after_the_ttl),
        CASE(test_failures_back_off_and_recover),
        CASE(test_back_off_is_reset_by_success),
        CASE(test_server_failure_and_empty_answer_are_failures),
        CASE(test_starts_without_a_name_server),
        CASE(test_lost_queries_are_sent_again),
        CASE(test_short_names_are_searched),
        CASE(test_ip_addresses_are_answered_once_without_dns),
        CASE(test_refresh_is_rate_limited),
        CASE(test_refresh_respects_the_back_off),
        CASE(test_close_at_any_time),
        CASE(test_services_resolve_to_their_hosts_by_priority),
        CASE(test_hosts_at_one_address_are_kept_apart),
        CASE(test_without_hosts_only_addresses_are_told_apart),
        CASE(test_a_v4_mapped_answer_is_the_ipv4_address),
        CASE(test_the_smallest_ttl_of_a_service_counts),
        CASE(test_hosts_that_do_not_resolve_are_left_out_and_retried_soon),
        CASE(test_a_service_that_is_not_offered_has_its_own_failure),
        CASE(test_service_look_ups_can_be_closed_at_any_time),
        CASE(test_bad_name_servers_are_a_fault),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
