/* A received Forward message: its tag, its events, its chunk id.
 *
 * Built on msgpack-c, for the tools: the proxy's data path has its own scanner. Owns nothing: everything here
 * is borrowed from the object that was read. Knows no sockets and no JSON. */
#ifndef HUSK_COMMANDS_FORWARD_MESSAGE_H
#define HUSK_COMMANDS_FORWARD_MESSAGE_H

#include "base/fault.h"

#include <msgpack.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum forward_signal { FORWARD_LOGS, FORWARD_METRICS, FORWARD_TRACES }; /* option `fluent_signal` */

struct forward_message {
    msgpack_object tag;         /* str or bin */
    msgpack_object body;        /* Message: the time; Forward: array of entries; otherwise str or bin */
    msgpack_object record;      /* Message only, otherwise nil */
    msgpack_object chunk;       /* the chunk id, str or bin; nil: the agent wants no ack */
    enum forward_signal signal; /* what is no log is opaque: one event per packed object */
    bool is_gzip;
};

/* Everything that is absent is nil. */
struct forward_event {
    msgpack_object tag;
    msgpack_object time;     /* EventTime, integer or float; nil when the signal is not logs */
    msgpack_object metadata; /* a map that is not empty (Fluent Bit 5), or nil */
    msgpack_object record;   /* a map; anything when the signal is not logs */
    enum forward_signal signal;
};

/* The fault says in what way `object` is no Forward message. */
MUST_CHECK bool forward_message_read(struct forward_message *message, const msgpack_object *object,
                                     struct fault *fault);

/* Calls `visit` for every event, in order; what it gets is valid during the call. On a fault, events before
 * the broken one have been visited. A compressed body may inflate to at most `limit` bytes. */
typedef void forward_event_visitor(void *target, const struct forward_event *event);
MUST_CHECK bool forward_message_visit(const struct forward_message *message, size_t limit,
                                      forward_event_visitor *visit, void *target, struct fault *fault);

/* True when a str or bin holds exactly `text`. */
bool forward_text_equals(const msgpack_object *object, const char *text);

/* The two halves of an EventTime (ext type 0, 8 bytes, big-endian); false when it is none. */
bool forward_event_time(const msgpack_object *object, uint32_t *seconds, uint32_t *nanoseconds);

#endif
