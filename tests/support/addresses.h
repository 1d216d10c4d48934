/* Addresses for tests, from what is written. */
#ifndef HUSK_TESTS_SUPPORT_ADDRESSES_H
#define HUSK_TESTS_SUPPORT_ADDRESSES_H

#include "wire/address.h"

/* `text` as address_parse takes it, without DNS. */
struct socket_address address_of(const char *text);
/* That port of 127.0.0.1. */
struct socket_address address_at(uint16_t port);

#endif
