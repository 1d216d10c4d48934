/* Which protocol a peer speaks, told from its first bytes. Pure.
 *
 * husk uses it to describe a failure, and to tell an aggregator that acknowledges nothing from a program that
 * takes no Forward messages (delivery/peer_acks.h). */
#ifndef HUSK_WIRE_SPOKEN_H
#define HUSK_WIRE_SPOKEN_H

#include <stddef.h>
#include <stdint.h>

enum spoken {
    SPOKEN_NOTHING,       /* the peer has sent no byte */
    SPOKEN_UNCLEAR,       /* too few bytes to tell */
    SPOKEN_TLS,           /* a record with a handshake message or an alert (RFC 8446, 5.1) */
    SPOKEN_HELO,          /* Forward: an aggregator that asks for a shared key */
    SPOKEN_FORWARD,       /* Forward: a message, or the nil that is a heartbeat */
    SPOKEN_PING,          /* Forward: an agent in the shared-key handshake */
    SPOKEN_ACK,           /* Forward: the answer of an aggregator */
    SPOKEN_LINK,          /* a frame between two husks (docs/link.md) */
    SPOKEN_HTTP_REQUEST,  /* RFC 9112 and the preface of HTTP/2 (RFC 9113, 3.4) */
    SPOKEN_HTTP_RESPONSE, /* RFC 9112 */
    SPOKEN_JSON,
    SPOKEN_PROXY,  /* the header of the PROXY protocol, version 1 or 2 (HAProxy, proxy-protocol.txt) */
    SPOKEN_SYSLOG, /* RFC 5424 and RFC 3164, with or without a length before the message (RFC 6587) */
    SPOKEN_SSH,    /* RFC 4253, 4.2 */
    SPOKEN_OTHER,
    SPOKEN_COUNT
};

/* More bytes never change the answer. */
enum { SPOKEN_BYTES_MAX = 20 };

/* What a stream that begins with these bytes speaks. SPOKEN_UNCLEAR: ask again with more bytes. */
enum spoken spoken_of(const uint8_t *bytes, size_t length);

/* The name in log fields, e.g. "http_request". */
const char *spoken_name(enum spoken spoken);

#endif
