/* Builds a Forward message: add events, then encode all of them as one message.
 *
 * Built on msgpack-c, for the tools. Owns the encoded events. Knows no sockets. */
#ifndef HUSK_COMMANDS_FORWARD_BATCH_H
#define HUSK_COMMANDS_FORWARD_BATCH_H

#include "base/fault.h"

#include <msgpack.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum forward_mode { FORWARD_MODE_MESSAGE, FORWARD_MODE_FORWARD, FORWARD_MODE_PACKED };

struct forward_batch {
    const char *tag; /* borrowed */
    enum forward_mode mode;
    size_t count;
    msgpack_sbuffer entries; /* mode Message: time and record; other modes: [time, record]… */
};

void forward_batch_init(struct forward_batch *batch, const char *tag, enum forward_mode mode);
void forward_batch_deinit(struct forward_batch *batch);

/* Adds one event; `record` is an encoded map, `time` becomes an EventTime. FORWARD_MODE_MESSAGE takes one
 * event only. The only possible fault is lack of memory. */
MUST_CHECK bool forward_batch_add(struct forward_batch *batch, const struct timespec *time,
                                  const msgpack_sbuffer *record, struct fault *fault);

/* Replaces the contents of `message` with the encoded batch and empties the batch. `chunk` (or NULL) requests
 * an ack. The only possible fault is lack of memory. */
MUST_CHECK bool forward_batch_encode(struct forward_batch *batch, const char *chunk, msgpack_sbuffer *message,
                                     struct fault *fault);

#endif
