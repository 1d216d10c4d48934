/* proxy/admin/metrics_text.c and process_text.c: a strict parser accepts the text, and the values are the
 * counted ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "admin/metrics_text.h"
#include "admin/process_text.h"

#include <ctype.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* ---- a strict reader of the exposition format ---- */

enum { SERIES_MAX = 1024, TEXT_MAX = 256 };

struct series {
    char name_and_labels[TEXT_MAX];
    double value;
};

struct exposition {
    char family[TEXT_MAX];
    char type[16];
    size_t family_count;
    char families[64][TEXT_MAX];
    size_t count;
    struct series series[SERIES_MAX];
};

static const char *skip_name(const char *at)
{
    if (!isalpha((unsigned char)*at) && *at != '_')
        fail_msg("no name at: %.60s", at);
    while (isalnum((unsigned char)*at) || *at == '_')
        at++;
    return at;
}

static const char *skip_labels(const char *at)
{
    do {
        at = skip_name(at + 1);
        if (strncmp(at, "=\"", 2) != 0)
            fail_msg("no =\" at: %.60s", at);
        for (at += 2; *at != '"'; at++) {
            if (*at == '\n' || *at == '\0')
                fail_msg("label value is not closed");
            if (*at == '\\' && !strchr("\\\"n", *++at))
                fail_msg("bad escape at: %.60s", at);
        }
        at++;
    } while (*at == ',');
    if (*at != '}')
        fail_msg("no } at: %.60s", at);
    return at + 1;
}

static void read_header(struct exposition *all, const char *line, size_t length)
{
    char name[TEXT_MAX], rest[TEXT_MAX];

    assert_true(length < TEXT_MAX);
    if (sscanf(line, "# HELP %255s %255[^\n]", name, rest) == 2) {
        for (size_t i = 0; i < all->family_count; i++)
            assert_string_not_equal(all->families[i], name);
        assert_true(all->family_count < 64);
        strcpy(all->families[all->family_count++], name);
        strcpy(all->family, name);
        all->type[0] = '\0';
        return;
    }
    assert_int_equal(sscanf(line, "# TYPE %255s %15[a-z]", name, all->type), 2);
    assert_string_equal(name, all->family);
    assert_true(!strcmp(all->type, "counter") || !strcmp(all->type, "gauge") ||
                !strcmp(all->type, "histogram"));
    if (!strcmp(all->type, "counter"))
        assert_string_equal(name + strlen(name) - strlen("_total"), "_total");
}

static void read_sample(struct exposition *all, const char *line, size_t length)
{
    const char *name_end = skip_name(line);
    size_t family_length = strlen(all->family);
    struct series *series = &all->series[all->count++];

    assert_true(all->count <= SERIES_MAX);
    assert_true(all->type[0] != '\0');
    assert_memory_equal(line, all->family, family_length);
    if (strcmp(all->type, "histogram") == 0)
        assert_true(!strncmp(line + family_length, "_bucket{", 8) ||
                    !strncmp(line + family_length, "_sum{", 5) ||
                    !strncmp(line + family_length, "_count{", 7));
    else
        assert_int_equal((size_t)(name_end - line), family_length);

    const char *at = *name_end == '{' ? skip_labels(name_end) : name_end;
    assert_true((size_t)(at - line) < TEXT_MAX);
    memcpy(series->name_and_labels, line, (size_t)(at - line));
    series->name_and_labels[at - line] = '\0';
    assert_int_equal(*at++, ' ');
    assert_true(isdigit((unsigned char)*at));
    char *end;
    series->value = strtod(at, &end);
    assert_ptr_equal(end, line + length);
    for (size_t i = 0; i + 1 < all->count; i++)
        assert_string_not_equal(all->series[i].name_and_labels, series->name_and_labels);
}

static void read_exposition(struct exposition *all, const char *text)
{
    memset(all, 0, sizeof *all);
    while (*text) {
        const char *end = strchr(text, '\n');

        assert_non_null(end);
        if (*text == '#')
            read_header(all, text, (size_t)(end - text));
        else
            read_sample(all, text, (size_t)(end - text));
        text = end + 1;
    }
}

static const struct series *find(const struct exposition *all, const char *name_and_labels)
{
    for (size_t i = 0; i < all->count; i++)
        if (strcmp(all->series[i].name_and_labels, name_and_labels) == 0)
            return &all->series[i];
    return NULL;
}

static double value_of(const struct exposition *all, const char *name_and_labels)
{
    const struct series *series = find(all, name_and_labels);

    if (!series)
        fail_msg("no series %s", name_and_labels);
    return series->value;
}

/* ---- tests ---- */

struct fixture {
    struct metrics workers[2];
    const struct metrics *references[2];
    struct metrics_route route;
    struct metrics_snapshot snapshot;
    struct exposition all;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    f->references[0] = &f->workers[0];
    f->references[1] = &f->workers[1];
    f->route = (struct metrics_route) { .name = "forward", .workers = f->references, .worker_count = 2 };
    f->snapshot = (struct metrics_snapshot) {
        .routes = &f->route,
        .version = "0.1.0",
        .tls_library = "BoringSSL API 17",
    };
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    free(*state);
    return 0;
}

static void render(struct fixture *f)
{
    char *text = metrics_text_render(&f->snapshot);
    const char *dump = getenv("METRICS_TEXT_DUMP"); /* e.g. for promtool check metrics */

    assert_non_null(text);
    if (dump) {
        FILE *out = fopen(dump, "w");
        fputs(text, out);
        fclose(out);
    }
    read_exposition(&f->all, text);
    free(text);
}

static void test_zero_series_are_written(void **state)
{
    struct fixture *f = *state;

    render(f);
    assert_int_equal(value_of(&f->all, "husk_build_info{version=\"0.1.0\",tls_library=\"BoringSSL API 17\"}"),
                     1);
    for (int reason = END_NONE + 1; reason < END_REASON_COUNT; reason++) {
        char series[TEXT_MAX];

        snprintf(series, sizeof series,
                 "husk_connections_ended_total{route=\"forward\",side=\"upstream\",reason=\"%s\"}",
                 end_reason_name((enum end_reason)reason));
        assert_int_equal(value_of(&f->all, series), 0);
    }
    assert_null(
        find(&f->all, "husk_connections_ended_total{route=\"forward\",side=\"upstream\",reason=\"none\"}"));
    assert_int_equal(value_of(&f->all, "husk_connections_active{route=\"forward\",side=\"downstream\"}"), 0);
    assert_int_equal(value_of(&f->all, "husk_draining"), 0);
    assert_int_equal(value_of(&f->all, "husk_upstream_healthy{route=\"forward\"}"), 0);
    assert_int_equal(value_of(&f->all, "husk_tls_insecure{route=\"forward\"}"), 0);
    assert_int_equal(value_of(&f->all, "husk_udp_heartbeats_answered_total{route=\"forward\"}"), 0);
    assert_int_equal(value_of(&f->all, "husk_udp_heartbeats_limited_total{route=\"forward\"}"), 0);
    assert_int_equal(value_of(&f->all, "husk_reloads_total{result=\"success\"}"), 0);
    assert_int_equal(value_of(&f->all, "husk_accept_errors_total{route=\"forward\"}"), 0);
    assert_null(find(&f->all, "husk_certificate_not_after_seconds{route=\"forward\",side=\"upstream\"}"));
}

static void test_workers_are_summed(void **state)
{
    struct fixture *f = *state;
    struct side_metrics *up0 = &f->workers[0].side[SIDE_UPSTREAM];
    struct side_metrics *up1 = &f->workers[1].side[SIDE_UPSTREAM];

    metrics_add(&up0->opened, 5);
    metrics_add(&up1->opened, 7);
    metrics_add(&up0->ended[END_CLOSED], 2);
    metrics_add(&up1->ended[END_RESET], 3);
    metrics_add(&up0->bytes[METRICS_RECEIVED], UINT64_C(1) << 53);
    metrics_add(&up1->bytes[METRICS_SENT], 11);
    metrics_add(&up0->handshakes_full, 1);
    metrics_add(&up1->handshakes_resumed, 4);
    metrics_add(&up0->tls_versions[METRICS_TLS_1_3], 5);
    metrics_add(&up0->ciphers[METRICS_CHACHA20_POLY1305], 6);
    metrics_add(&up0->groups[METRICS_X25519_MLKEM768], 2);
    metrics_add(&up1->groups[METRICS_P_256], 3);
    metrics_add(&f->workers[0].accept_errors, 1);
    metrics_add(&f->workers[1].accept_errors, 1);
    metrics_add(&f->workers[1].accept_limited, 3);
    metrics_add(&f->workers[1].unconfirmed, 4);
    metrics_add(&f->workers[0].messages.rate_limited, 5);
    metrics_add(&f->workers[0].messages.acks_given_up, 6);
    metrics_add(&f->workers[0].bodies.rewritten[METRICS_BODY_COMPRESSED], 6);
    metrics_add(&f->workers[1].bodies.rewritten[METRICS_BODY_STRIPPED], 7);
    metrics_add(&f->workers[1].bodies.unreadable, 8);
    metrics_add(&f->workers[0].bodies.saved_bytes, 9);
    metrics_add(&f->workers[0].bodies.invalid_events[EVENT_FAULT_RECORD], 10);
    metrics_add(&f->workers[1].bodies.invalid_events[EVENT_FAULT_VALUE], 11);
    render(f);

#define UP(name, rest) value_of(&f->all, "husk_" name "{route=\"forward\",side=\"upstream\"" rest "}")
    assert_int_equal(UP("connections_opened_total", ""), 12);
    assert_int_equal(UP("connections_active", ""), 7);
    assert_int_equal(UP("connections_ended_total", ",reason=\"closed\""), 2);
    assert_int_equal(UP("connections_ended_total", ",reason=\"reset\""), 3);
    assert_true(UP("bytes_total", ",direction=\"received\"") == 9007199254740992.0);
    assert_int_equal(UP("bytes_total", ",direction=\"sent\""), 11);
    assert_int_equal(UP("handshakes_total", ",result=\"full\""), 1);
    assert_int_equal(UP("handshakes_total", ",result=\"resumed\""), 4);
    assert_int_equal(UP("tls_connections_total", ",version=\"TLSv1.3\""), 5);
    assert_int_equal(UP("tls_ciphers_total", ",cipher=\"CHACHA20_POLY1305\""), 6);
    assert_int_equal(UP("tls_groups_total", ",group=\"X25519MLKEM768\""), 2);
    assert_int_equal(UP("tls_groups_total", ",group=\"P-256\""), 3);
    assert_int_equal(
        value_of(&f->all, "husk_connections_opened_total{route=\"forward\",side=\"downstream\"}"), 0);
    assert_int_equal(value_of(&f->all, "husk_accept_errors_total{route=\"forward\"}"), 2);
    assert_int_equal(value_of(&f->all, "husk_accept_limited_total{route=\"forward\"}"), 3);
    assert_int_equal(value_of(&f->all, "husk_upstream_unconfirmed_total{route=\"forward\"}"), 4);
    assert_int_equal(value_of(&f->all, "husk_rate_limited_total{route=\"forward\"}"), 5);
    assert_int_equal(value_of(&f->all, "husk_acks_given_up_total{route=\"forward\"}"), 6);
    assert_int_equal(value_of(&f->all, "husk_bodies_rewritten_total{route=\"forward\",how=\"compressed\"}"),
                     6);
    assert_int_equal(value_of(&f->all, "husk_bodies_rewritten_total{route=\"forward\",how=\"stripped\"}"), 7);
    assert_int_equal(value_of(&f->all, "husk_bodies_unreadable_total{route=\"forward\"}"), 8);
    assert_int_equal(value_of(&f->all, "husk_bodies_saved_bytes_total{route=\"forward\"}"), 9);
    assert_int_equal(value_of(&f->all, "husk_invalid_events_total{route=\"forward\",reason=\"record\"}"), 10);
    assert_int_equal(value_of(&f->all, "husk_invalid_events_total{route=\"forward\",reason=\"time\"}"), 0);
    assert_int_equal(value_of(&f->all, "husk_invalid_events_total{route=\"forward\",reason=\"entry\"}"), 0);
    assert_int_equal(value_of(&f->all, "husk_invalid_events_total{route=\"forward\",reason=\"message\"}"), 0);
    assert_int_equal(value_of(&f->all, "husk_invalid_events_total{route=\"forward\",reason=\"value\"}"), 11);
}

static void test_each_route_has_series_of_its_own(void **state)
{
    struct fixture *f = *state;
    struct metrics other = { 0 };
    const struct metrics *const reference = &other;
    const struct metrics_route second = { .name = "second", .workers = &reference, .worker_count = 1 };

    f->route.next = &second;
    metrics_add(&f->workers[0].messages.received, 3);
    metrics_add(&other.messages.received, 5);
    metrics_add(&other.side[SIDE_UPSTREAM].opened, 2);
    render(f); /* the reader refuses a family that is written twice */
    assert_float_equal(value_of(&f->all, "husk_messages_received_total{route=\"forward\"}"), 3, 0);
    assert_float_equal(value_of(&f->all, "husk_messages_received_total{route=\"second\"}"), 5, 0);
    assert_float_equal(
        value_of(&f->all, "husk_connections_opened_total{route=\"forward\",side=\"upstream\"}"), 0, 0);
    assert_float_equal(value_of(&f->all, "husk_connections_opened_total{route=\"second\",side=\"upstream\"}"),
                       2, 0);
    assert_float_equal(value_of(&f->all, "husk_draining"), 0, 0);
}

static void test_active_never_wraps(void **state)
{
    struct fixture *f = *state;

    metrics_add(&f->workers[0].side[SIDE_UPSTREAM].ended[END_CLOSED], 1);
    render(f);
    assert_int_equal(UP("connections_active", ""), 0);
}

static void test_handshake_failures_omit_other_reasons_while_zero(void **state)
{
    struct fixture *f = *state;

    metrics_add(&f->workers[0].side[SIDE_UPSTREAM].handshakes_failed[END_RESET], 2);
    render(f);
    assert_int_equal(UP("handshake_failures_total", ",reason=\"reset\""), 2);
    assert_int_equal(UP("handshake_failures_total", ",reason=\"handshake_timeout\""), 0);
    assert_int_equal(UP("handshake_failures_total", ",reason=\"certificate_expired\""), 0);
    assert_int_equal(UP("handshake_failures_total", ",reason=\"not_allowed\""), 0);
    assert_null(
        find(&f->all, "husk_handshake_failures_total{route=\"forward\",side=\"upstream\",reason=\"idle\"}"));
}

static void observe_handshake(struct metrics *worker, uint64_t duration_us)
{
    metrics_observe(&worker->side[SIDE_DOWNSTREAM].handshake_duration, &metrics_handshake_bounds,
                    duration_us);
}

static void test_histogram_is_cumulative(void **state)
{
    struct fixture *f = *state;
    static const char *const bounds[] = { "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05",
                                          "0.1",    "0.25",  "0.5",    "1",     "5",    "+Inf" };
    static const unsigned expected[] = { 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 5 };

    observe_handshake(&f->workers[0], 500);
    observe_handshake(&f->workers[1], 501);
    observe_handshake(&f->workers[0], 20000);
    observe_handshake(&f->workers[1], 5000001);
    observe_handshake(&f->workers[1], 60000000);
    render(f);
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        char series[TEXT_MAX];

        snprintf(series, sizeof series,
                 "husk_handshake_duration_seconds_bucket{route=\"forward\",side=\"downstream\",le=\"%s\"}",
                 bounds[i]);
        assert_int_equal(value_of(&f->all, series), expected[i]);
    }
#define DOWN(name) value_of(&f->all, "husk_" name "{route=\"forward\",side=\"downstream\"}")
    assert_int_equal(DOWN("handshake_duration_seconds_count"), 5);
    assert_true(DOWN("handshake_duration_seconds_sum") == 65.021002);
}

static void test_ack_latency_has_its_own_bounds(void **state)
{
    struct fixture *f = *state;
    static const char *const bounds[] = { "0.001", "0.002", "0.005", "0.01", "0.02", "0.05", "0.1", "0.2",
                                          "0.5",   "1",     "2",     "5",    "10",   "20",   "60",  "+Inf" };
    static const unsigned expected[] = { 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 4, 5 };
    static const uint64_t durations_us[] = { 1000, 1001, 2000000, 60000000, 60000001 };

    for (size_t i = 0; i < sizeof durations_us / sizeof *durations_us; i++)
        metrics_observe(&f->workers[i % 2].messages.ack_latency, &metrics_ack_bounds, durations_us[i]);
    render(f);
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        char series[TEXT_MAX];

        snprintf(series, sizeof series, "husk_ack_latency_seconds_bucket{route=\"forward\",le=\"%s\"}",
                 bounds[i]);
        assert_int_equal(value_of(&f->all, series), expected[i]);
    }
    assert_int_equal(value_of(&f->all, "husk_ack_latency_seconds_count{route=\"forward\"}"), 5);
    assert_true(value_of(&f->all, "husk_ack_latency_seconds_sum{route=\"forward\"}") == 122.002002);
}

static void test_message_metrics_are_written(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 2; i++) {
        struct message_metrics *messages = &f->workers[i].messages;
        metrics_add(&messages->events_received, 10);
        metrics_add(&messages->events_settled, 20);
        metrics_add(&messages->unacked, 35);
        metrics_take(&messages->unacked, 5);
        metrics_add(&messages->waiting, 40);
        metrics_add(&messages->cut_through_waiting, 50);
    }
    render(f);
    assert_int_equal(value_of(&f->all, "husk_events_received_total{route=\"forward\"}"), 20);
    assert_int_equal(value_of(&f->all, "husk_events_settled_total{route=\"forward\"}"), 40);
    assert_int_equal(value_of(&f->all, "husk_messages_unacked{route=\"forward\"}"), 60);
    assert_int_equal(value_of(&f->all, "husk_messages_waiting{route=\"forward\"}"), 80);
    assert_int_equal(value_of(&f->all, "husk_cut_through_waiting{route=\"forward\"}"), 100);
}

#define CONNECTIONS(endpoint, state)                                                                         \
    "husk_upstream_connections{route=\"forward\",endpoint=\"" endpoint "\",state=\"" state "\"}"
#define WITHOUT_ACKS(endpoint) "husk_endpoint_without_acks{route=\"forward\",endpoint=\"" endpoint "\"}"
#define EJECTED(endpoint)      "husk_endpoint_ejected{route=\"forward\",endpoint=\"" endpoint "\"}"

static void test_endpoints_are_written_while_they_are_listed_or_used(void **state)
{
    struct fixture *f = *state;
    struct endpoint_metrics gone = { .address = "10.0.0.3:1" };
    struct endpoint_metrics left = { .next = &gone, .address = "10.0.0.2:1", .ejected_until_ms = 2000 };
    struct endpoint_metrics listed = { .next = &left, .address = "unix:/a\"b", .is_listed = true };

    f->route.endpoints = &listed;
    f->route.now_ms = 1000;
    left.connections[METRICS_READY] = 2;
    listed.connections[METRICS_CONFIRMING] = 3;
    listed.ejected_until_ms = 1001;
    render(f);
    assert_int_equal(value_of(&f->all, CONNECTIONS("unix:/a\\\"b", "connecting")), 0);
    assert_int_equal(value_of(&f->all, CONNECTIONS("unix:/a\\\"b", "securing")), 0);
    assert_int_equal(value_of(&f->all, CONNECTIONS("unix:/a\\\"b", "confirming")), 3);
    assert_int_equal(value_of(&f->all, CONNECTIONS("unix:/a\\\"b", "ready")), 0);
    assert_int_equal(value_of(&f->all, EJECTED("unix:/a\\\"b")), 1);
    assert_int_equal(value_of(&f->all, WITHOUT_ACKS("unix:/a\\\"b")), 0);
    assert_int_equal(value_of(&f->all, CONNECTIONS("10.0.0.2:1", "ready")), 2);
    assert_null(find(&f->all, EJECTED("10.0.0.2:1"))); /* not listed: not dialled */
    assert_null(find(&f->all, CONNECTIONS("10.0.0.3:1", "ready")));

    f->route.now_ms = 1001;
    listed.acks = METRICS_ACKS_NEVER;
    render(f);
    assert_int_equal(value_of(&f->all, WITHOUT_ACKS("unix:/a\\\"b")), 1);
    assert_int_equal(value_of(&f->all, EJECTED("unix:/a\\\"b")), 0);
}

static void test_names_at_one_address_are_series_of_their_own(void **state)
{
    struct fixture *f = *state;
    struct endpoint_metrics none = { .address = "10.0.0.1:1", .is_listed = true };
    struct endpoint_metrics second = {
        .next = &none, .address = "10.0.0.1:1", .server_name = "b.test", .is_listed = true
    };
    struct endpoint_metrics first = {
        .next = &second, .address = "10.0.0.1:1", .server_name = "a\"b", .is_listed = true
    };

    f->route.endpoints = &first;
    f->route.now_ms = 1000;
    first.ejected_until_ms = 1001;
    second.connections[METRICS_READY] = 2;
    none.acks = METRICS_ACKS_NEVER;
    render(f);
    assert_int_equal(value_of(&f->all, EJECTED("10.0.0.1:1\",server_name=\"a\\\"b")), 1);
    assert_int_equal(value_of(&f->all, EJECTED("10.0.0.1:1\",server_name=\"b.test")), 0);
    assert_int_equal(value_of(&f->all, CONNECTIONS("10.0.0.1:1\",server_name=\"b.test", "ready")), 2);
    assert_int_equal(value_of(&f->all, CONNECTIONS("10.0.0.1:1", "ready")), 0);
    assert_int_equal(value_of(&f->all, WITHOUT_ACKS("10.0.0.1:1")), 1);
}

static void test_values_that_are_not_counters(void **state)
{
    static const struct metrics_certificate certificates[] = { { 4102444700, 4102444800 },
                                                               { 4102444701, 4102444799 } };
    struct fixture *f = *state;

    f->route.certificates[SIDE_DOWNSTREAM] = certificates;
    f->route.certificate_count[SIDE_DOWNSTREAM] = 1;
    f->route.intermediate_not_after[SIDE_DOWNSTREAM] = 4102444801;
    f->route.ca_not_after[SIDE_DOWNSTREAM] = 4102444802;
    f->route.crls[SIDE_DOWNSTREAM] = &(struct metrics_crl) { "CN=\"a\"", 4102444803 };
    f->route.crl_count[SIDE_DOWNSTREAM] = 1;
    f->snapshot.reloads_succeeded = 3;
    f->snapshot.reloads_failed = 1;
    f->snapshot.reload_pending = true;
    f->snapshot.config_reload_pending = true;
    f->snapshot.workload_apis = &(struct metrics_workload_api) {
        .address = "unix:/agent.sock", .answers = 5, .failures = 2, .is_connected = true
    };
    f->snapshot.removed_undelivered = 7;
    f->snapshot.draining = true;
    f->route.upstream_healthy = f->route.is_insecure = true;
    f->route.heartbeats_answered = 7;
    f->route.heartbeats_limited = 3;
    render(f);
    assert_true(DOWN("certificate_not_after_seconds") == 4102444800.0);
    assert_true(DOWN("certificate_not_before_seconds") == 4102444700.0);
    assert_true(DOWN("certificate_intermediate_not_after_seconds") == 4102444801.0);
    assert_true(DOWN("certificate_ca_not_after_seconds") == 4102444802.0);
    assert_true(value_of(&f->all,
                         "husk_crl_next_update_seconds{route=\"forward\",side=\"downstream\",issuer=\"CN="
                         "\\\"a\\\"\"}") == 4102444803.0);
    assert_null(find(&f->all, "husk_certificate_not_after_seconds{route=\"forward\",side=\"upstream\"}"));
    assert_int_equal(value_of(&f->all, "husk_reloads_total{result=\"success\"}"), 3);
    assert_int_equal(value_of(&f->all, "husk_reloads_total{result=\"failure\"}"), 1);
    assert_int_equal(value_of(&f->all, "husk_reload_pending"), 1);
    assert_int_equal(value_of(&f->all, "husk_config_reload_pending"), 1);
    assert_int_equal(value_of(&f->all, "husk_spiffe_answers_total{address=\"unix:/agent.sock\"}"), 5);
    assert_int_equal(value_of(&f->all, "husk_spiffe_failures_total{address=\"unix:/agent.sock\"}"), 2);
    assert_int_equal(value_of(&f->all, "husk_spiffe_connected{address=\"unix:/agent.sock\"}"), 1);
    assert_int_equal(value_of(&f->all, "husk_removed_routes_undelivered_total"), 7);
    assert_int_equal(value_of(&f->all, "husk_draining"), 1);
    assert_int_equal(value_of(&f->all, "husk_upstream_healthy{route=\"forward\"}"), 1);
    assert_int_equal(value_of(&f->all, "husk_tls_insecure{route=\"forward\"}"), 1);
    assert_int_equal(value_of(&f->all, "husk_udp_heartbeats_answered_total{route=\"forward\"}"), 7);
    assert_int_equal(value_of(&f->all, "husk_udp_heartbeats_limited_total{route=\"forward\"}"), 3);
}

static void test_several_certificates_have_numbers(void **state)
{
    static const struct metrics_certificate certificates[] = { { 4102444700, 4102444800 },
                                                               { 4102444701, 4102444799 } };
    struct fixture *f = *state;

    f->route.certificates[SIDE_UPSTREAM] = certificates;
    f->route.certificate_count[SIDE_UPSTREAM] = 2;
    render(f);
#define NUMBERED(time, number)                                                                               \
    "husk_certificate_" time "_seconds{route=\"forward\",side=\"upstream\",certificate=\"" number "\"}"
    assert_true(value_of(&f->all, NUMBERED("not_after", "1")) == 4102444800.0);
    assert_true(value_of(&f->all, NUMBERED("not_after", "2")) == 4102444799.0);
    assert_true(value_of(&f->all, NUMBERED("not_before", "1")) == 4102444700.0);
    assert_true(value_of(&f->all, NUMBERED("not_before", "2")) == 4102444701.0);
    assert_null(find(&f->all, "husk_certificate_not_after_seconds{route=\"forward\",side=\"upstream\"}"));
}

static void test_label_values_are_escaped(void **state)
{
    struct fixture *f = *state;

    f->route.name = "a\"b\\c\nd";
    render(f);
    assert_int_equal(
        value_of(&f->all, "husk_connections_active{route=\"a\\\"b\\\\c\\nd\",side=\"upstream\"}"), 0);
}

static void test_label_values_that_are_not_utf8_do_not_look_like_others(void **state)
{
    struct fixture *f = *state;

    f->route.name = "a\xff";
    render(f);
    assert_int_equal(value_of(&f->all, "husk_connections_active{route=\"a\\\\xff\",side=\"upstream\"}"), 0);
    f->route.name = "a\\xff";
    render(f);
    assert_int_equal(value_of(&f->all, "husk_connections_active{route=\"a\\\\x5cxff\",side=\"upstream\"}"),
                     0);
}

static void test_process_metrics(void **state)
{
    struct fixture *f = *state;
    char text[PROCESS_TEXT_BYTES];
    int pipe_fds[2];

    size_t length = process_text_render(text, sizeof text);
    assert_int_equal(length, strlen(text));
    read_exposition(&f->all, text);
    double open_before = value_of(&f->all, "process_open_fds");
    double started = value_of(&f->all, "process_start_time_seconds");
    assert_true(value_of(&f->all, "process_resident_memory_bytes") > 100000);
    assert_true(value_of(&f->all, "process_max_fds") > open_before);
    assert_true(started > 1.5e9);
    assert_true(started <= (double)time(NULL) + 2);
    assert_true(started > (double)time(NULL) - 3600);

    assert_int_equal(pipe(pipe_fds), 0);
    process_text_render(text, sizeof text);
    read_exposition(&f->all, text);
    assert_int_equal(value_of(&f->all, "process_open_fds"), open_before + 2);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

static void test_process_metrics_are_cut_between_families(void **state)
{
    struct fixture *f = *state;
    char whole[PROCESS_TEXT_BYTES], text[PROCESS_TEXT_BYTES];
    size_t length = process_text_render(whole, sizeof whole);

    for (size_t size = 1; size <= length; size++) {
        size_t used = process_text_render(text, size);

        assert_true(used < size);
        assert_int_equal(strlen(text), used);
        read_exposition(&f->all, text);
    }
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_zero_series_are_written),
        CASE(test_workers_are_summed),
        CASE(test_each_route_has_series_of_its_own),
        CASE(test_active_never_wraps),
        CASE(test_handshake_failures_omit_other_reasons_while_zero),
        CASE(test_histogram_is_cumulative),
        CASE(test_ack_latency_has_its_own_bounds),
        CASE(test_message_metrics_are_written),
        CASE(test_endpoints_are_written_while_they_are_listed_or_used),
        CASE(test_names_at_one_address_are_series_of_their_own),
        CASE(test_values_that_are_not_counters),
        CASE(test_several_certificates_have_numbers),
        CASE(test_label_values_are_escaped),
        CASE(test_label_values_that_are_not_utf8_do_not_look_like_others),
        CASE(test_process_metrics),
        CASE(test_process_metrics_are_cut_between_families),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
