/* proxy/wire/inherited.c: what the variables say, and which socket is for which address. */
#include "wire/inherited.h"

#include "support/addresses.h"
#include "wire/socket.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PID = 4711 };

/* ---- variables ---- */

static void the_variables_are_for_one_process(void **state)
{
    static const struct {
        struct inherited_variables variables;
        int count; /* -1: a fault */
    } cases[] = {
        { { "4711", "2", "a:b" }, 2 },     { { "4711", "0", NULL }, 0 },
        { { "4712", "2", NULL }, 0 },      { { NULL, "2", NULL }, 0 },
        { { "4711", NULL, NULL }, 0 },     { { "4712", "many", NULL }, 0 },
        { { "", "2", NULL }, -1 },         { { "4711 ", "2", NULL }, -1 },
        { { "-4711", "2", NULL }, -1 },    { { "4711", "", NULL }, -1 },
        { { "4711", "2x", NULL }, -1 },    { { "4711", "-1", NULL }, -1 },
        { { "4711", "65537", NULL }, -1 }, { { "4711", "99999999999999999999", NULL }, -1 },
    };
    unsigned count;
    struct fault fault;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool is_good = inherited_count(&cases[i].variables, PID, &count, &fault);
        assert_int_equal(is_good ? (int)count : -1, cases[i].count);
    }
}

/* ---- names ---- */

static void a_name_has_the_route_and_the_address(void **state)
{
    static const char *const cases[][2] = {
        { "127.0.0.1:24224", "logs/127.0.0.1,24224" },
        { "[::1]:0", "logs/[,,1],0" },
        { "unix:/run/a", "logs/unix,/run/a" },
        { "unix:@a", "logs/unix,@a" },
    };
    char name[INHERITED_NAME_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct socket_address address = addresses_parse(cases[i][0]);
        inherited_name(name, "logs", &address, &(struct inherited_origin) { .is_from_husk = true });
        assert_string_equal(name, cases[i][1]);
        inherited_name(name, "logs", &address,
                       &(struct inherited_origin) { .is_from_husk = true, .is_own_file = true });
        assert_int_equal(name[0], '+');
        assert_string_equal(name + 1, cases[i][1]);
        inherited_name(name, "logs", &address, &(struct inherited_origin) { .is_from_husk = false });
        assert_int_equal(name[0], '=');
        assert_string_equal(name + 1, cases[i][1]);
    }
}

/* ---- taking ---- */

static struct inherited_socket socket_at(const char *address, const char *name)
{
    return (struct inherited_socket) { .fd = dup(STDIN_FILENO),
                                       .name = name,
                                       .address = addresses_parse(address) };
}

static int take(struct inherited *inherited, const char *address, struct inherited_origin *origin)
{
    const struct socket_address asked = addresses_parse(address);
    int fd = inherited_take(inherited, "logs", &asked, origin);

    if (fd >= 0)
        close(fd);
    return fd;
}

static void a_socket_is_for_its_address(void **state)
{
    struct inherited_socket items[] = {
        socket_at("127.0.0.1:1000", "unknown"),
        socket_at("127.0.0.1:1001", "logs/127.0.0.1,0"),
        socket_at("unix:/", "+logs/unix,/"), /* the file is there */
        socket_at("127.0.0.1:1001", "logs/127.0.0.1,0"),
    };
    struct inherited inherited = { .items = items, .count = 4 };
    struct inherited_origin origin;
    int fds[4];

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        fds[i] = items[i].fd;
    assert_int_equal(take(&inherited, "127.0.0.1:1002", &origin), -1);
    assert_int_equal(take(&inherited, "[::1]:0", &origin), -1);
    assert_int_equal(take(&inherited, "127.0.0.1:1000", &origin), fds[0]);
    assert_false(origin.is_from_husk);
    assert_int_equal(take(&inherited, "127.0.0.1:1000", &origin), -1);
    assert_int_equal(take(&inherited, "127.0.0.1:0", &origin), fds[1]);
    assert_true(origin.is_from_husk && !origin.is_own_file);
    int next = inherited_take_next(&inherited, &items[1].address);
    assert_int_equal(next, fds[3]);
    close(next);
    assert_int_equal(inherited_take_next(&inherited, &items[1].address), -1);
    assert_int_equal(take(&inherited, "unix:/", &origin), fds[2]);
    assert_true(origin.is_from_husk && origin.is_own_file);
}

static void a_unix_socket_whose_file_is_missing_is_closed(void **state)
{
    struct inherited_socket items[] = {
        socket_at("unix:/no/such/file", "+logs/unix,/no/such/file"),
        socket_at("unix:/no/such/file", "+logs/unix,/no/such/file"),
        socket_at("unix:@no-file", "logs/unix,@no-file"),
    };
    struct inherited inherited = { .items = items, .count = 3 };
    struct inherited_origin origin;
    int fds[] = { items[0].fd, items[1].fd, items[2].fd };

    (void)state;
    assert_int_equal(take(&inherited, "unix:/no/such/file", &origin), -1);
    for (unsigned i = 0; i < 2; i++)
        assert_true(items[i].fd == -1 && fcntl(fds[i], F_GETFD) == -1);
    assert_int_equal(take(&inherited, "unix:@no-file", &origin), fds[2]);
}

static void a_unix_socket_of_a_service_manager_needs_no_file(void **state)
{
    struct inherited_socket items[] = {
        socket_at("unix:/no/such/file", "husk.socket"),
        socket_at("unix:/no/such/file", "=logs/unix,/no/such/file"), /* a husk before has had it */
    };
    struct inherited inherited = { .items = items, .count = 2 };
    struct inherited_origin origin;
    int fd = items[0].fd;

    (void)state;
    assert_int_equal(take(&inherited, "unix:/no/such/file", &origin), fd);
    assert_false(origin.is_from_husk || origin.is_own_file);
    assert_int_equal(take(&inherited, "unix:/no/such/file", &origin), -1);
}

static void the_origin_survives_another_takeover(void **state)
{
    struct inherited_socket item = socket_at("127.0.0.1:1001", "=logs/127.0.0.1,0");
    struct inherited inherited = { .items = &item, .count = 1 };
    struct inherited_origin origin;
    int fd = item.fd;

    (void)state;
    assert_string_equal(inherited_plain_name(&item), "logs/127.0.0.1,0");
    assert_int_equal(take(&inherited, "127.0.0.1:0", &origin), fd);
    assert_false(origin.is_from_husk || origin.is_own_file);
}

static void an_unfit_socket_is_for_no_address(void **state)
{
    struct inherited_socket item = socket_at("127.0.0.1:1000", "/channel");
    struct inherited inherited = { .items = &item, .count = 1 };
    struct inherited_origin origin;

    (void)state;
    item.unfit = "it is a connection";
    assert_int_equal(take(&inherited, "127.0.0.1:1000", &origin), -1);
    assert_int_equal(inherited_take_named(&inherited, "channel"), -1);
    int fd = inherited_take_named(&inherited, "/channel");
    assert_true(fd >= 0 && !item.unfit);
    close(fd);
    assert_int_equal(inherited_take_named(&inherited, "/channel"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_variables_are_for_one_process),
        cmocka_unit_test(a_name_has_the_route_and_the_address),
        cmocka_unit_test(a_socket_is_for_its_address),
        cmocka_unit_test(a_unix_socket_whose_file_is_missing_is_closed),
        cmocka_unit_test(a_unix_socket_of_a_service_manager_needs_no_file),
        cmocka_unit_test(the_origin_survives_another_takeover),
        cmocka_unit_test(an_unfit_socket_is_for_no_address),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
