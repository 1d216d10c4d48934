/* One call of a gRPC method that answers with a stream of messages (gRPC over HTTP/2, PROTOCOL-HTTP2.md), as
 * bytes in and bytes out. Knows HTTP/2 and the frames of gRPC; knows nothing of sockets, loops and what
 * messages mean.
 *
 * The request is an empty message. Messages are never compressed, because husk offers no compression.
 * Messages may have secrets: what is buffered is wiped. */
#ifndef HUSK_CONTROL_GRPC_CALL_H
#define HUSK_CONTROL_GRPC_CALL_H

#include "base/fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct grpc_call;

/* The code of gRPC that husk distinguishes. */
enum { GRPC_PERMISSION_DENIED = 7 };

struct grpc_call_options {
    const char *path;         /* "/SpiffeWorkloadAPI/FetchX509SVID"; borrowed */
    const char *metadata_key; /* a header of the request, and its value; borrowed */
    const char *metadata_value;
    size_t message_bytes_max;                                       /* a longer message ends the call */
    void (*on_message)(void *owner, uint8_t *bytes, size_t length); /* takes the bytes: wipe and free them */
    void *owner;
};

/* Copies the options. NULL: out of memory, or husk is built without HTTP/2. */
struct grpc_call *grpc_call_new(const struct grpc_call_options *options);
/* NULL is fine. Not from on_message. */
void grpc_call_free(struct grpc_call *call);

/* Takes bytes from the server. False: the call has ended; grpc_call_end says why. */
MUST_CHECK bool grpc_call_receive(struct grpc_call *call, const uint8_t *bytes, size_t length);

/* The next bytes for the server, valid until the next call of a function; 0: none. */
size_t grpc_call_send(struct grpc_call *call, const uint8_t **bytes);

/* How the call has ended. */
struct grpc_end {
    int code;          /* of gRPC; -1: the server gave none */
    struct fault text; /* "PERMISSION_DENIED: no identity issued", or what is wrong with the server's bytes */
};

/* NULL: the call has not ended. Borrowed. */
const struct grpc_end *grpc_call_end(const struct grpc_call *call);

#endif
