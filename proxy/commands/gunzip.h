/* Decompresses gzip, as in CompressedPackedForward bodies: one member or several in a row (RFC 1952, 2.2).
 * Pure. */
#ifndef HUSK_COMMANDS_GUNZIP_H
#define HUSK_COMMANDS_GUNZIP_H

#include "base/fault.h"

#include <stdbool.h>
#include <stddef.h>

struct gunzip_text {
    char *bytes; /* the caller frees it */
    size_t length;
};

/* Decompresses all of `bytes`. A result of more than `limit` bytes is a fault, so that a small message cannot
 * become a huge one. On failure there is nothing to free. */
MUST_CHECK bool gunzip(const char *bytes, size_t length, size_t limit, struct gunzip_text *plain,
                       struct fault *fault);

#endif
