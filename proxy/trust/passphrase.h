/* The passphrase of a private key, or another secret that fits in a line: from an environment variable or a
 * file, never from the command line.
 *
 * Owns its bytes; the caller that loads it wipes it. Never printed, not even in a fault. */
#ifndef HUSK_TRUST_PASSPHRASE_H
#define HUSK_TRUST_PASSPHRASE_H

#include "base/fault.h"

#include <stdbool.h>
#include <stddef.h>

enum { PASSPHRASE_BYTES_MAX = 1024 }; /* the maximum of BoringSSL's PEM reader */

struct passphrase {
    bool given; /* false: no source was named */
    size_t length;
    char bytes[PASSPHRASE_BYTES_MAX]; /* not terminated */
};

/* Reads the variable `env`, or the first line of `file` without its line end. If both are NULL there is no
 * passphrase. Faults: the variable is not set, the passphrase is empty, too long or contains a
 * NUL byte, or both sources are given. */
MUST_CHECK bool passphrase_load(struct passphrase *passphrase, const char *env, const char *file,
                                struct fault *fault);

void passphrase_wipe(struct passphrase *passphrase);

#endif
