/* config/config_file.c, file_section.c, file_keys.c, file_scalar.c, file_texts.c: a file becomes routes, or
 * mistakes. */
#include "config/config_file.h"

#include "config/yaml_text.h"
#include "support/mistakes_text.h"
#include "trust/peer_policy.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A route of four lines. */
#define NAME_SERVER "a name server: expected an address such as 10.0.0.1, 10.0.0.1:53 or [fd00::1]:53"
#define ROUTE       "routes:\n- name: a\n  listen: a:1\n  upstreams: b:2\n"

static const char *look_up(const char *name)
{
    static const char *const variables[][2] = {
        { "PORT", "24224" }, { "SECRET", "s3cret" }, { "EMPTY", "" },
        { "YES", "yes" },    { "TRUE", "true" },     { "HUGE", "999999" },
    };

    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        if (strcmp(variables[i][0], name) == 0)
            return variables[i][1];
    }
    return NULL;
}

/* ---- wrong files ----------------------------------------------------------------------------------------
 */

static void expect_mistakes(const char *text, size_t length, const char *expected)
{
    struct config_file file;
    struct mistakes mistakes;

    mistakes_init(&mistakes, "f");
    bool is_good = config_file_read_text(&file, text, length, look_up, &mistakes);
    char *found = mistakes_text(&mistakes);
    if (is_good || strcmp(found, expected) != 0)
        fail_msg("%.*s\nfound:\n%sexpected:\n%s", (int)(length < 1000 ? length : 1000), text, found,
                 expected);
    free(found);
    config_file_free(&file);
    mistakes_deinit(&mistakes);
}

#define ROUTE_KEYS                                                                                           \
    "name, tls, unsafe_listen, listen, upstreams, protocol, delivery, limits, connections, rules, "          \
    "add_identity, authentication, health, heartbeats, dns, allow, deny"
#define DELIVERY_KEYS                                                                                        \
    "mode, cut_through_bytes, batch_bytes, batch_delay, message_timeout, ack_timeout, unread_acks_timeout, " \
    "delivery_timeout, max_age, upstream_link, max_attempts, max_ack_timeouts, on_no_acks, no_acks_after, "  \
    "on_refused, invalid_events, compress, compress_min, strip_metadata"

static void each_wrong_file_is_explained(void **state)
{
    static const struct {
        const char *text, *mistakes;
    } rows[] = {
#include "config_mistakes.inc"
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        expect_mistakes(rows[i].text, strlen(rows[i].text), rows[i].mistakes);
        assert_null(strstr(rows[i].mistakes, "s3cret"));
        assert_null(strstr(rows[i].mistakes, "hunter2"));
    }
}

static void a_file_that_is_too_large_is_refused(void **state)
{
    static char text[YAML_TEXT_BYTES_MAX + 1];

    (void)state;
    memset(text, '\n', sizeof text);
    memcpy(text, ROUTE, sizeof ROUTE - 1);
    expect_mistakes(text, sizeof text, "f: the file is longer than 1048576 bytes\n");
}

static void a_file_has_a_limited_number_of_routes(void **state)
{
    static const char route[] = "- a\n";
    static char text[sizeof "routes:\n" + (CONFIG_FILE_ROUTES_MAX + 1) * sizeof route] = "routes:\n";
    char *end = text + strlen(text);

    (void)state;
    for (int i = 0; i <= CONFIG_FILE_ROUTES_MAX; i++)
        end = stpcpy(end, route);
    expect_mistakes(text, strlen(text), "f:2:1: routes: more than 1000 routes\n");
}

/* What the settings mean together is told also for a file with wrong values: the fields must be usable. */
static void a_wrong_value_changes_no_field(void **state)
{
    static const char text[] = "workers: 4294967296\n"
                               "admin: {listen: no}\n"
                               "log: {level: loud}\n" ROUTE "  limits: {max_depth: 1000}\n"
                               "  delivery: {ack_timeout: 1ms}\n"
                               "  unsafe_listen: yes\n";
    struct config_file file;
    struct mistakes mistakes;

    (void)state;
    mistakes_init(&mistakes, "f");
    assert_false(config_file_read_text(&file, text, strlen(text), look_up, &mistakes));
    assert_int_equal(mistakes.count, 6);
    assert_int_equal(file.count, 1);
    assert_int_equal(file.routes[0].workers, 1);
    assert_string_equal(file.routes[0].admin, "127.0.0.1:9901");
    assert_int_equal(file.routes[0].log_level, 1);
    assert_int_equal(file.routes[0].max_depth, 64);
    assert_int_equal(file.routes[0].ack_timeout_ms, 60000);
    assert_false(file.routes[0].unsafe_listen);
    config_file_free(&file);
    mistakes_deinit(&mistakes);
}

/* ---- good files -----------------------------------------------------------------------------------------
 */

static struct config_file read_good(const char *text)
{
    struct config_file file;
    struct mistakes mistakes;

    mistakes_init(&mistakes, "f");
    if (!config_file_read_text(&file, text, strlen(text), look_up, &mistakes))
        fail_msg("%s\n%s", text, mistakes_text(&mistakes));
    assert_int_equal(mistakes.count, 0);
    mistakes_deinit(&mistakes);
    return file;
}

static void expect_item(const struct setting_list *list, size_t at, const char *value, unsigned line)
{
    assert_in_range(at, 0, list->count - 1);
    assert_string_equal(list->items[at].value, value);
    assert_int_equal(list->items[at].place.line, line);
}

static void a_short_file_has_a_route_with_defaults(void **state)
{
    struct config_file file = read_good(ROUTE);
    const struct config *route = &file.routes[0];

    (void)state;
    assert_int_equal(file.count, 1);
    assert_int_equal(route->mode, CONFIG_FILE);
    assert_string_equal(route->name, "a");
    assert_int_equal(route->place.line, 2);
    assert_int_equal(route->place.column, 3);
    expect_item(&route->listen, 0, "a:1", 3);
    assert_string_equal(((const struct config_upstream *)route->upstream.items[0].parts)->address, "b:2");
    assert_int_equal(((const struct config_upstream *)route->upstream.items[0].parts)->weight, 1);
    assert_int_equal(route->workers, 1);
    assert_int_equal(route->ack_timeout_ms, 60000);
    assert_null(route->tls[SIDE_UPSTREAM].cert_file);
    config_file_free(&file);
}

static void settings_of_the_process_are_in_each_route(void **state)
{
    struct config_file file = read_good("workers: auto\n"
                                        "log: {level: debug, burst: off}\n"
                                        "admin: {listen: off, hosts: [x, z]}\n" ROUTE
                                        "- {name: b, listen: 'c:1', upstreams: 'd:1'}\n");

    (void)state;
    assert_int_equal(file.count, 2);
    for (unsigned i = 0; i < 2; i++) {
        const struct config *route = &file.routes[i];
        assert_int_equal(route->index, i);
        assert_int_equal(route->workers, 0);
        assert_int_equal(route->log_level, 0);
        assert_int_equal(route->log_burst, 0);
        assert_string_equal(route->admin, "off");
        assert_int_equal(route->admin_hosts.count, 2);
        expect_item(&route->admin_hosts, 1, "z", 3);
    }
    config_file_free(&file);
}

static void a_route_wins_over_defaults(void **state)
{
    struct config_file file = read_good("routes:\n"
                                        "- name: a\n"
                                        "  listen: a:1\n"
                                        "- name: b\n"
                                        "  listen: a:2\n"
                                        "  upstreams: z:1\n"
                                        "  delivery: {ack_timeout: 7s}\n"
                                        "  allow: {cn: web}\n"
                                        "  rules: []\n"
                                        "defaults:\n"
                                        "  upstreams: [x:1, {address: y:1, weight: 3}]\n"
                                        "  delivery: {ack_timeout: 5s, max_attempts: off}\n"
                                        "  allow: {dns: [p, q], any: true}\n"
                                        "  rules: [{any: true, tags: [a.*, b]}]\n");
    const struct config *a = &file.routes[0], *b = &file.routes[1];

    (void)state;
    assert_int_equal(a->upstream.count, 2);
    expect_item(&a->upstream, 0, "x:1", 11);
    expect_item(&a->upstream, 1, "y:1,weight=3", 11);
    assert_int_equal(a->ack_timeout_ms, 5000);
    assert_int_equal(a->max_attempts, 0);
    assert_int_equal(a->allow.count, 3);
    expect_item(&a->allow, 1, "q", 13);
    assert_int_equal(a->allow.items[2].kind, PEER_RULE_VERIFIED);
    assert_int_equal(a->rules.count, 1);
    expect_item(&a->rules, 0, "any tags=a.*,b", 14);

    assert_int_equal(b->upstream.count, 1);
    expect_item(&b->upstream, 0, "z:1", 6);
    assert_int_equal(b->ack_timeout_ms, 7000);
    assert_int_equal(b->max_attempts, 0);
    assert_int_equal(b->allow.count, 1); /* the lists of `allow` are replaced together */
    assert_int_equal(b->allow.items[0].kind, PEER_RULE_CN);
    assert_int_equal(b->rules.count, 0);
    config_file_free(&file);
}

static void a_route_can_take_any_back(void **state)
{
    struct config_file file =
        read_good("defaults: {allow: {any: true}}\n" ROUTE "  allow: {any: false, cn: x}\n");

    (void)state;
    assert_int_equal(file.routes[0].allow.count, 1);
    assert_string_equal(file.routes[0].allow.items[0].value, "x");
    config_file_free(&file);
}

static void references_are_replaced_by_variables(void **state)
{
    struct config_file file =
        read_good("workers: ${MISSING:-3}\n"
                  "routes:\n"
                  "- name: a-${MISSING:-x}-${PORT}\n"
                  "  listen: a:${PORT}\n"
                  "  upstreams: [\"b:${EMPTY:-5},weight=7\", {address: c, standby: \"${TRUE}\"}]\n"
                  "  protocol: ${MISSING:-tcp}\n"
                  "  unsafe_listen: ${TRUE}\n");
    const struct config *route = &file.routes[0];
    const struct config_upstream *first = route->upstream.items[0].parts,
                                 *second = route->upstream.items[1].parts;

    (void)state;
    assert_int_equal(route->workers, 3);
    assert_string_equal(route->name, "a-x-24224");
    expect_item(&route->listen, 0, "a:24224", 4);
    assert_string_equal(first->address, "b:5");
    assert_int_equal(first->weight, 7);
    assert_true(second->is_standby);
    assert_int_equal(route->protocol, 0);
    assert_true(route->unsafe_listen);
    config_file_free(&file);
}

static void merge_keys_bring_settings_of_other_maps(void **state)
{
    struct config_file file = read_good("defaults: &base\n"
                                        "  upstreams: u:1\n"
                                        "  limits: &limits {max_depth: 5, max_tag: 7}\n"
                                        "routes:\n"
                                        "- <<: *base\n"
                                        "  name: a\n"
                                        "  listen: a:1\n"
                                        "  limits:\n"
                                        "    <<: *limits\n"
                                        "    max_depth: 6\n"
                                        "- &b {name: b, listen: 'a:2', protocol: tcp}\n"
                                        "- {<<: *b, name: c, listen: 'a:3'}\n");

    (void)state;
    assert_int_equal(file.count, 3);
    assert_int_equal(file.routes[0].max_depth, 6);
    assert_int_equal(file.routes[0].max_tag_bytes, 7);
    expect_item(&file.routes[0].upstream, 0, "u:1", 2);
    assert_int_equal(file.routes[1].max_depth, 5);
    assert_int_equal(file.routes[2].protocol, 0);
    assert_string_equal(file.routes[2].name, "c");
    config_file_free(&file);
}

static void both_sides_can_have_tls(void **state)
{
    struct config_file file =
        read_good(ROUTE "  tls:\n"
                        "    handshake_timeout: 3s\n"
                        "    downstream: {cert: dc, key: dk, ca: da, min_version: 1.3}\n"
                        "    upstream:\n"
                        "      cert: uc\n"
                        "      key: uk\n"
                        "      ca: ua\n"
                        "      max_version: \"1.2\"\n"
                        "      server_name: logs.example\n"
                        "      key_passphrase_env: P\n");
    const struct config *route = &file.routes[0];
    const struct config_tls *down = &route->tls[SIDE_DOWNSTREAM], *up = &route->tls[SIDE_UPSTREAM];

    (void)state;
    assert_string_equal(down->cert_file, "dc");
    assert_string_equal(down->key_file, "dk");
    assert_string_equal(down->ca_file, "da");
    assert_int_equal(down->min_version, 1);
    assert_null(down->passphrase_env);
    assert_string_equal(up->cert_file, "uc");
    assert_string_equal(up->key_file, "uk");
    assert_string_equal(up->ca_file, "ua");
    assert_int_equal(up->max_version, 0);
    assert_string_equal(up->passphrase_env, "P");
    assert_string_equal(route->server_name, "logs.example");
    assert_int_equal(route->handshake_timeout_ms, 3000);
    config_file_free(&file);
}

static void items_are_given_as_maps_or_texts(void **state)
{
    struct config_file file =
        read_good("routes:\n"
                  "- name: a\n"
                  "  listen: [\"unix:/a,mode=0660\", {address: unix:/b, mode: 0600, group: root}]\n"
                  "  upstreams: {address: b:2, server_name: m, standby: true}\n"
                  "  rules:\n"
                  "  - {cn: [x, two words], dns: z, tags: [a, b.*], tag_prefix: p., burst: 2s}\n"
                  "  - {any: true, tags: \"a,b\", bytes_per_second: 1MiB}\n"
                  "  authentication: {downstream: {users: [{name: u, password_env: P}]}}\n"
                  "  dns: {servers: [\"1.1.1.1\", \"2.2.2.2\"]}\n");
    const struct config *route = &file.routes[0];
    const struct config_rule *rule = route->rules.items[0].parts;

    (void)state;
    expect_item(&route->listen, 0, "unix:/a,mode=0660", 3);
    expect_item(&route->listen, 1, "unix:/b,mode=0600,group=root", 3);
    expect_item(&route->upstream, 0, "b:2,server-name=m,standby", 4);
    expect_item(&route->rules, 0, "cn=x cn=\"two words\" dns=z tags=a,b.* tag-prefix=p. burst=2s", 6);
    expect_item(&route->rules, 1, "any tags=a,b bytes-per-second=1MiB", 7);
    expect_item(&route->accept_users, 0, "u=P", 8);
    assert_int_equal(rule->who.count, 3);
    assert_string_equal(rule->tags, "a,b.*");
    assert_int_equal(rule->burst_ms, 2000);
    assert_string_equal(route->dns_servers, "1.1.1.1,2.2.2.2");
    config_file_free(&file);
}

static void a_file_is_read_from_its_path(void **state)
{
    char path[] = "/tmp/husk-config-XXXXXX";
    int descriptor = mkstemp(path);
    struct config_file file;
    struct mistakes mistakes;

    (void)state;
    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, ROUTE, sizeof ROUTE - 1), sizeof ROUTE - 1);
    assert_int_equal(close(descriptor), 0);
    mistakes_init(&mistakes, path);
    assert_true(config_file_read(&file, path, look_up, &mistakes));
    assert_string_equal(file.routes[0].name, "a");
    config_file_free(&file);
    assert_int_equal(unlink(path), 0);
    assert_false(config_file_read(&file, path, look_up, &mistakes));
    assert_string_equal(mistakes.items[0].text, "cannot be read: No such file or directory");
    config_file_free(&file);
    mistakes_deinit(&mistakes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_wrong_file_is_explained),
        cmocka_unit_test(a_file_that_is_too_large_is_refused),
        cmocka_unit_test(a_file_has_a_limited_number_of_routes),
        cmocka_unit_test(a_wrong_value_changes_no_field),
        cmocka_unit_test(a_short_file_has_a_route_with_defaults),
        cmocka_unit_test(settings_of_the_process_are_in_each_route),
        cmocka_unit_test(a_route_wins_over_defaults),
        cmocka_unit_test(a_route_can_take_any_back),
        cmocka_unit_test(references_are_replaced_by_variables),
        cmocka_unit_test(merge_keys_bring_settings_of_other_maps),
        cmocka_unit_test(both_sides_can_have_tls),
        cmocka_unit_test(items_are_given_as_maps_or_texts),
        cmocka_unit_test(a_file_is_read_from_its_path),
    };

    return cmocka_run_group_tests_name("config_file", tests, NULL, NULL);
}
