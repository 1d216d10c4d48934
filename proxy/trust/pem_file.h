/* Holds one small file in memory.
 *
 * Owns its bytes and wipes them, because they may be a key or a passphrase. Does not interpret them. */
#ifndef HUSK_TRUST_PEM_FILE_H
#define HUSK_TRUST_PEM_FILE_H

#include "base/fault.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    PEM_FILE_BYTES_MAX = 4 * 1024 * 1024
}; /* about forty times the size of the usual bundle of public CAs */

struct pem_file {
    const char *path; /* borrowed */
    size_t length;
    char *bytes;
};

/* Reads all of `path`, a regular file. The fault names the file. */
MUST_CHECK bool pem_file_read(struct pem_file *file, const char *path, struct fault *fault);
/* The same for a file that may have up to `bytes_max` bytes. */
MUST_CHECK bool pem_file_read_large(struct pem_file *file, const char *path, size_t bytes_max,
                                    struct fault *fault);

/* May be called on all zeros, and twice. */
void pem_file_wipe(struct pem_file *file);

#endif
