/* The batch encoder over anything that the scanner accepts as messages, in slices of any size: the batch has
 * the entries of the messages, as msgpack-c finds them.
 *
 * The first byte of an input is the size of the slices; the rest are messages. */
#include "support/batch_check.h"

#include <stdio.h>
#include <stdlib.h>

enum { INPUT_BYTES_MAX = 8192 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    if (length < 2 || length > INPUT_BYTES_MAX)
        return 0;
    struct batch_check check = { .bytes = bytes + 1,
                                 .length = length - 1,
                                 .slice_bytes = bytes[0] ? bytes[0] : length,
                                 .prefix = bytes[0] & 1 ? "p." : "" };
    const char *difference = batch_check_run(&check);
    if (difference) {
        fprintf(stderr, "%s differs\n", difference);
        abort();
    }
    return 0;
}
