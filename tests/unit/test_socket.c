/* proxy/wire/socket.c: which congestion control a connection gets; who may connect to a Unix socket. */
#include "wire/socket.h"

#include "support/addresses.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_BYTES = 16 /* TCP_CA_NAME_MAX */, WAIT_MS = 10000 };

struct name {
    char text[NAME_BYTES];
};

static struct name congestion_control(int fd)
{
    struct name name = { "" };
    socklen_t size = sizeof name.text;

    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name.text, &size), 0);
    return name;
}

static struct name system_default(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct name name = congestion_control(fd);

    close(fd);
    return name;
}

static int listen_at(const char *text)
{
    struct socket_address address = addresses_parse(text);
    struct fault fault;
    int fd = socket_listen(&address, SOCKET_EXCLUSIVE, NULL, &fault);

    assert_true(fd >= 0);
    return fd;
}

static void connections_within_the_machine_use_reno(void **state)
{
    enum end_reason reason = END_NONE;
    int listener = listen_at("127.0.0.1:0");
    struct socket_address address = socket_local_address(listener);
    int dialled = socket_connect(&address, 0, &reason);
    struct pollfd arrival = { .fd = listener, .events = POLLIN };

    (void)state;
    assert_true(dialled >= 0);
    assert_string_equal(congestion_control(dialled).text, "reno");
    assert_int_equal(poll(&arrival, 1, WAIT_MS), 1);
    int accepted = accept(listener, NULL, NULL);
    assert_true(accepted >= 0);
    assert_string_equal(congestion_control(accepted).text, "reno");
    close(accepted);
    close(dialled);
    close(listener);
}

static void other_connections_use_the_system_default(void **state)
{
    int listener = listen_at("0.0.0.0:0");

    (void)state;
    if (!strcmp(system_default().text, "reno"))
        skip(); /* the system default is reno: no difference to see */
    assert_string_equal(congestion_control(listener).text, system_default().text);
    close(listener);
}

/* ---- Unix sockets ---- */

struct place {
    char directory[32], path[64];
    struct socket_address address;
};

static void place_make(struct place *place)
{
    char text[80];

    snprintf(place->directory, sizeof place->directory, "/tmp/husk-socket-XXXXXX");
    assert_non_null(mkdtemp(place->directory));
    snprintf(place->path, sizeof place->path, "%s/agents", place->directory);
    snprintf(text, sizeof text, "unix:%s", place->path);
    place->address = addresses_parse(text);
}

static void place_remove(struct place *place)
{
    unlink(place->path);
    assert_int_equal(rmdir(place->directory), 0);
}

static mode_t access_of(const char *path)
{
    struct stat facts;

    assert_int_equal(stat(path, &facts), 0);
    return facts.st_mode & 0777;
}

static void expect_fault(const struct place *place, const struct socket_access *access, const char *why)
{
    char expected[FAULT_TEXT_BYTES];
    struct fault fault;

    assert_int_equal(socket_listen(&place->address, SOCKET_EXCLUSIVE, access, &fault), -1);
    snprintf(expected, sizeof expected, "cannot listen on unix:%s: %s", place->path, why);
    assert_string_equal(fault.text, expected);
}

static void a_unix_socket_has_the_mode_and_group_that_were_asked_for(void **state)
{
    static const mode_t modes[] = { 0666, 0660, 0600, 0777, 0 };
    const gid_t group = geteuid() == 0 ? 12345 : getegid();

    (void)state;
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        const struct socket_access access = { .mode = modes[i], .group = group };
        struct place place;
        struct stat facts;
        struct fault fault;
        mode_t before = umask(027), after;

        place_make(&place);
        int fd = socket_listen(&place.address, SOCKET_EXCLUSIVE, &access, &fault);
        after = umask(before);
        assert_true(fd >= 0);
        assert_int_equal(after, 027); /* the umask is as it was */
        assert_int_equal(access_of(place.path), modes[i]);
        assert_int_equal(stat(place.path, &facts), 0);
        assert_int_equal(facts.st_gid, group);
        close(fd);
        place_remove(&place);
    }
}

static void without_access_rights_the_umask_decides(void **state)
{
    struct place place;
    struct fault fault;
    mode_t before = umask(027);

    (void)state;
    place_make(&place);
    int fd = socket_listen(&place.address, SOCKET_EXCLUSIVE, NULL, &fault);
    umask(before);
    assert_true(fd >= 0);
    assert_int_equal(access_of(place.path), 0750);
    close(fd);
    place_remove(&place);
}

static void the_socket_file_of_a_dead_process_is_replaced(void **state)
{
    const struct socket_access access = { .mode = 0666, .group = SOCKET_GROUP_KEPT };
    struct place place;
    struct fault fault;

    (void)state;
    place_make(&place);
    int dead = socket_listen(&place.address, SOCKET_EXCLUSIVE, &access, &fault);
    assert_true(dead >= 0);
    expect_fault(&place, &access, "Address already in use");
    close(dead);
    int fd = socket_listen(&place.address, SOCKET_EXCLUSIVE, &access, &fault);
    assert_true(fd >= 0);
    close(fd);
    place_remove(&place);
}

/* On ext4 the file of the successor often gets the same inode number: here only the time differs. */
static void the_socket_file_of_a_successor_is_kept(void **state)
{
    const struct timespec later[2] = { { .tv_sec = 4102444800 }, { .tv_sec = 4102444800 } };
    struct place place;
    struct fault fault;

    (void)state;
    place_make(&place);
    int fd = socket_listen(&place.address, SOCKET_EXCLUSIVE, NULL, &fault);
    assert_true(fd >= 0);
    struct socket_file own = socket_file_of(&place.address);
    assert_int_equal(utimensat(AT_FDCWD, place.path, later, 0), 0);
    socket_file_remove(&own, &place.address);
    assert_int_equal(access(place.path, F_OK), 0);
    own = socket_file_of(&place.address);
    socket_file_remove(&own, &place.address);
    assert_int_equal(access(place.path, F_OK), -1);
    close(fd);
    place_remove(&place);
}

static void a_failure_to_listen_on_a_unix_socket_is_named(void **state)
{
    const struct socket_access access = { .mode = 0666, .group = SOCKET_GROUP_KEPT };
    struct place place;

    (void)state;
    place_make(&place);
    int file = open(place.path, O_CREAT | O_WRONLY, 0600);
    assert_true(file >= 0);
    close(file);
    expect_fault(&place, &access, "a file that is no socket has this name");
    assert_int_equal(access_of(place.path), 0600); /* unchanged */
    place_remove(&place);
    expect_fault(&place, &access, "the directory does not exist");
}

static void a_group_that_cannot_be_given_leaves_no_file(void **state)
{
    const struct socket_access access = { .mode = 0660, .group = 12345 };
    struct place place;
    struct stat facts;

    (void)state;
    place_make(&place);
    if (geteuid() == 0) {
        assert_int_equal(chmod(place.directory, 0777), 0);
        assert_int_equal(setresuid(-1, 65534, -1), 0);
    }
    expect_fault(&place, &access, "this user may not give files to that group");
    if (getuid() == 0)
        assert_int_equal(setresuid(-1, 0, -1), 0);
    assert_int_equal(stat(place.path, &facts), -1);
    place_remove(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_within_the_machine_use_reno),
        cmocka_unit_test(other_connections_use_the_system_default),
        cmocka_unit_test(a_unix_socket_has_the_mode_and_group_that_were_asked_for),
        cmocka_unit_test(without_access_rights_the_umask_decides),
        cmocka_unit_test(the_socket_file_of_a_dead_process_is_replaced),
        cmocka_unit_test(the_socket_file_of_a_successor_is_kept),
        cmocka_unit_test(a_failure_to_listen_on_a_unix_socket_is_named),
        cmocka_unit_test(a_group_that_cannot_be_given_leaves_no_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
