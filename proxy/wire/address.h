/* Addresses as people write them and as sockets take them. Pure: resolves nothing, opens nothing.
 *
 * `host:port`, `[v6]:port`, `unix:PATH` or `unix:@NAME` (Linux's abstract sockets). An empty host or `*`
 * means all addresses of this machine and is read as `::`: listeners take IPv4 on it too. What is dialled may
 * also be `srv+NAME`: the hosts and ports that NAME's SRV records tell (RFC 2782). */
#ifndef HUSK_WIRE_ADDRESS_H
#define HUSK_WIRE_ADDRESS_H

#include "base/fault.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { ADDRESS_HOST_BYTES = 256, ADDRESS_TEXT_BYTES = 300 };

/* An address as written. */
struct address {
    bool is_unix;
    bool is_srv;                   /* host is the owner of SRV records; port is 0 */
    char host[ADDRESS_HOST_BYTES]; /* DNS name, IP address without brackets, or the Unix socket's path or
                                      @name */
    uint16_t port;                 /* 0 for Unix sockets */
};

/* An address as a socket takes it. */
struct socket_address {
    struct sockaddr_storage storage;
    socklen_t length;
};

/* Reads `text`. Port 0 is accepted (listeners: any free port); IPv6 zones are not. On failure the fault says
 * what was expected and *address is left alone. */
MUST_CHECK bool address_parse(struct address *address, const char *text, struct fault *fault);

/* The same for what is dialled: `srv+NAME` too. NAME is the whole owner name, as in
 * `srv+_fluent._tcp.logs.example.com`. */
MUST_CHECK bool address_parse_upstream(struct address *address, const char *text, struct fault *fault);

/* An address from a DNS name and a port that were told by somebody else. False when `name` is none, or is an
 * IP address; *address is left alone then. */
MUST_CHECK bool address_from_name(struct address *address, const char *name, uint16_t port);

/* True when the host is an IP address, `localhost` (taken as 127.0.0.1) or a Unix path: then no DNS is
 * needed, and *to is filled. */
bool address_to_socket(const struct address *address, struct socket_address *to);

/* The numeric form with a port: "127.0.0.1:24224", "[::1]:24224", "unix:/run/x.sock" ("unix:" when unnamed).
 * An IPv4 peer of a `::` listener (v4-mapped) is written as IPv4. Cut to `size`; ADDRESS_TEXT_BYTES suffice.
 */
void socket_address_format(const struct socket_address *address, char *text, size_t size);

/* The port; 0 when there is none, as for a Unix address. */
uint16_t socket_address_port(const struct socket_address *address);

/* The same, byte for byte. */
bool socket_address_equal(const struct socket_address *a, const struct socket_address *b);

/* A Unix address has no port and stays as it is. */
void socket_address_set_port(struct socket_address *address, uint16_t port);

/* Reachable from this machine only: 127.0.0.0/8, ::1 (also v4-mapped) or a Unix socket. */
bool socket_address_is_local(const struct socket_address *address);

#endif
