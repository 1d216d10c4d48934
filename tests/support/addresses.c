#include "support/addresses.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

struct socket_address addresses_parse(const char *text)
{
    struct address written;
    struct socket_address address;
    struct fault fault;

    memset(&address, 0, sizeof address);
    assert_true(address_parse(&written, text, &fault));
    assert_true(address_to_socket(&written, &address));
    return address;
}

struct socket_address addresses_at_port(uint16_t port)
{
    char text[ADDRESS_TEXT_BYTES];

    snprintf(text, sizeof text, "127.0.0.1:%u", port);
    return addresses_parse(text);
}
