/* Reads a received Forward message: its tag, its events, its chunk id.
 *
 * Built on msgpack-c, for the tools: the data path of the proxy has its own scanner. Owns nothing: everything
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
    msgpack_object body;        /* mode Message: the time; Forward: an array of entries; else str or bin */
    msgpack_object record;      /* mode Message only, else nil */
    msgpack_object chunk;       /* the chunk id, str or bin; nil: the agent requests no ack */
    enum forward_signal signal; /* metrics and traces are opaque: one event per packed object */
    bool is_gzip;
};

/* Absent members are nil. */
struct forward_event {
    msgpack_object tag;
    msgpack_object time;     /* EventTime, integer or float; nil if the signal is not logs */
    msgpack_object metadata; /* a non-empty map (Fluent Bit 5), or nil */
    msgpack_object record;   /* a map; any value if the signal is not logs */
    enum forward_signal signal;
};

/* Fails if `object` is not a Forward message; the fault says why. */
MUST_CHECK bool forward_message_read(struct forward_message *message, const msgpack_object *object,
                                     struct fault *fault);

/* Calls `visit` for every event, in order; the event is valid during the call. On a fault, the events before
 * the broken one have been visited. A compressed body may decompress to at most `limit` bytes. */
typedef void forward_event_visitor(void *target, const struct forward_event *event);
MUST_CHECK bool forward_message_visit(const struct forward_message *message, size_t limit,
                                      forward_event_visitor *visit, void *target, struct fault *fault);

/* True when `object` is a str or bin that is equal to `text`. */
bool forward_message_text_equals(const msgpack_object *object, const char *text);

/* Reads the two halves of an EventTime (ext type 0, 8 bytes, big-endian); false if `object` is not an
 * EventTime. */
bool forward_message_event_time(const msgpack_object *object, uint32_t *seconds, uint32_t *nanoseconds);

#endif
