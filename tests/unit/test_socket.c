/* proxy/wire/socket.c: which congestion control a connection gets. */
#include "wire/socket.h"

#include "support/addresses.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
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
    int fd = socket_listen(&address, SOCKET_EXCLUSIVE, &fault);

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_within_the_machine_use_reno),
        cmocka_unit_test(other_connections_use_the_system_default),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
