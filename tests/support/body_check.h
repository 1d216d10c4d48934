/* Runs the body rewriter over a message held in slices of any size, and checks what it made against
 * msgpack-c, zlib and libzstd used by themselves. For unit tests and fuzzing. */
#ifndef HUSK_TESTS_SUPPORT_BODY_CHECK_H
#define HUSK_TESTS_SUPPORT_BODY_CHECK_H

#include "forward/body.h"

enum { BODY_CHECK_BYTES_MAX = 1024 * 1024 }; /* of a message, and of its plain body */

struct bytes {
    size_t length;
    uint8_t at[BODY_CHECK_BYTES_MAX];
};

/* Fills an empty buffer with slices that end at each of `cuts` (ascending, within the bytes). */
void body_check_fill(struct buffer *buffer, const uint8_t *bytes, size_t length, const size_t *cuts,
                     size_t cut_count);

/* Scans the message `start` bytes into `buffer`; false when there is none within these limits. */
bool body_check_scan(struct scanner *scanner, const struct buffer *buffer, size_t start);

/* All of a buffer's bytes. */
void body_check_gather(struct bytes *to, const struct buffer *buffer);

/* The plain entries of a message in any mode, as they are. False: its body is broken, or too long to tell. */
bool body_check_plain(struct bytes *plain, const struct bytes *message, const struct scanner *scanner,
                      enum compression method);

/* The same entries without metadata. False: they are no log entries, or nested too deep for msgpack-c. */
bool body_check_strip(struct bytes *stripped, const struct bytes *plain, unsigned *count,
                      unsigned *with_metadata);

/* NULL when `after` is what `before` should have become, else what differs. `after` is not scanned yet. */
const char *body_check_difference(const struct bytes *before, const struct bytes *after,
                                  const struct body_result *result);

#endif
