/* proxy/wire/address.c: which addresses are accepted, which are refused and with which fault, and conversion
 * to text. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "wire/address.h"

#include <netinet/in.h>
#include <sys/un.h>

static void expect_parsed(const char *text, const char *host, unsigned port)
{
    struct address address;
    struct fault fault = { .text = "" };

    if (!address_parse(&address, text, &fault))
        fail_msg("%s: %s", text, fault.text);
    assert_false(address.is_unix);
    assert_string_equal(address.host, host);
    assert_int_equal(address.port, port);
}

static void expect_refused(const char *text, const char *why)
{
    struct address address = { .host = "untouched", .port = 7 };
    struct fault fault = { .text = "" };

    if (address_parse(&address, text, &fault))
        fail_msg("%s was accepted", text);
    assert_string_equal(fault.text, why);
    assert_string_equal(address.host, "untouched");
    assert_int_equal(address.port, 7);
}

static void test_accepts_hosts_and_ports(void **state)
{
    (void)state;
    expect_parsed("127.0.0.1:24224", "127.0.0.1", 24224);
    expect_parsed("localhost:0", "localhost", 0);
    expect_parsed("aggregator.logging.svc.cluster.local.:65535", "aggregator.logging.svc.cluster.local.",
                  65535);
    expect_parsed("under_score-1:1", "under_score-1", 1);
    expect_parsed("1password:443", "1password", 443);
    expect_parsed("[::1]:24224", "::1", 24224);
    expect_parsed("[::ffff:10.0.0.1]:1", "::ffff:10.0.0.1", 1);
    expect_parsed(":24224", "::", 24224);
    expect_parsed("*:24224", "::", 24224);
    expect_parsed("[::]:0", "::", 0);
}

static void test_services_are_accepted_for_upstreams_only(void **state)
{
    struct address address;
    struct socket_address to;
    struct fault fault;
    static const char *const bad[][2] = {
        { "srv+", "no name in \"srv+\": expected srv+NAME, as in srv+_fluent._tcp.example.com" },
        { "srv+.", "no name in \"srv+.\": expected srv+NAME, as in srv+_fluent._tcp.example.com" },
        { "srv+10.0.0.1",
          "no name in \"srv+10.0.0.1\": expected srv+NAME, as in srv+_fluent._tcp.example.com" },
        { "srv+a:1", "port in \"srv+a:1\": SRV records tell the port: expected srv+NAME" },
        { "srv+a..b", "bad host name \"a..b\": empty label" },
        { "srv+_a._tcp.-b", "bad host name \"_a._tcp.-b\": the label \"-b\" begins or ends with \"-\"" },
    };

    (void)state;
    assert_true(address_parse_upstream(&address, "srv+_fluent._tcp.logs.example.", &fault));
    assert_true(address.is_srv);
    assert_string_equal(address.host, "_fluent._tcp.logs.example.");
    assert_int_equal(address.port, 0);
    assert_true(address_parse_upstream(&address, "srv+localhost", &fault));
    assert_false(address_to_socket(&address, &to));
    assert_true(address_parse_upstream(&address, "logs.example:1", &fault));
    assert_false(address.is_srv);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(address_parse_upstream(&address, bad[i][0], &fault));
        assert_string_equal(fault.text, bad[i][1]);
        assert_string_equal(address.host, "logs.example");
    }
    assert_false(address_parse(&address, "srv+a:1", &fault));
}

static void test_names_from_dns_are_checked(void **state)
{
    static const char *const bad[] = { "",         ".",       "*",   "::1",  "[::1]",
                                       "10.0.0.1", "unix:/x", "a b", "a..b", "-a" };
    struct address address = { .host = "untouched" };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(address_from_name(&address, bad[i], 1));
    assert_string_equal(address.host, "untouched");
    assert_true(address_from_name(&address, "a.example", 7));
    assert_string_equal(address.host, "a.example");
    assert_int_equal(address.port, 7);
}

static void test_refuses_bad_ports(void **state)
{
    (void)state;
    expect_refused("127.0.0.1:99999", "bad port \"99999\": expected 0 to 65535");
    expect_refused("127.0.0.1:65536", "bad port \"65536\": expected 0 to 65535");
    expect_refused("127.0.0.1:000001", "bad port \"000001\": expected 0 to 65535");
    expect_refused("127.0.0.1:", "bad port \"\": expected 0 to 65535");
    expect_refused("127.0.0.1:-1", "bad port \"-1\": expected 0 to 65535");
    expect_refused("127.0.0.1:+1", "bad port \"+1\": expected 0 to 65535");
    expect_refused("127.0.0.1: 1", "bad port \" 1\": expected 0 to 65535");
    expect_refused("127.0.0.1:80x", "bad port \"80x\": expected 0 to 65535");
    expect_refused("127.0.0.1:80 ", "bad port \"80 \": expected 0 to 65535");
    expect_refused("[::1]:80/", "bad port \"80/\": expected 0 to 65535, and no path: host:port");
    expect_refused("127.0.0.1:forward", "bad port \"forward\": expected 0 to 65535");
}

static void test_port_0_is_for_listeners(void **state)
{
    static const char *const bad[][2] = {
        { "127.0.0.1:0", "bad port \"0\": expected 1 to 65535" },
        { "[::1]:00", "bad port \"00\": expected 1 to 65535" },
        { "tcp://host:0/", "bad port \"0\": expected 1 to 65535" },
        { "host:99999", "bad port \"99999\": expected 1 to 65535" },
    };
    struct address address;
    struct fault fault;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(address_parse_dialled(&address, bad[i][0], &fault));
        assert_string_equal(fault.text, bad[i][1]);
        assert_false(address_parse_upstream(&address, bad[i][0], &fault));
        assert_string_equal(fault.text, bad[i][1]);
    }
    expect_parsed("127.0.0.1:0", "127.0.0.1", 0);
    assert_true(address_parse_dialled(&address, "127.0.0.1:1", &fault));
    assert_true(address_parse_dialled(&address, "unix:/run/husk.sock", &fault));
}

static void test_a_password_is_not_shown(void **state)
{
    static const char *const addresses[] = {
        "bob:pw@host:24284", "bob@host:1",     "tcp://bob:pw@host:1", "https://bob:pw@host/",
        "bob:pw@[::1]:1",    "[bob:pw@::1]:1", "bob:p@w@host",        "srv+bob:pw@_fluent._tcp.example",
    };
    static const char why[] = "an address has no user and no password: expected host:port";
    struct address address;
    struct fault fault;

    (void)state;
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        expect_refused(addresses[i], why);
        assert_false(address_parse_upstream(&address, addresses[i], &fault));
        assert_string_equal(fault.text, why);
    }
    expect_refused("@name", "no port in \"@name\": expected host:port");
    assert_true(address_parse(&address, "unix:/run/a@b", &fault));
    assert_true(address_parse(&address, "unix:@a@b", &fault));
}

static void test_refuses_missing_parts(void **state)
{
    (void)state;
    expect_refused("", "empty address: expected host:port, [IPv6]:port or unix:PATH");
    expect_refused("localhost", "no port in \"localhost\": expected host:port");
    expect_refused("[::1]", "no port in \"[::1]\": expected [IPv6]:port");
    expect_refused("[::1", "no \"]\" in \"[::1\": expected [IPv6]:port");
    expect_refused("[::1]24224", "\"24224\" after \"]\": expected \":port\"");
}

static void test_refuses_bad_hosts(void **state)
{
    (void)state;
    expect_refused(
        "::1:24224",
        "too many colons in \"::1:24224\": expected host:port, with IPv6 in brackets: [::1]:24224");
    expect_refused("::1",
                   "too many colons in \"::1\": expected host:port, with IPv6 in brackets: [::1]:24224");
    expect_refused("host:1:2",
                   "too many colons in \"host:1:2\": expected host:port, with IPv6 in brackets: [::1]:24224");
    expect_refused("[localhost]:1",
                   "bad address in \"[localhost]:1\": expected an IPv6 address without a zone "
                   "in the brackets");
    expect_refused("[fe80::1%eth0]:1",
                   "bad address in \"[fe80::1%eth0]:1\": expected an IPv6 address without "
                   "a zone in the brackets");
    expect_refused("[]:1",
                   "bad address in \"[]:1\": expected an IPv6 address without a zone in the brackets");
    expect_refused("10.0.0.256:1", "bad IPv4 address \"10.0.0.256\": expected four numbers from 0 to 255");
    expect_refused("10.1:1", "bad IPv4 address \"10.1\": expected four numbers from 0 to 255");
    expect_refused("a..b:1", "bad host name \"a..b\": empty label");
    expect_refused(".:1", "bad host name \".\": empty label");
    expect_refused("a..:1", "bad host name \"a..\": empty label");
    expect_refused(".a:1", "bad host name \".a\": empty label");
    expect_refused("-a:1", "bad host name \"-a\": the label \"-a\" begins or ends with \"-\"");
    expect_refused("a-:1", "bad host name \"a-\": the label \"a-\" begins or ends with \"-\"");
    expect_refused("x.a-.b:1", "bad host name \"x.a-.b\": the label \"a-\" begins or ends with \"-\"");
    expect_refused("x.-.:1", "bad host name \"x.-.\": the label \"-\" begins or ends with \"-\"");
    expect_refused("a b:1", "bad host name \"a b\": expected letters, digits, \"-\", \"_\" and \".\"");
    expect_refused("\xc3\xbc:1",
                   "bad host name \"\xc3\xbc\": expected letters, digits, \"-\", \"_\" and \".\"");
}

static void test_refuses_long_hosts(void **state)
{
    char text[4096];
    struct address address;
    struct fault fault;

    (void)state;
    memset(text, 'a', sizeof text);
    memcpy(text + 64, ":1", 3);
    assert_false(address_parse(&address, text, &fault));
    assert_non_null(strstr(fault.text, "a label is longer than 63 bytes"));

    for (size_t i = 0; i < sizeof text; i++)
        text[i] = i % 50 == 49 ? '.' : 'a';
    memcpy(text + 253, ":1", 3);
    assert_true(address_parse(&address, text, &fault));
    for (size_t length = 254; length < 4000; length += 149) {
        text[253] = 'a';
        for (size_t i = 0; i < sizeof text; i++)
            text[i] = i % 50 == 49 ? '.' : 'a';
        text[length - 1] = 'a';
        memcpy(text + length, ":1", 3);
        assert_false(address_parse(&address, text, &fault));
        assert_non_null(strstr(fault.text, "expected at most 253"));
    }

    memset(text, ':', sizeof text);
    text[0] = '[';
    memcpy(text + 4000, "]:1", 4);
    assert_false(address_parse(&address, text, &fault));
    assert_non_null(strstr(fault.text, "expected an IPv6 address"));
}

static void test_urls_of_tcp_and_unix_are_addresses(void **state)
{
    struct address address;
    struct fault fault;

    (void)state;
    assert_true(address_parse(&address, "tcp://logs.example:24224", &fault));
    assert_string_equal(address.host, "logs.example");
    assert_int_equal(address.port, 24224);
    assert_true(address_parse(&address, "tcp://[::1]:24224/", &fault));
    assert_string_equal(address.host, "::1");
    assert_int_equal(address.port, 24224);
    assert_true(address_parse(&address, "unix:///run/husk.sock", &fault));
    assert_true(address.is_unix);
    assert_string_equal(address.host, "/run/husk.sock");
    assert_true(address_parse_upstream(&address, "tcp://logs.example:1/", &fault));
    assert_string_equal(address.host, "logs.example");
}

static void test_other_urls_are_refused(void **state)
{
    (void)state;
    expect_refused(
        "fluentd://host:1",
        "\"fluentd://\" in \"fluentd://host:1\": expected tcp://host:port, host:port or unix:PATH");
    expect_refused("http://host:1/",
                   "\"http://\" in \"http://host:1/\": expected tcp://host:port, host:port or unix:PATH");
    expect_refused("unix://run/husk.sock",
                   "two slashes in \"unix://run/husk.sock\": expected unix:///PATH or unix:PATH");
    expect_refused("unix://", "two slashes in \"unix://\": expected unix:///PATH or unix:PATH");
    expect_refused("tcp://", "no port in \"\": expected host:port");
    expect_refused("tcp://host", "no port in \"host\": expected host:port");
    expect_refused("tcp://host/", "no port in \"host\": expected host:port");
    expect_refused("tcp://host:1/x", "bad port \"1/x\": expected 0 to 65535, and no path: host:port");
    expect_refused("tcp://host:1//", "bad port \"1/\": expected 0 to 65535, and no path: host:port");
}

static void test_unix_paths(void **state)
{
    char text[256];
    struct address address;
    struct fault fault;
    size_t path_bytes = sizeof((struct sockaddr_un *)0)->sun_path;

    (void)state;
    assert_true(address_parse(&address, "unix:/run/husk.sock", &fault));
    assert_true(address.is_unix);
    assert_string_equal(address.host, "/run/husk.sock");
    assert_int_equal(address.port, 0);

    expect_refused("unix:", "empty path after \"unix:\": expected unix:PATH or unix:@NAME");
    expect_refused("unix:@", "empty name after \"unix:\": expected unix:PATH or unix:@NAME");

    memset(text, 'p', sizeof text);
    memcpy(text, "unix:", 5);
    text[5 + path_bytes - 1] = '\0';
    assert_true(address_parse(&address, text, &fault));
    assert_int_equal(strlen(address.host), path_bytes - 1);
    text[5 + path_bytes - 1] = 'p';
    text[5 + path_bytes] = '\0';
    assert_false(address_parse(&address, text, &fault));
    assert_non_null(strstr(fault.text, "has 108 bytes: expected at most 107"));
}

static void expect_socket(const char *text, const char *formatted, bool is_local)
{
    struct address address;
    struct socket_address to;
    struct fault fault;
    char written[ADDRESS_TEXT_BYTES];

    assert_true(address_parse(&address, text, &fault));
    assert_true(address_to_socket(&address, &to));
    socket_address_format(&to, written, sizeof written);
    assert_string_equal(written, formatted);
    assert_int_equal(socket_address_is_local(&to), is_local);
}

static void test_conversion_to_sockets_and_back(void **state)
{
    struct address address;
    struct socket_address to;
    struct fault fault;

    (void)state;
    expect_socket("127.0.0.1:24224", "127.0.0.1:24224", true);
    expect_socket("127.9.9.9:1", "127.9.9.9:1", true);
    expect_socket("128.0.0.1:1", "128.0.0.1:1", false);
    expect_socket("LocalHost:80", "127.0.0.1:80", true);
    expect_socket("[::1]:80", "[::1]:80", true);
    expect_socket("[2001:db8::1]:80", "[2001:db8::1]:80", false);
    expect_socket("*:80", "[::]:80", false);
    expect_socket("[::ffff:127.0.0.1]:80", "127.0.0.1:80", true);
    expect_socket("[::ffff:10.0.0.1]:80", "10.0.0.1:80", false);
    expect_socket("unix:/run/x.sock", "unix:/run/x.sock", true);
    expect_socket("unix:@husk", "unix:@husk", true);

    assert_true(address_parse(&address, "aggregator:1", &fault));
    assert_false(address_to_socket(&address, &to));
}

static void test_v4_mapped_addresses_are_ipv4(void **state)
{
    struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6, .sin6_port = htons(7), .sin6_scope_id = 3 };
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    struct socket_address mapped = { .length = sizeof sin6 }, ipv4, to;
    struct address address;
    struct fault fault;
    char text[ADDRESS_TEXT_BYTES];

    (void)state;
    assert_true(address_parse(&address, "127.0.0.1:80", &fault));
    assert_true(address_to_socket(&address, &ipv4));
    assert_true(address_parse(&address, "[::ffff:127.0.0.1]:80", &fault));
    assert_true(address_to_socket(&address, &to));
    assert_true(socket_address_equal(&to, &ipv4));

    assert_int_equal(inet_pton(AF_INET6, "::ffff:127.0.0.1", &sin6.sin6_addr), 1);
    assert_true(socket_address_from_ip(&to, (struct sockaddr *)&sin6, 80));
    assert_true(socket_address_equal(&to, &ipv4));
    memcpy(&mapped.storage, &sin6, sizeof sin6); /* as accept gives it */
    socket_address_format(&mapped, text, sizeof text);
    assert_string_equal(text, "127.0.0.1:7");
    assert_true(socket_address_is_local(&mapped));

    assert_int_equal(inet_pton(AF_INET6, "64:ff9b::127.0.0.1", &sin6.sin6_addr), 1); /* NAT64 is not mapped */
    assert_true(socket_address_from_ip(&to, (struct sockaddr *)&sin6, 80));
    socket_address_format(&to, text, sizeof text);
    assert_string_equal(text, "[64:ff9b::7f00:1]:80");
    assert_false(socket_address_from_ip(&to, (struct sockaddr *)&sun, 80));
}

static void test_socket_lengths(void **state)
{
    struct address address;
    struct socket_address to;
    struct fault fault;
    struct sockaddr_un *sun = (struct sockaddr_un *)&to.storage;
    size_t offset = offsetof(struct sockaddr_un, sun_path);

    (void)state;
    assert_true(address_parse(&address, "unix:/a", &fault));
    assert_true(address_to_socket(&address, &to));
    assert_int_equal(to.length, offset + 3);
    assert_string_equal(sun->sun_path, "/a");

    assert_true(address_parse(&address, "unix:@a", &fault));
    assert_true(address_to_socket(&address, &to));
    assert_int_equal(to.length, offset + 2);
    assert_memory_equal(sun->sun_path, "\0a", 2);
}

static void test_format_of_unusual_addresses(void **state)
{
    char text[ADDRESS_TEXT_BYTES];
    struct socket_address address = { 0 };
    struct sockaddr_un *sun = (struct sockaddr_un *)&address.storage;

    (void)state;
    socket_address_format(&address, text, sizeof text);
    assert_string_equal(text, "unknown");
    assert_false(socket_address_is_local(&address));

    sun->sun_family = AF_UNIX;
    address.length = sizeof(sa_family_t);
    socket_address_format(&address, text, sizeof text);
    assert_string_equal(text, "unix:");

    /* The kernel may fill sun_path to its last byte without a NUL. */
    memset(sun->sun_path, 'x', sizeof sun->sun_path);
    address.length = sizeof *sun;
    socket_address_format(&address, text, sizeof text);
    assert_int_equal(strlen(text), 5 + sizeof sun->sun_path);
}

static void test_ports(void **state)
{
    static const struct {
        const char *text;
        uint16_t port;
    } rows[] = { { "10.0.0.1:1", 1 }, { "[2001:db8::1]:24224", 24224 }, { "unix:/x", 0 } };
    struct address address;
    struct socket_address to;
    struct fault fault;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_true(address_parse(&address, rows[i].text, &fault));
        assert_true(address_to_socket(&address, &to));
        assert_int_equal(socket_address_port(&to), rows[i].port);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepts_hosts_and_ports),
        cmocka_unit_test(test_services_are_accepted_for_upstreams_only),
        cmocka_unit_test(test_names_from_dns_are_checked),
        cmocka_unit_test(test_refuses_bad_ports),
        cmocka_unit_test(test_port_0_is_for_listeners),
        cmocka_unit_test(test_a_password_is_not_shown),
        cmocka_unit_test(test_refuses_missing_parts),
        cmocka_unit_test(test_refuses_bad_hosts),
        cmocka_unit_test(test_refuses_long_hosts),
        cmocka_unit_test(test_urls_of_tcp_and_unix_are_addresses),
        cmocka_unit_test(test_other_urls_are_refused),
        cmocka_unit_test(test_unix_paths),
        cmocka_unit_test(test_conversion_to_sockets_and_back),
        cmocka_unit_test(test_v4_mapped_addresses_are_ipv4),
        cmocka_unit_test(test_socket_lengths),
        cmocka_unit_test(test_format_of_unusual_addresses),
        cmocka_unit_test(test_ports),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
