/* Name servers as users write them. Pure. */
#ifndef HUSK_CONFIG_NAME_SERVER_H
#define HUSK_CONFIG_NAME_SERVER_H

#include <stdbool.h>
#include <stddef.h>

/* Whether a word is `IPv4`, `IPv4:port`, `IPv6` or `[IPv6]:port`; the port is from 1 to 65535. An IPv6
 * address may have a zone: `fe80::1%eth0`. `word` needs no terminator. */
bool name_server_is_good(const char *word, size_t length);

#endif
