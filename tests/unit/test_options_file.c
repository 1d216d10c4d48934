/* config/config_check.c, proxy/options*.c: the settings of a file become options, or mistakes with their
 * places.
 */
#include "options.h"

#include "config/config_file.h"
#include "config/config_print.h"
#include "support/mistakes_text.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

/* A route of four lines. */
#define ROUTE "routes:\n- name: a\n  listen: 127.0.0.1:1\n  upstreams: b:2\n"
/* A line that goes on with it. */
#define TLS "  tls: {downstream: {cert: c, key: k, ca: a}}\n"

enum { ROUTES_MAX = 4 };

struct interpreted {
    struct config_file file;
    struct mistakes mistakes;
    struct process_options process;
    struct options routes[ROUTES_MAX]; /* do not move: their parts point to each other */
    bool is_good;
};

static const char *look_up(const char *name)
{
    static const char *const variables[][2] = { { "SECRET", "s3cret" },
                                                { "ANY", "0.0.0.0" },
                                                { "TWO", "2" } };

    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        if (strcmp(variables[i][0], name) == 0)
            return variables[i][1];
    }
    return NULL;
}

/* The options are set also if the file has mistakes. */
static void interpret(struct interpreted *result, const char *text)
{
    mistakes_init(&result->mistakes, "f");
    result->is_good = config_file_read_text(&result->file, text, strlen(text), look_up, &result->mistakes);
    assert_in_range(result->file.count, 1, ROUTES_MAX);
    result->is_good =
        process_options_from_config(&result->process, &result->file.routes[0], &result->mistakes) &&
        result->is_good;
    for (size_t i = 0; i < result->file.count; i++)
        result->is_good = options_from_config(&result->routes[i], &result->file.routes[i],
                                              result->process.workers, &result->mistakes) &&
                          result->is_good;
    assert_int_equal(result->is_good, result->mistakes.count == 0);
}

static void release(struct interpreted *result)
{
    for (size_t i = 0; i < result->file.count; i++)
        options_deinit(&result->routes[i]);
    config_file_free(&result->file);
    mistakes_deinit(&result->mistakes);
}

static void each_contradiction_has_its_place(void **state)
{
    static const struct {
        const char *text, *mistakes;
    } rows[] = {
#include "options_mistakes.inc"
    };

    unsigned wrong = 0;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct interpreted result;
        interpret(&result, rows[i].text);
        char *found = mistakes_text(&result.mistakes);
        if (strcmp(found, rows[i].mistakes) != 0) {
            print_error("%s\nfound:\n%sexpected:\n%s", rows[i].text, found, rows[i].mistakes);
            wrong++;
        }
        free(found);
        release(&result);
    }
    assert_int_equal(wrong, 0);
}

static void interpret_good(struct interpreted *result, const char *text)
{
    interpret(result, text);
    if (!result->is_good)
        fail_msg("%s\n%s", text, mistakes_text(&result->mistakes));
}

static void tls_is_on_both_sides_on_one_or_on_none(void **state)
{
    struct interpreted result;

    (void)state;
    interpret_good(&result,
                   "defaults: {upstreams: 'b:2'}\n"
                   "routes:\n"
                   "- name: both\n"
                   "  listen: 0.0.0.0:1\n"
                   "  allow: {cn: x}\n"
                   "  tls:\n"
                   "    downstream: {cert: dc, key: dk, ca: da}\n"
                   "    upstream: {cert: uc, key: uk, ca: ua}\n"
                   "- {name: none, listen: '127.0.0.1:2'}\n"
                   "- {name: up, listen: '127.0.0.1:3', tls: {upstream: {cert: c, key: k, ca: a}}}\n");
    const struct credentials_options *both = result.routes[0].credentials,
                                     *none = result.routes[1].credentials, *up = result.routes[2].credentials;
    assert_string_equal(both[SIDE_DOWNSTREAM].cert_file, "dc");
    assert_int_equal(both[SIDE_DOWNSTREAM].role, TLS_SERVER);
    assert_ptr_equal(both[SIDE_DOWNSTREAM].policy, &result.routes[0].policy);
    assert_int_equal(result.routes[0].policy.count, 1);
    assert_string_equal(both[SIDE_UPSTREAM].key_file, "uk");
    assert_int_equal(both[SIDE_UPSTREAM].role, TLS_CLIENT);
    assert_null(none[SIDE_DOWNSTREAM].cert_file);
    assert_null(none[SIDE_UPSTREAM].cert_file);
    assert_null(up[SIDE_DOWNSTREAM].cert_file);
    assert_string_equal(up[SIDE_UPSTREAM].ca_file, "a");
    assert_string_equal(result.routes[2].route.name, "up");
    release(&result);
}

/* The map of a side without TLS would ask for TLS. */
static void a_printed_route_without_tls_has_none(void **state)
{
    struct interpreted result, again;
    char *text = NULL;
    size_t length;
    struct fault fault;

    (void)state;
    interpret_good(&result, ROUTE);
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    assert_true(config_print(result.file.routes, result.file.count, out, &fault));
    assert_int_equal(fclose(out), 0);
    interpret_good(&again, text);
    for (enum side side = 0; side < SIDE_COUNT; side++)
        assert_null(again.routes[0].credentials[side].cert_file);
    release(&again);
    release(&result);
    free(text);
}

static void an_upstream_can_have_a_server_name_of_its_own(void **state)
{
    struct interpreted result;

    (void)state;
    interpret_good(&result, "routes:\n"
                            "- name: a\n"
                            "  listen: 127.0.0.1:1\n"
                            "  tls: {upstream: {cert: c, key: k, ca: a, allow_cn_as_name: true}}\n"
                            "  upstreams:\n"
                            "  - {address: unix:/b, server_name: any text}\n"
                            "  - \"[::1]:3,weight=4,server-name=d\"\n"
                            "  - {address: 'e:5', standby: true, weight: 6}\n");
    const struct discovery_options *discovery = &result.routes[0].discovery;
    assert_int_equal(discovery->target_count, 3);
    assert_string_equal(discovery->targets[0].server_name, "any text");
    assert_true(discovery->targets[0].address.is_unix);
    assert_string_equal(discovery->targets[1].server_name, "d");
    assert_int_equal(discovery->targets[1].weight, 4);
    assert_null(discovery->targets[2].server_name);
    assert_int_equal(discovery->targets[2].weight, 6);
    assert_true(discovery->targets[2].is_standby);
    release(&result);
}

static void rules_and_users_come_from_maps(void **state)
{
    struct interpreted result;

    (void)state;
    interpret_good(&result,
                   "workers: 2\n"
                   "admin: {listen: off}\n" ROUTE "  limits: {max_connections: 9}\n"
                   "  rules:\n"
                   "  - {any: true, tags: [\"kube.{a,b}.*\", app.**], tag_prefix: edge., burst: 3s}\n"
                   "  authentication:\n"
                   "    downstream:\n"
                   "      shared_key_env: K\n"
                   "      users: [{name: u, password_env: P}, {name: v, password_env: Q}]\n");
    const struct options *options = &result.routes[0];
    assert_false(result.process.has_admin);
    assert_int_equal(options->route.max_connections, 5);
    assert_int_equal(options->rules.count, 1);
    assert_int_equal(options->rules.rules[0].tag_count, 2);
    assert_string_equal(options->rules.rules[0].prefix, "edge.");
    assert_int_equal(options->rules.rules[0].burst_ms, 3000);
    assert_string_equal(options->keys.side[SIDE_DOWNSTREAM].env, "K");
    assert_int_equal(options->keys.side[SIDE_DOWNSTREAM].user_count, 2);
    assert_string_equal(options->keys.side[SIDE_DOWNSTREAM].users[1].password_env, "Q");
    release(&result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_contradiction_has_its_place),
        cmocka_unit_test(tls_is_on_both_sides_on_one_or_on_none),
        cmocka_unit_test(a_printed_route_without_tls_has_none),
        cmocka_unit_test(an_upstream_can_have_a_server_name_of_its_own),
        cmocka_unit_test(rules_and_users_come_from_maps),
    };

    return cmocka_run_group_tests_name("options_file", tests, NULL, NULL);
}
