/* proxy/worker/listening.c: which sockets are opened for which worker, and what remains of them. */
#include "worker/listening.h"

#include "support/addresses.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WORKERS = 3, PATH_BYTES = 64 };

struct place {
    char directory[32], path[PATH_BYTES];
};

static void place_make(struct place *place)
{
    snprintf(place->directory, sizeof place->directory, "/tmp/husk-listening-XXXXXX");
    assert_non_null(mkdtemp(place->directory));
    snprintf(place->path, sizeof place->path, "%s/agents", place->directory);
}

static void place_remove(const struct place *place)
{
    assert_int_equal(rmdir(place->directory), 0); /* fails if a socket file is left */
}

static void add(struct listening_options *options, const char *text)
{
    options->addresses[options->count++] = (struct listening_address) {
        .address = addresses_parse(text),
        .access = { .mode = 0640, .group = SOCKET_GROUP_KEPT },
    };
}

static void add_path(struct listening_options *options, const struct place *place)
{
    char text[PATH_BYTES + 8];

    snprintf(text, sizeof text, "unix:%s", place->path);
    add(options, text);
}

static bool can_connect(const struct socket_address *address)
{
    enum end_reason reason = END_NONE;
    int fd = socket_connect(address, 0, &reason);

    if (fd < 0)
        return false;
    close(fd);
    return true;
}

static void fds_close(const struct listener_fds *fds)
{
    for (unsigned i = 0; i < fds->count; i++)
        close(fds->items[i]);
}

static void each_worker_gets_a_socket_of_each_address(void **state)
{
    struct listening_options options = { .count = 0 };
    struct listening listening;
    struct place place;
    struct fault fault;
    struct stat facts;

    (void)state;
    place_make(&place);
    add(&options, "127.0.0.1:0");
    add_path(&options, &place);
    add(&options, "[::1]:0");
    assert_true(listening_open(&listening, &options, WORKERS, &fault));
    assert_int_equal(listening.count, 3);
    assert_int_equal(stat(place.path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0640);
    for (unsigned worker = 0; worker < WORKERS; worker++) {
        const struct listener_fds fds = listening_take(&listening, worker);
        assert_int_equal(fds.count, 3);
        for (unsigned i = 0; i < fds.count; i++) {
            const struct socket_address bound = socket_local_address(fds.items[i]);
            assert_true(socket_address_equal(&bound, &listening.sockets[i].address));
            assert_true(socket_address_path(&bound) || socket_address_port(&bound));
        }
        assert_int_equal(listening_take(&listening, worker).count, 0);
        fds_close(&fds);
    }
    listening_close(&listening);
    place_remove(&place);
}

static void closing_ends_what_no_worker_took(void **state)
{
    struct listening_options options = { .count = 0 };
    struct listening listening;
    struct place place;
    struct fault fault;

    (void)state;
    place_make(&place);
    add(&options, "127.0.0.1:0");
    add_path(&options, &place);
    assert_true(listening_open(&listening, &options, WORKERS, &fault));
    const struct socket_address unix_address = listening.sockets[1].address;
    assert_true(can_connect(&unix_address));
    listening_close(&listening);
    assert_false(can_connect(&unix_address));
    listening_close(&listening); /* does nothing */
    place_remove(&place);
}

static void one_address_that_fails_leaves_nothing_behind(void **state)
{
    struct listening_options first_options = { .count = 0 }, options = { .count = 0 };
    struct listening first, listening;
    struct place place;
    struct fault fault;
    char text[ADDRESS_TEXT_BYTES], expected[FAULT_TEXT_BYTES];

    (void)state;
    place_make(&place);
    add(&first_options, "127.0.0.1:0");
    assert_true(listening_open(&first, &first_options, 1, &fault));
    socket_address_format(&first.sockets[0].address, text, sizeof text);
    add_path(&options, &place);
    add(&options, text);
    for (unsigned workers = 1; workers <= WORKERS; workers++) {
        assert_false(listening_open(&listening, &options, workers, &fault));
        snprintf(expected, sizeof expected, "cannot listen on %s: Address already in use", text);
        assert_string_equal(fault.text, expected);
        listening_close(&listening);
    }
    listening_close(&first);
    place_remove(&place);
}

static void an_address_that_stays_keeps_its_descriptors(void **state)
{
    struct listening_options options = { .count = 0 }, changed = { .count = 0 };
    struct listener_fds first[WORKERS], removed[WORKERS];
    struct listening listening;
    struct place place, other;
    struct fault fault;
    struct stat facts;

    (void)state;
    place_make(&place);
    place_make(&other);
    add(&options, "127.0.0.1:0");
    add_path(&options, &place);
    add(&options, "[::1]:0");
    assert_true(listening_open(&listening, &options, WORKERS, &fault));
    for (unsigned worker = 0; worker < WORKERS; worker++)
        first[worker] = listening_take(&listening, worker);
    const struct socket_address kept = listening.sockets[2].address;

    add(&changed, "[::1]:0");
    add_path(&changed, &other);
    add_path(&changed, &place);
    changed.addresses[2].access.mode = 0600;
    assert_true(listening_change(&listening, &changed, removed, &fault));
    assert_int_equal(listening.count, 3);
    assert_true(socket_address_equal(&listening.sockets[0].address, &kept));
    assert_int_equal(stat(place.path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0600);
    for (unsigned worker = 0; worker < WORKERS; worker++) {
        const struct listener_fds added = listening_take(&listening, worker);
        assert_int_equal(removed[worker].count, 1); /* that of 127.0.0.1 */
        assert_int_equal(removed[worker].items[0], first[worker].items[0]);
        assert_int_equal(added.count, 1);
        fds_close(&added);
        fds_close(&first[worker]);
    }
    listening_close(&listening);
    place_remove(&place);
    place_remove(&other);
}

static void a_change_that_fails_changes_no_address(void **state)
{
    struct listening_options options = { .count = 0 }, changed = { .count = 0 };
    struct listener_fds removed[1];
    struct listening listening;
    struct place place;
    struct fault fault;
    struct stat facts;

    (void)state;
    place_make(&place);
    add(&options, "127.0.0.1:0");
    assert_true(listening_open(&listening, &options, 1, &fault));
    const struct socket_address address = listening.sockets[0].address;
    add_path(&changed, &place);
    add(&changed, "unix:/nonexistent/agents");
    assert_false(listening_change(&listening, &changed, removed, &fault));
    assert_string_equal(fault.text,
                        "cannot listen on unix:/nonexistent/agents: the directory does not exist");
    assert_int_equal(listening.count, 1);
    assert_true(can_connect(&address));
    assert_int_equal(stat(place.path, &facts), -1);
    listening_close(&listening);
    place_remove(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_worker_gets_a_socket_of_each_address),
        cmocka_unit_test(closing_ends_what_no_worker_took),
        cmocka_unit_test(one_address_that_fails_leaves_nothing_behind),
        cmocka_unit_test(an_address_that_stays_keeps_its_descriptors),
        cmocka_unit_test(a_change_that_fails_changes_no_address),
    };

    return cmocka_run_group_tests_name("listening", tests, NULL, NULL);
}
