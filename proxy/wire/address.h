/* Addresses as text and as socket addresses. Pure: resolves nothing, opens nothing.
 *
 * Forms: `host:port`, `[v6]:port`, `unix:PATH` and `unix:@NAME` (a Linux abstract socket). The URLs
 * `tcp://host:port` and `unix:///PATH`, which Docker uses, mean the same. An empty host or `*` means all
 * addresses of this machine and is read as `::`, on which listeners accept IPv4 too. An upstream address may
 * also be `srv+NAME`: the hosts and ports in the SRV records of NAME (RFC 2782). */
#ifndef HUSK_WIRE_ADDRESS_H
#define HUSK_WIRE_ADDRESS_H

#include "base/fault.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { ADDRESS_HOST_BYTES = 256, ADDRESS_TEXT_BYTES = 300 };

/* An address as a user writes it. */
struct address {
    bool is_unix;
    bool is_srv;                   /* host is the owner name of SRV records; port is 0 */
    char host[ADDRESS_HOST_BYTES]; /* DNS name, IP address without brackets, Unix socket path, or @name */
    uint16_t port;                 /* 0 for Unix sockets */
};

/* An address as the socket calls take it. */
struct socket_address {
    struct sockaddr_storage storage;
    socklen_t length;
};

/* Parses `text`. Accepts port 0 (for a listener: any free port), rejects IPv6 zones. On failure the fault
 * says what was expected, and shows no password (user:password@host); *address is unchanged. */
MUST_CHECK bool address_parse(struct address *address, const char *text, struct fault *fault);

/* Like address_parse, for an address that husk dials: refuses port 0. */
MUST_CHECK bool address_parse_dialled(struct address *address, const char *text, struct fault *fault);

/* Like address_parse_dialled, and accepts `srv+NAME` too. NAME is the whole owner name, as in
 * `srv+_fluent._tcp.logs.example.com`. */
MUST_CHECK bool address_parse_upstream(struct address *address, const char *text, struct fault *fault);

/* Makes an address from a DNS name and a port, as an SRV record has them. False if `name` is not a DNS name
 * or is an IP address; *address is unchanged then. */
MUST_CHECK bool address_from_name(struct address *address, const char *name, uint16_t port);

/* Fills *to with the IPv4 or IPv6 address of `ip` and with `port`; flow and scope are left out. A v4-mapped
 * IPv6 address (RFC 4291, 2.5.5.2) becomes the IPv4 address: both lead to the same place. False for other
 * families. */
MUST_CHECK bool socket_address_from_ip(struct socket_address *to, const struct sockaddr *ip, uint16_t port);

/* True when no DNS is needed, and *to is filled: the host is an IP address, `localhost` (taken as 127.0.0.1)
 * or a Unix socket. A v4-mapped address becomes the IPv4 address. */
bool address_to_socket(const struct address *address, struct socket_address *to);

/* Writes the numeric form with the port: "127.0.0.1:24224", "[::1]:24224", "unix:/run/x.sock" ("unix:" for an
 * unnamed socket). An IPv4 peer of a `::` listener (v4-mapped) is written as IPv4. Cuts the text to `size`;
 * ADDRESS_TEXT_BYTES are always enough. */
void socket_address_format(const struct socket_address *address, char *text, size_t size);

/* The port; 0 for an address without a port, such as a Unix address. */
uint16_t socket_address_port(const struct socket_address *address);

/* Whether it stands for all addresses of the machine: 0.0.0.0, or ::, which takes IPv4, too. */
bool socket_address_is_any(const struct socket_address *address);
/* The path of the file of a Unix address, borrowed; NULL for an abstract name and for other address families.
 */
const char *socket_address_path(const struct socket_address *address);

/* True when both are the same, byte for byte. */
bool socket_address_equal(const struct socket_address *a, const struct socket_address *b);

/* True when only this machine can reach the address: 127.0.0.0/8, ::1 (also v4-mapped), a Unix socket. */
bool socket_address_is_local(const struct socket_address *address);

#endif
