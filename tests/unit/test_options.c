/* proxy/options*.c: the configuration becomes options, or a fault. */
#include "options.h"

#include "config/setting_value.h"
#include "config/settings.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 160 };

struct parsed {
    struct config config;
    struct process_options process;
    struct options options; /* does not move: its parts point to each other */
    struct mistakes mistakes;
};

static void interpret(struct parsed *parsed, enum config_mode mode, const char *const *more,
                      const char *expected_fault)
{
    static const char *const common[] = {
        "--listen", "127.0.0.1:0", "--upstream", "logs.example:24224", "--cert", "c", "--key",
        "k",        "--ca",        "a"
    };
    char *words[WORDS_MAX];
    int count = 0;
    const struct settings_table table = config_settings(mode);

    *parsed = (struct parsed) { .config = { .mode = mode } };
    mistakes_init(&parsed->mistakes, "husk");
    for (size_t i = 0; i < sizeof common / sizeof common[0]; i += 2) {
        bool is_replaced = false;
        for (size_t k = 0; more[k]; k++)
            is_replaced = is_replaced || strcmp(more[k], common[i]) == 0;
        if (is_replaced)
            continue;
        words[count++] = (char *)(uintptr_t)common[i];
        words[count++] = (char *)(uintptr_t)common[i + 1];
    }
    for (size_t i = 0; more[i]; i++)
        words[count++] = (char *)(uintptr_t)more[i];
    const struct settings_words given = { .count = count, .items = words };
    struct fault fault;
    bool good = settings_parse(&table, &parsed->config, &given, &fault);
    if (!good) {
        mistakes_add(&parsed->mistakes, (struct place) { 0 }, "%s", fault.text);
    } else {
        good = process_options_from_config(&parsed->process, &parsed->config, &parsed->mistakes) &&
               options_from_config(&parsed->options, &parsed->config, parsed->process.workers,
                                   &parsed->mistakes);
    }
    assert_int_equal(good, parsed->mistakes.count == 0);
    if (expected_fault) {
        assert_false(good);
        assert_string_equal(parsed->mistakes.items[0].text, expected_fault);
    } else if (!good) {
        fail_msg("%s", parsed->mistakes.items[0].text);
    }
    mistakes_deinit(&parsed->mistakes);
}

static void release(struct parsed *parsed)
{
    const struct settings_table table = config_settings(parsed->config.mode);

    options_deinit(&parsed->options);
    settings_free(&table, &parsed->config);
}

#define WORDS(...) ((const char *const[]) { __VA_ARGS__, NULL })

static void expect_refused(enum config_mode mode, const char *const *more, const char *fault)
{
    struct parsed parsed;

    interpret(&parsed, mode, more, fault);
    release(&parsed);
}

static void the_mode_becomes_credentials_on_one_side_and_nothing_else(void **state)
{
    struct parsed client, server;

    (void)state;
    interpret(&client, CONFIG_CLIENT, WORDS("--server-name", "fluentd"), NULL);
    assert_null(client.options.credentials[SIDE_DOWNSTREAM].cert_file);
    assert_int_equal(client.options.credentials[SIDE_UPSTREAM].role, TLS_CLIENT);
    assert_null(client.options.credentials[SIDE_UPSTREAM].policy);
    assert_string_equal(client.options.route.server_name, "fluentd");
    assert_int_equal(client.options.discovery.health.persistence, HEALTH_UNTIL_GOOD);
    release(&client);

    interpret(&server, CONFIG_SERVER, WORDS("--allow-cn", "client"), NULL);
    assert_null(server.options.credentials[SIDE_UPSTREAM].cert_file);
    assert_int_equal(server.options.credentials[SIDE_DOWNSTREAM].role, TLS_SERVER);
    assert_int_equal(server.options.policy.count, 1);
    assert_ptr_equal(server.options.credentials[SIDE_DOWNSTREAM].policy, &server.options.policy);
    assert_null(server.options.route.server_name);
    release(&server);
}

static void the_first_connection_is_for_messages_over_tls_and_goes_with_the_probes(void **state)
{
    static const struct {
        const char *words[3];
        enum config_mode mode;
        bool opens_first;
    } cases[] = {
        { { NULL }, CONFIG_CLIENT, true },
        { { "--protocol", "tcp", NULL }, CONFIG_CLIENT, false },
        { { "--health-interval", "off", NULL }, CONFIG_CLIENT, false },
        { { "--allow-cn", "client", NULL }, CONFIG_SERVER, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct parsed parsed;
        interpret(&parsed, cases[i].mode, cases[i].words, NULL);
        assert_int_equal(parsed.options.route.opens_first, cases[i].opens_first);
        release(&parsed);
    }
}

static void the_defaults_are_forward_and_at_least_once(void **state)
{
    static const enum config_mode modes[] = { CONFIG_CLIENT, CONFIG_SERVER };
    struct parsed parsed;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        const char *allow = modes[i] == CONFIG_SERVER ? "--allow-any" : NULL;
        interpret(&parsed, modes[i], WORDS(allow), NULL);
        assert_int_equal(parsed.options.route.protocol, ROUTE_FORWARD);
        assert_int_equal(parsed.options.route.delivery, ROUTE_AT_LEAST_ONCE);
        release(&parsed);
    }
    interpret(&parsed, CONFIG_CLIENT, WORDS("--protocol", "tcp"), NULL);
    assert_int_equal(parsed.options.route.protocol, ROUTE_TCP);
    release(&parsed);
}

static void three_connections_prove_that_no_acks_come_unless_a_setting_says_otherwise(void **state)
{
    struct parsed parsed;

    (void)state;
    interpret(&parsed, CONFIG_CLIENT, WORDS(NULL), NULL);
    assert_int_equal(parsed.options.route.on_no_acks, ROUTE_NO_ACKS_CONTINUE);
    assert_int_equal(parsed.options.route.no_acks_after, 3);
    release(&parsed);
    interpret(&parsed, CONFIG_CLIENT, WORDS("--on-no-acks", "hold", "--no-acks-after", "off"), NULL);
    assert_int_equal(parsed.options.route.on_no_acks, ROUTE_NO_ACKS_HOLD);
    assert_int_equal(parsed.options.route.no_acks_after, 0);
    release(&parsed);
}

static void the_server_name_is_the_host_of_the_upstream_by_default(void **state)
{
    struct parsed parsed;

    (void)state;
    interpret(&parsed, CONFIG_CLIENT, WORDS(NULL), NULL);
    assert_null(parsed.options.route.server_name);
    assert_int_equal(parsed.options.discovery.target_count, 1);
    assert_string_equal(parsed.options.discovery.targets[0].address.host, "logs.example");
    release(&parsed);
}

static void hosts_of_upstreams_matter_only_where_tls_asks_for_them(void **state)
{
    struct parsed parsed;

    (void)state;
    interpret(&parsed, CONFIG_CLIENT, WORDS(NULL), NULL);
    assert_int_equal(parsed.options.discovery.resolver.hosts, RESOLVER_KEEP_HOSTS);
    release(&parsed);
    interpret(&parsed, CONFIG_CLIENT, WORDS("--server-name", "n"), NULL);
    assert_int_equal(parsed.options.discovery.resolver.hosts, RESOLVER_DROP_HOSTS);
    release(&parsed);
    interpret(&parsed, CONFIG_SERVER, WORDS("--allow-cn", "n"), NULL);
    assert_int_equal(parsed.options.discovery.resolver.hosts, RESOLVER_DROP_HOSTS);
    release(&parsed);
}

static void upstreams_are_parsed_in_order_with_weight_and_standby(void **state)
{
    static const struct {
        const char *host;
        unsigned weight;
        bool is_unix, is_srv, is_standby;
    } expected[] = {
        { "a.example", 1, false, false, false },
        { "::1", 3, false, false, false },
        { "_fluent._tcp.example", 1000, false, true, true },
        { "/run/a,b", 1, true, false, true },
        { "/run/c,d", 2, true, false, false },
    };
    struct parsed parsed;

    (void)state;
    interpret(&parsed, CONFIG_CLIENT,
              WORDS("--server-name", "n", "--upstream", "a.example:1", "--upstream", "[::1]:2,weight=3",
                    "--upstream", "srv+_fluent._tcp.example,weight=1000,standby", "--upstream",
                    "unix:/run/a,b,standby", "--upstream", "unix:/run/c,d,weight=2"),
              NULL);
    assert_string_equal(parsed.options.route.server_name, "n");
    assert_int_equal(parsed.options.discovery.target_count, sizeof expected / sizeof expected[0]);
    for (size_t i = 0; i < parsed.options.discovery.target_count; i++) {
        const struct discovery_target *target = &parsed.options.discovery.targets[i];
        assert_string_equal(target->address.host, expected[i].host);
        assert_int_equal(target->address.is_unix, expected[i].is_unix);
        assert_int_equal(target->address.is_srv, expected[i].is_srv);
        assert_int_equal(target->weight, expected[i].weight);
        assert_int_equal(target->is_standby, expected[i].is_standby);
    }
    release(&parsed);
}

static void a_fault_of_an_upstream_names_its_text(void **state)
{
    static const struct {
        const char *text, *fault;
    } bad[] = {
        { "a:1,weight=0", "--upstream: \"a:1,weight=0\": weight: 0 is out of range: expected 1 to 1000" },
        { "a:1,weight=1001",
          "--upstream: \"a:1,weight=1001\": weight: 1001 is out of range: expected 1 to 1000" },
        { "a:1,weight=-1", "--upstream: \"a:1,weight=-1\": weight: -1 is out of range: expected 1 to 1000" },
        { "a:1,weight=2x", "--upstream: \"a:1,weight=2x\": weight: \"2x\" is not a whole number" },
        { "a:1,weight=", "--upstream: \"a:1,weight=\": weight: needs a value: weight=N" },
        { "a:1,spare", "--upstream: \"a:1,spare\": \"spare\" is unknown" },
        { "a:1,b:2", "--upstream: \"a:1,b:2\": \"b:2\" is unknown; if it is a further address, give it as a "
                     "value of its own" },
        { "a,standby", "--upstream: no port in \"a\": expected host:port" },
        { "b:1", "--upstream: \"b:1\": the same address is given twice" },
        { "srv+x:1", "--upstream: port in \"srv+x:1\": SRV records tell the port: expected srv+NAME" },
    };
    const char *words[2 * (DISCOVERY_TARGETS_MAX + 1) + 1];
    struct parsed parsed;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect_refused(CONFIG_CLIENT, WORDS("--upstream", "b:1,weight=2", "--upstream", bad[i].text),
                       bad[i].fault);
    for (size_t i = 0; i <= DISCOVERY_TARGETS_MAX; i++) {
        words[2 * i] = "--upstream";
        words[2 * i + 1] = "c:1";
    }
    words[2 * (DISCOVERY_TARGETS_MAX + 1)] = NULL;
    interpret(&parsed, CONFIG_CLIENT, words, "--upstream: given more than 64 times");
    release(&parsed);
}

static void limits_of_the_process_are_divided_among_workers(void **state)
{
    struct parsed parsed;

    (void)state;
    interpret(&parsed, CONFIG_CLIENT,
              WORDS("--workers", "4", "--max-connections", "10", "--max-handshakes", "3",
                    "--handshake-memory", "2MiB"),
              NULL);
    assert_int_equal(parsed.process.workers, 4);
    assert_int_equal(parsed.options.route.max_connections, 3);
    assert_int_equal(parsed.options.route.max_handshakes, 1);
    assert_int_equal(parsed.options.route.handshake_memory_bytes, 512 * 1024);
    release(&parsed);
    interpret(&parsed, CONFIG_CLIENT, WORDS("--workers", "auto"), NULL);
    assert_in_range(parsed.process.workers, 1, WORKER_GROUP_MAX);
    release(&parsed);
}

static void invalid_events_are_skipped_unless_a_setting_says_otherwise(void **state)
{
    struct parsed parsed;

    (void)state;
    interpret(&parsed, CONFIG_CLIENT, WORDS(NULL), NULL);
    assert_true(parsed.options.route.body.skip_invalid);
    release(&parsed);
    interpret(&parsed, CONFIG_CLIENT, WORDS("--invalid-events", "skip"), NULL);
    assert_true(parsed.options.route.body.skip_invalid);
    release(&parsed);
    interpret(&parsed, CONFIG_SERVER, WORDS("--allow-any", "--invalid-events", "pass"), NULL);
    assert_false(parsed.options.route.body.skip_invalid);
    release(&parsed);
}

static void bodies_are_changed_only_if_a_setting_says_so(void **state)
{
    static const struct {
        const char *setting, *value;
    } settings[] = { { "--compress", "zstd" }, { "--strip-metadata", NULL } };
    struct parsed parsed;

    (void)state;
    interpret(&parsed, CONFIG_CLIENT, WORDS(NULL), NULL);
    assert_int_equal(parsed.options.route.body.compress, COMPRESSION_OFF);
    assert_false(parsed.options.route.body.strip_metadata);
    assert_int_equal(parsed.options.route.body.compress_min, 1024);
    release(&parsed);
    interpret(&parsed, CONFIG_SERVER,
              WORDS("--allow-any", "--compress", "gzip", "--strip-metadata", "--compress-min", "64",
                    "--max-inflated", "1MiB"),
              NULL);
    assert_int_equal(parsed.options.route.body.compress, COMPRESSION_GZIP);
    assert_true(parsed.options.route.body.strip_metadata);
    assert_int_equal(parsed.options.route.body.compress_min, BODY_COMPRESS_MIN);
    assert_int_equal(parsed.options.route.body.inflated_max, 1024 * 1024);
    release(&parsed);
    for (unsigned i = 0; i < 2; i++) {
        char tcp[100], passthrough[100];
        snprintf(tcp, sizeof tcp, "%s: is for --protocol forward; tcp changes nothing", settings[i].setting);
        snprintf(passthrough, sizeof passthrough,
                 "%s: cannot be combined with --delivery passthrough, which changes nothing",
                 settings[i].setting);
        expect_refused(CONFIG_CLIENT, WORDS("--protocol", "tcp", settings[i].setting, settings[i].value),
                       tcp);
        expect_refused(CONFIG_CLIENT,
                       WORDS("--delivery", "passthrough", settings[i].setting, settings[i].value),
                       passthrough);
    }
}

static void the_identity_becomes_a_field_only_if_a_setting_says_so(void **state)
{
    static const struct {
        const char *const words[6];
        const char *fault;
    } wrong[] = {
        { { "--protocol", "tcp" }, "--add-identity: is for --protocol forward; tcp changes nothing" },
        { { "--delivery", "passthrough" },
          "--add-identity: cannot be combined with --delivery passthrough, which changes nothing" },
        { { "--invalid-events", "pass" },
          "--add-identity: cannot be combined with --invalid-events pass: an invalid event has no field" },
        { { "--add-identity", "from=uri" },
          "--add-identity: \"from=uri\": field: is required: the key that the records get" },
        { { "--add-identity", "field=a" }, "--add-identity: \"field=a\": field: is given twice" },
        { { "--add-identity", "field=\xff" }, "--add-identity: \"field=?\": field: is not valid UTF-8" },
        { { "--add-identity", "field=1234567890123456789012345678901234567890123456789012345678901234"
                              "5" },
          "--add-identity: \"field=12345678901234567890123456789012345678901234567890123456789012345\": "
          "field: "
          "is longer than 64 bytes" },
    };
    struct parsed parsed;

    (void)state;
    interpret(&parsed, CONFIG_SERVER, WORDS("--allow-any"), NULL);
    assert_int_equal(parsed.options.route.identity_fields.count, 0);
    release(&parsed);
    interpret(&parsed, CONFIG_SERVER,
              WORDS("--allow-any", "--add-identity", "field=a", "--add-identity", "from=spki,field=b c",
                    "--add-identity", "field=c,from=uri", "--add-identity", "field=d,from=dns"),
              NULL);
    const struct route_identity_fields *fields = &parsed.options.route.identity_fields;
    const enum identity_name names[] = { IDENTITY_CN, IDENTITY_SPKI, IDENTITY_URI, IDENTITY_DNS };
    assert_int_equal(fields->count, 4);
    assert_string_equal(fields->items[1].name, "b c");
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(fields->items[i].from, names[i]);
    release(&parsed);
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        expect_refused(
            CONFIG_SERVER,
            WORDS("--allow-any", "--add-identity", "field=a", wrong[i].words[0], wrong[i].words[1]),
            wrong[i].fault);
    expect_refused(CONFIG_SERVER,
                   WORDS("--allow-any", "--add-identity", "field=a", "--add-identity", "field=b",
                         "--add-identity", "field=c", "--add-identity", "field=d", "--add-identity",
                         "field=e"),
                   "--add-identity: given more than 4 times");
}

static void batches_wait_only_if_a_setting_says_so_and_husk_joins_messages(void **state)
{
    struct parsed parsed;

    (void)state;
    interpret(&parsed, CONFIG_CLIENT, WORDS(NULL), NULL);
    assert_int_equal(parsed.options.route.batch_delay_ms, 0);
    release(&parsed);
    interpret(&parsed, CONFIG_SERVER, WORDS("--allow-any", "--batch-delay", "1s"), NULL);
    assert_int_equal(parsed.options.route.batch_delay_ms, 1000);
    release(&parsed);
    interpret(&parsed, CONFIG_CLIENT, WORDS("--delivery", "passthrough", "--batch-delay", "1s"), NULL);
    assert_int_equal(parsed.options.route.batch_delay_ms, 0);
    release(&parsed);
}

static void a_fault_names_the_setting(void **state)
{
    (void)state;
    expect_refused(CONFIG_CLIENT, WORDS("--listen", "0.0.0.0:24224"),
                   "--listen: other machines can reach 0.0.0.0:24224, and husk accepts plaintext there: "
                   "listen on 127.0.0.1, [::1] or unix:PATH, or set --unsafe-listen");
    expect_refused(CONFIG_CLIENT, WORDS("--listen", "logs.example:1"),
                   "--listen: \"logs.example\" is not an IP address, localhost or unix:PATH");
    expect_refused(CONFIG_CLIENT, WORDS("--upstream", "logs.example:0"),
                   "--upstream: bad port \"0\": expected 1 to 65535");
    expect_refused(CONFIG_CLIENT, WORDS("--upstream", ":24224"), "--upstream: \":24224\" names no host");
    expect_refused(CONFIG_CLIENT, WORDS("--upstream", "unix:/x"),
                   "--server-name: is required when the upstream is a Unix socket");
    expect_refused(CONFIG_CLIENT, WORDS("--server-name", "logs.example:24224"),
                   "--server-name: \"logs.example:24224\" is neither a DNS name nor an IP address: write it "
                   "without port and brackets");
    expect_refused(CONFIG_CLIENT, WORDS("--server-name", "our logs"),
                   "--server-name: \"our logs\" is neither a DNS name nor an IP address");
    expect_refused(CONFIG_CLIENT, WORDS("--tls-min", "1.3", "--tls-max", "1.2"),
                   "--tls-min: is above --tls-max");
    expect_refused(CONFIG_CLIENT, WORDS("--key-passphrase-env", "A", "--key-passphrase-file", "f"),
                   "--key-passphrase-env: cannot be combined with --key-passphrase-file");
    expect_refused(CONFIG_CLIENT, WORDS("--eject-time", "3m"), "--eject-time: is above --eject-time-max");
    expect_refused(CONFIG_CLIENT, WORDS("--dns-min-ttl", "10m"), "--dns-min-ttl: is above --dns-max-ttl");
    expect_refused(CONFIG_CLIENT, WORDS("--dns-retry-min", "2m"),
                   "--dns-retry-min: is above --dns-retry-max");
    expect_refused(CONFIG_SERVER, WORDS(NULL),
                   "nobody is allowed to connect: set --allow-cn, --allow-dns, --allow-uri, --allow-email, "
                   "--allow-o, --allow-ou, --allow-issuer or --allow-spki, or --allow-any to admit every "
                   "certificate of the CA");
    expect_refused(CONFIG_CLIENT, WORDS("--tls-groups", ","),
                   "--tls-groups: the list is empty: leave it out for the default");
    expect_refused(CONFIG_CLIENT, WORDS("--tls-ciphers", " : ,"),
                   "--tls-ciphers: the list is empty: leave it out for the default");
    expect_refused(CONFIG_CLIENT, WORDS("--tls-signature-algorithms", ", "),
                   "--tls-signature-algorithms: the list is empty: leave it out for the default");
    expect_refused(CONFIG_CLIENT, WORDS("--dns-servers", ","),
                   "--dns-servers: \"\" is not a name server: expected an address such as 10.0.0.1, "
                   "10.0.0.1:53 or [fd00::1]:53");
}

static void shared_keys_belong_to_a_side(void **state)
{
    struct parsed parsed;

    (void)state;
    interpret(&parsed, CONFIG_CLIENT,
              WORDS("--shared-key-env", "TEST_KEY", "--username", "me", "--password-env", "TEST_PASSWORD"),
              NULL);
    assert_string_equal(parsed.options.keys.side[SIDE_UPSTREAM].setting, "shared-key");
    assert_null(parsed.options.keys.side[SIDE_DOWNSTREAM].setting);
    assert_string_equal(parsed.options.keys.side[SIDE_UPSTREAM].env, "TEST_KEY");
    assert_string_equal(parsed.options.keys.side[SIDE_UPSTREAM].username, "me");
    assert_string_equal(parsed.options.keys.side[SIDE_UPSTREAM].password_env, "TEST_PASSWORD");
    release(&parsed);

    interpret(&parsed, CONFIG_CLIENT,
              WORDS("--accept-key-env", "TEST_KEY", "--accept-user", "you=TEST_PASSWORD"), NULL);
    assert_null(parsed.options.keys.side[SIDE_UPSTREAM].setting);
    assert_int_equal(parsed.options.keys.side[SIDE_DOWNSTREAM].user_count, 1);
    assert_string_equal(parsed.options.keys.users[0].name, "you");
    assert_string_equal(parsed.options.keys.users[0].password_env, "TEST_PASSWORD");
    release(&parsed);
}

static void an_upstream_at_the_listener_is_refused(void **state)
{
    static const struct {
        const char *listen, *upstream, *text; /* text: NULL: another program may be there */
    } cases[] = {
        { "127.0.0.1:9", "127.0.0.1:9", "127.0.0.1:9" },
        { "localhost:9", "127.0.0.1:9,standby", "127.0.0.1:9" },
        { "[::1]:9", "[::1]:9", "[::1]:9" },
        { "unix:/x", "unix:/x", "unix:/x" },
        { "0.0.0.0:9", "127.0.0.2:9", "127.0.0.2:9" },
        { "[::]:9", "127.0.0.1:9", "127.0.0.1:9" },
        { "[::]:9", "[::1]:9", "[::1]:9" },
        { "127.0.0.1:9", "127.0.0.1:8", NULL },
        { "127.0.0.1:9", "127.0.0.2:9", NULL },
        { "0.0.0.0:9", "127.0.0.1:8", NULL },
        { "0.0.0.0:9", "[::1]:9", NULL },
        { "0.0.0.0:9", "192.0.2.1:9", NULL },
        { "127.0.0.1:0", "127.0.0.1:9", NULL },
        { "unix:/x", "unix:/y", NULL },
        { "unix:/x", "logs.example:9", NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char fault[200];
        snprintf(fault, sizeof fault,
                 "--upstream: \"%s\" is the address of --listen: husk would send to itself",
                 cases[i].text ? cases[i].text : "");
        struct parsed parsed;
        interpret(&parsed, CONFIG_SERVER,
                  WORDS("--allow-any", "--listen", cases[i].listen, "--upstream", cases[i].upstream),
                  cases[i].text ? fault : NULL);
        release(&parsed);
    }
}

static void shared_key_settings_that_contradict_each_other_are_refused(void **state)
{
    (void)state;
    expect_refused(CONFIG_CLIENT, WORDS("--protocol", "tcp", "--shared-key-env", "TEST_KEY"),
                   "--shared-key-env: is for --protocol forward; tcp carries the handshake unchanged");
    expect_refused(CONFIG_CLIENT, WORDS("--username", "me"),
                   "--username: requires --shared-key-env, --shared-key-file or --shared-key-empty");
    expect_refused(CONFIG_CLIENT, WORDS("--shared-key-env", "TEST_KEY", "--username", "me"),
                   "--username: must be combined with --password-env");
    expect_refused(CONFIG_CLIENT, WORDS("--accept-user", "you=TEST_KEY"),
                   "--accept-user: requires --accept-key-env, --accept-key-file or --accept-key-empty");
    expect_refused(CONFIG_CLIENT, WORDS("--accept-key-env", "TEST_KEY", "--accept-user", "you"),
                   "--accept-user: password-env: needs a value: password-env=VAR");
    expect_refused(CONFIG_CLIENT, WORDS("--accept-key-env", "TEST_KEY", "--accept-user", "=hunter2"),
                   "--accept-user: name: needs a value: name=NAME"); /* hunter2 may be the password */
}

static void an_empty_shared_key_needs_its_own_setting(void **state)
{
    struct parsed parsed;

    (void)state;
    interpret(&parsed, CONFIG_CLIENT, WORDS("--shared-key-empty"), NULL);
    assert_true(parsed.options.keys.side[SIDE_UPSTREAM].is_empty);
    assert_null(parsed.options.keys.side[SIDE_DOWNSTREAM].setting);
    release(&parsed);
    interpret(&parsed, CONFIG_CLIENT, WORDS("--accept-key-empty", "--accept-user", "you=TEST_KEY"), NULL);
    assert_true(parsed.options.keys.side[SIDE_DOWNSTREAM].is_empty);
    assert_int_equal(parsed.options.keys.side[SIDE_DOWNSTREAM].user_count, 1);
    assert_null(parsed.options.keys.side[SIDE_UPSTREAM].setting);
    release(&parsed);
    expect_refused(CONFIG_CLIENT, WORDS("--accept-key-empty"),
                   "--accept-key-empty: requires --accept-user, otherwise husk would accept every agent");
    expect_refused(CONFIG_CLIENT, WORDS("--shared-key-empty", "--shared-key-file", "f"),
                   "--shared-key-empty: cannot be combined with --shared-key-file");
    expect_refused(CONFIG_CLIENT, WORDS("--accept-key-empty", "--accept-key-env", "TEST_KEY"),
                   "--accept-key-empty: cannot be combined with --accept-key-env");
    expect_refused(CONFIG_CLIENT, WORDS("--protocol", "tcp", "--shared-key-empty"),
                   "--shared-key-empty: is for --protocol forward; tcp carries the handshake unchanged");
}

static void listeners_are_parsed_in_order_with_mode_and_group(void **state)
{
    static const struct {
        const char *address;
        mode_t mode;
        gid_t group;
    } expected[] = {
        { "127.0.0.1:24224", 0666, SOCKET_GROUP_KEPT },
        { "unix:/run/a", 0666, SOCKET_GROUP_KEPT },
        { "unix:/run/b", 0660, SOCKET_GROUP_KEPT },
        { "unix:/run/c", 0600, 0 },
        { "unix:/run/d", 0666, 4711 },
        { "unix:@e", 0666, SOCKET_GROUP_KEPT },
        { "[::1]:0", 0666, SOCKET_GROUP_KEPT },
        { "[::1]:0", 0666, SOCKET_GROUP_KEPT },
    };
    struct parsed parsed;
    char text[ADDRESS_TEXT_BYTES];

    (void)state;
    interpret(&parsed, CONFIG_CLIENT,
              WORDS("--listen", "tcp://localhost:24224", "--listen", "unix:///run/a", "--listen",
                    "unix:/run/b,mode=0660", "--listen", "unix:/run/c,group=root,mode=600", "--listen",
                    "unix:/run/d,group=4711", "--listen", "unix:@e", "--listen", "[::1]:0", "--listen",
                    "[::1]:0"),
              NULL);
    assert_int_equal(parsed.options.listen.count, sizeof expected / sizeof *expected);
    for (unsigned i = 0; i < parsed.options.listen.count; i++) {
        const struct listening_address *one = &parsed.options.listen.addresses[i];
        socket_address_format(&one->address, text, sizeof text);
        assert_string_equal(text, expected[i].address);
        assert_int_equal(one->access.mode, expected[i].mode);
        assert_int_equal(one->access.group, expected[i].group);
    }
    release(&parsed);
}

static void a_fault_of_a_listener_names_its_text(void **state)
{
    static const struct {
        const char *text, *fault;
    } bad[] = {
        { "unix:/a,mode=", "\"unix:/a,mode=\": mode: needs a value: mode=OCTAL" },
        { "unix:/a,mode=0888",
          "\"unix:/a,mode=0888\": mode: \"0888\" is not octal: expected 0 to 0777, as in "
          "0660" },
        { "unix:/a,mode=rw",
          "\"unix:/a,mode=rw\": mode: \"rw\" is not octal: expected 0 to 0777, as in 0660" },
        { "unix:/a,mode=1777",
          "\"unix:/a,mode=1777\": mode: \"1777\" is not octal: expected 0 to 0777, as in "
          "0660" },
        { "unix:/a,mode=00660",
          "\"unix:/a,mode=00660\": mode: \"00660\" is not octal: expected 0 to 0777, as in "
          "0660" },
        { "unix:/a,group=no such group", "\"unix:/a,group=no such group\": group: \"no such group\" does not "
                                         "exist on this machine: expected the name or number of a group" },
        { "unix:/a,group=", "\"unix:/a,group=\": group: needs a value: group=NAME" },
        { "unix:/a,group=4294967295", "\"unix:/a,group=4294967295\": group: \"4294967295\" does not exist on "
                                      "this machine: expected the name or number of a group" },
        { "unix:/a,mod=0660", "\"unix:/a,mod=0660\": \"mod\" is unknown; did you mean mode?" },
        { "unix:/a,", "\"unix:/a,\": \"\" is unknown" },
        { "unix:/a,mode=0600,mode=0600", "\"unix:/a,mode=0600,mode=0600\": mode: given twice" },
        { "127.0.0.1:1,mode=0660", "\"127.0.0.1:1,mode=0660\": mode and group are for unix:PATH" },
        { "unix:@a,mode=0660", "\"unix:@a,mode=0660\": mode and group are for unix:PATH" },
        { "unix:/b,mode=0600", "\"unix:/b,mode=0600\": the same address is given twice" },
        { "localhost:2", "\"localhost:2\": the same address is given twice" },
        { "fluentd://127.0.0.1:1", "\"fluentd://\" in \"fluentd://127.0.0.1:1\": expected tcp://host:port, "
                                   "host:port or unix:PATH" },
    };
    const char *words[2 * (LISTENER_SOCKETS_MAX + 1) + 1];
    struct parsed parsed;
    char fault[FAULT_TEXT_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(fault, sizeof fault, "--listen: %s", bad[i].fault);
        expect_refused(CONFIG_CLIENT,
                       WORDS("--listen", "unix:/b", "--listen", "127.0.0.1:2", "--listen", bad[i].text),
                       fault);
    }
    expect_refused(CONFIG_CLIENT, WORDS("--listen", "unix:/a", "--listen", "0.0.0.0:24224"),
                   "--listen: other machines can reach 0.0.0.0:24224, and husk accepts plaintext there: "
                   "listen on 127.0.0.1, [::1] or unix:PATH, or set --unsafe-listen");
    for (size_t i = 0; i <= LISTENER_SOCKETS_MAX; i++) {
        words[2 * i] = "--listen";
        words[2 * i + 1] = "127.0.0.1:0";
    }
    words[2 * (LISTENER_SOCKETS_MAX + 1)] = NULL;
    interpret(&parsed, CONFIG_CLIENT, words, "--listen: given more than 16 times");
    release(&parsed);
}

static void admin_hosts_are_names_without_port(void **state)
{
    const char *words[2 * (HTTP_HOST_NAMES_MAX + 1) + 1];
    struct parsed parsed;

    (void)state;
    interpret(&parsed, CONFIG_CLIENT, WORDS("--admin-host", "husk.logging.svc", "--admin-host", "husk_1"),
              NULL);
    assert_int_equal(parsed.process.admin.hosts.count, 2);
    assert_string_equal(parsed.process.admin.hosts.items[1], "husk_1");
    release(&parsed);
    expect_refused(
        CONFIG_CLIENT, WORDS("--admin-host", "husk:9901"),
        "--admin-host: \"husk:9901\" is neither a DNS name nor an IP address: write it without port "
        "and brackets");
    expect_refused(
        CONFIG_CLIENT, WORDS("--admin-host", "*.logging.svc"),
        "--admin-host: \"*.logging.svc\" is neither a DNS name nor an IP address: it cannot have a "
        "wildcard");
    for (size_t i = 0; i <= HTTP_HOST_NAMES_MAX; i++) {
        words[2 * i] = "--admin-host";
        words[2 * i + 1] = "husk";
    }
    words[2 * (HTTP_HOST_NAMES_MAX + 1)] = NULL;
    interpret(&parsed, CONFIG_CLIENT, words, "--admin-host: given more than 16 times");
    release(&parsed);
}

static void a_client_listens_anywhere_with_unsafe_listen(void **state)
{
    struct parsed parsed;

    (void)state;
    interpret(&parsed, CONFIG_CLIENT, WORDS("--listen", "0.0.0.0:24224", "--unsafe-listen"), NULL);
    release(&parsed);
}

static void a_rule_is_parsed_into_its_parts(void **state)
{
    struct parsed parsed;

    (void)state;
    interpret(&parsed, CONFIG_SERVER,
              WORDS("--allow-any", "--rule",
                    "cn=a ou=\"Two Words\" tags=kube.{a,b}.*,app.** tag-prefix={cn}. bytes-per-second=1MiB "
                    "messages-per-second=10 burst=5s max-message=2MiB",
                    "--rule", "any"),
              NULL);
    const struct message_policy *policy = parsed.options.route.policy;
    assert_int_equal(policy->count, 2);
    const struct message_rule *rule = &policy->rules[0];
    assert_int_equal(rule->who.count, 2);
    assert_int_equal(rule->who.rules[0].kind, PEER_RULE_CN);
    assert_string_equal(rule->who.rules[1].value, "Two Words");
    assert_int_equal(rule->tag_count, 2);
    assert_string_equal(rule->prefix, "{cn}.");
    assert_int_equal(rule->bytes_per_second, 1 << 20);
    assert_int_equal(rule->messages_per_second, 10);
    assert_int_equal(rule->burst_ms, 5000);
    assert_int_equal(rule->message_bytes, 2 << 20);
    rule = &policy->rules[1];
    assert_int_equal(rule->who.rules[0].kind, PEER_RULE_ANY);
    assert_int_equal(rule->tag_count + rule->bytes_per_second + rule->messages_per_second, 0);
    assert_int_equal(rule->burst_ms, 1000);
    assert_null(rule->prefix);
    release(&parsed);

    interpret(&parsed, CONFIG_CLIENT, WORDS(NULL), NULL);
    assert_null(parsed.options.route.policy);
    release(&parsed);
    interpret(&parsed, CONFIG_CLIENT, WORDS("--rule", "any tag-prefix=edge."), NULL);
    assert_int_equal(parsed.options.route.policy->count, 1);
    release(&parsed);
}

static void a_fault_of_a_rule_names_its_text_and_the_part(void **state)
{
    static const struct {
        enum config_mode mode;
        const char *rule, *fault;
    } rows[] = {
        { CONFIG_SERVER, "tags=a",
          "--rule: \"tags=a\": matches nobody: set any, cn, dns, uri, email, o, issuer, ou or spki" },
        { CONFIG_SERVER, "any tag=a", "--rule: \"any tag=a\": \"tag\" is unknown; did you mean tags?" },
        { CONFIG_SERVER, "any tags=/a/",
          "--rule: \"any tags=/a/\": tags: \"/a/\": regular expressions are not supported" },
        { CONFIG_SERVER, "any tags=a,,b", "--rule: \"any tags=a,,b\": tags: \"\": the pattern is empty" },
        { CONFIG_SERVER, "any tag-prefix={x}.",
          "--rule: \"any tag-prefix={x}.\": tag-prefix: \"{x}.\": braces are only allowed in {cn}, "
          "{uri}, {dns} and {spki8}" },
        { CONFIG_SERVER, "spki=12",
          "--rule: \"spki=12\": \"12\" is not a SHA-256 hash: expected 64 hex digits" },
        { CONFIG_SERVER, "any max-message=512MiB",
          "--rule: \"any max-message=512MiB\": max-message: is above --max-message" },
        { CONFIG_SERVER, "any burst=1ms",
          "--rule: \"any burst=1ms\": burst: 1ms is out of range: expected 20ms to 1h" },
        { CONFIG_CLIENT, "cn=a",
          "--rule: \"cn=a\": agents without TLS have no certificate: only \"any\" can match them" },
        { CONFIG_CLIENT, "any tag-prefix={cn}.",
          "--rule: \"any tag-prefix={cn}.\": tag-prefix: agents without TLS have no certificate to take a "
          "name from" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *allow = rows[i].mode == CONFIG_SERVER ? "--allow-any" : "--allow-cn-as-name";
        expect_refused(rows[i].mode, WORDS(allow, "--rule", rows[i].rule), rows[i].fault);
    }
    expect_refused(CONFIG_CLIENT, WORDS("--protocol", "tcp", "--rule", "any"),
                   "--rule: is for --protocol forward; tcp has no messages");
}

static void a_cn_as_server_name_may_be_any_text(void **state)
{
    struct parsed parsed;

    (void)state;
    interpret(&parsed, CONFIG_CLIENT, WORDS("--allow-cn-as-name", "--server-name", "our logs"), NULL);
    assert_string_equal(parsed.options.route.server_name, "our logs");
    release(&parsed);
}

static void weak_certificates_are_accepted_on_request(void **state)
{
    struct parsed parsed;

    (void)state;
    interpret(&parsed, CONFIG_CLIENT, WORDS(NULL), NULL);
    assert_false(parsed.options.credentials[SIDE_UPSTREAM].allow_weak);
    release(&parsed);
    interpret(&parsed, CONFIG_CLIENT, WORDS("--allow-weak-certificates"), NULL);
    assert_true(parsed.options.credentials[SIDE_UPSTREAM].allow_weak);
    release(&parsed);
}

static void udp_heartbeats_are_for_forward(void **state)
{
    struct parsed parsed;

    (void)state;
    interpret(&parsed, CONFIG_CLIENT, WORDS(NULL), NULL);
    assert_int_equal(parsed.options.heartbeats_per_second, 1000);
    assert_int_equal(parsed.options.heartbeats_per_source, 5);
    release(&parsed);
    interpret(&parsed, CONFIG_CLIENT, WORDS("--udp-heartbeats", "off"), NULL);
    assert_int_equal(parsed.options.heartbeats_per_second, 0);
    release(&parsed);
    interpret(&parsed, CONFIG_CLIENT, WORDS("--protocol", "tcp"), NULL);
    assert_int_equal(parsed.options.heartbeats_per_second, 0);
    release(&parsed);
}

static void refusing_requires_a_fixed_port(void **state)
{
    struct parsed parsed;

    (void)state;
    interpret(&parsed, CONFIG_CLIENT, WORDS(NULL), NULL);
    assert_false(parsed.options.refuses_unhealthy);
    release(&parsed);
    interpret(&parsed, CONFIG_CLIENT, WORDS("--listen", "127.0.0.1:24224", "--when-unhealthy", "refuse"),
              NULL);
    assert_true(parsed.options.refuses_unhealthy);
    release(&parsed);
    expect_refused(CONFIG_CLIENT, WORDS("--listen", "unix:/x", "--when-unhealthy", "refuse"),
                   "--when-unhealthy: refuse requires a fixed TCP port, and unix:/x has none");
    expect_refused(CONFIG_CLIENT,
                   WORDS("--listen", "127.0.0.1:1", "--listen", "unix:/x", "--when-unhealthy", "refuse"),
                   "--when-unhealthy: refuse requires a fixed TCP port, and unix:/x has none");
    expect_refused(CONFIG_CLIENT, WORDS("--when-unhealthy", "refuse"),
                   "--when-unhealthy: refuse requires a fixed TCP port, and 127.0.0.1:0 has none");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_mode_becomes_credentials_on_one_side_and_nothing_else),
        cmocka_unit_test(the_first_connection_is_for_messages_over_tls_and_goes_with_the_probes),
        cmocka_unit_test(the_defaults_are_forward_and_at_least_once),
        cmocka_unit_test(three_connections_prove_that_no_acks_come_unless_a_setting_says_otherwise),
        cmocka_unit_test(the_server_name_is_the_host_of_the_upstream_by_default),
        cmocka_unit_test(hosts_of_upstreams_matter_only_where_tls_asks_for_them),
        cmocka_unit_test(upstreams_are_parsed_in_order_with_weight_and_standby),
        cmocka_unit_test(a_fault_of_an_upstream_names_its_text),
        cmocka_unit_test(limits_of_the_process_are_divided_among_workers),
        cmocka_unit_test(invalid_events_are_skipped_unless_a_setting_says_otherwise),
        cmocka_unit_test(bodies_are_changed_only_if_a_setting_says_so),
        cmocka_unit_test(the_identity_becomes_a_field_only_if_a_setting_says_so),
        cmocka_unit_test(batches_wait_only_if_a_setting_says_so_and_husk_joins_messages),
        cmocka_unit_test(a_fault_names_the_setting),
        cmocka_unit_test(shared_keys_belong_to_a_side),
        cmocka_unit_test(an_upstream_at_the_listener_is_refused),
        cmocka_unit_test(shared_key_settings_that_contradict_each_other_are_refused),
        cmocka_unit_test(an_empty_shared_key_needs_its_own_setting),
        cmocka_unit_test(listeners_are_parsed_in_order_with_mode_and_group),
        cmocka_unit_test(a_fault_of_a_listener_names_its_text),
        cmocka_unit_test(a_rule_is_parsed_into_its_parts),
        cmocka_unit_test(a_fault_of_a_rule_names_its_text_and_the_part),
        cmocka_unit_test(admin_hosts_are_names_without_port),
        cmocka_unit_test(a_client_listens_anywhere_with_unsafe_listen),
        cmocka_unit_test(a_cn_as_server_name_may_be_any_text),
        cmocka_unit_test(weak_certificates_are_accepted_on_request),
        cmocka_unit_test(udp_heartbeats_are_for_forward),
        cmocka_unit_test(refusing_requires_a_fixed_port),
    };

    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
