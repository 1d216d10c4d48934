/* Joins the messages of a stream with the batch encoder, and compares the batch with what msgpack-c finds in
 * the messages. For unit tests and fuzzing. */
#ifndef HUSK_TESTS_SUPPORT_BATCH_CHECK_H
#define HUSK_TESTS_SUPPORT_BATCH_CHECK_H

#include "forward/batch_encoder.h"

enum { BATCH_CHECK_BYTES_MAX = 64 * 1024 }; /* of a stream */

struct batch_check {
    const uint8_t *bytes; /* messages in a row; borrowed */
    size_t length;
    size_t slice_bytes; /* the stream lies in slices of so many bytes; at least 1 */
    const char *prefix;
    unsigned joined; /* result: messages in the batch, which have the tag of the first one that may join */
    uint64_t events; /* result: events in the batch */
};

/* NULL when the batch is as expected, otherwise the difference. */
const char *batch_check_run(struct batch_check *check);

#endif
