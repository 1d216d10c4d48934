/* Runs the body rewriter over a message in slices of any size, and compares the result with what msgpack-c,
 * zlib and libzstd make. For unit tests and fuzzing. */
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

/* Copies all bytes of a buffer. */
void body_check_gather(struct bytes *to, const struct buffer *buffer);

/* The plain entries of a message in any mode. False: the body is broken, or longer than BODY_CHECK_BYTES_MAX.
 */
bool body_check_plain(struct bytes *plain, const struct bytes *message, const struct scanner *scanner,
                      enum compression method);

struct body_check_counts {
    unsigned left;          /* entries that stay */
    unsigned left_out;      /* entries that do not */
    unsigned with_metadata; /* entries with metadata, except invalid ones */
};

/* The entries as these options ask: without metadata and markers, without invalid entries. False: they are
 * not MessagePack, or nested too deeply for msgpack-c; or one is invalid, and the options do not leave it
 * out. */
bool body_check_filter(struct bytes *to, const struct bytes *plain, const struct body_options *options,
                       struct body_check_counts *counts);

/* NULL when `after` is the expected result for `before`, otherwise the difference. */
const char *body_check_difference(const struct bytes *before, const struct bytes *after,
                                  const struct body_result *result, const struct body_options *options);

#endif
