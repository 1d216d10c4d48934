/* The passphrase of a private key, from the environment or a file, never from the command line.
 *
 * Owns its bytes; whoever loads it wipes it. Never printed, not even in a fault. */
#ifndef HUSK_TRUST_PASSPHRASE_H
#define HUSK_TRUST_PASSPHRASE_H

#include "base/fault.h"

#include <stdbool.h>
#include <stddef.h>

enum { PASSPHRASE_BYTES_MAX = 1024 }; /* what BoringSSL's PEM reader takes */

struct passphrase {
    bool given; /* false: no source was named */
    size_t length;
    char bytes[PASSPHRASE_BYTES_MAX]; /* not terminated */
};

/* Reads the variable `env`, or the first line of `file` without its line end; with both NULL there is no
 * passphrase. An unset variable, an empty passphrase or both sources at once are faults. */
MUST_CHECK bool passphrase_load(struct passphrase *passphrase, const char *env, const char *file,
                                struct fault *fault);

void passphrase_wipe(struct passphrase *passphrase);

#endif
