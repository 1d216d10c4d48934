/* Socket addresses for unit tests. A text or port that cannot be converted fails the test. */
#ifndef HUSK_TESTS_SUPPORT_ADDRESSES_H
#define HUSK_TESTS_SUPPORT_ADDRESSES_H

#include "wire/address.h"

/* `text`: as address_parse takes it, but without a name that needs DNS. */
struct socket_address addresses_parse(const char *text);
/* 127.0.0.1 with this port. */
struct socket_address addresses_at_port(uint16_t port);

#endif
