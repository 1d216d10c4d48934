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

/* The name of a variable for a message; NULL: the name may be the secret itself, in a wrong place, and is not
 * shown. Shown are names of variables that are set, and names as people write them: capital letters, digits
 * and at least one `_`. */
const char *passphrase_variable_shown(const char *env);
/* The same for a path. Shown is the path of a file that exists, a path that begins with `/`, and a path in a
 * directory that exists and that the path names. */
const char *passphrase_path_shown(const char *path);

/* Reads the variable `env`, or the first line of `file` without its line end. If both are NULL there is no
 * passphrase. Faults: the variable is not set (its name is shown as above), the passphrase is empty, too long
 * or contains a NUL byte, or both sources are given. */
MUST_CHECK bool passphrase_load(struct passphrase *passphrase, const char *env, const char *file,
                                struct fault *fault);

/* Wipes the passphrase, and what BoringSSL has left of it on the stack: call it in the function that gave the
 * passphrase to BoringSSL, or above. */
void passphrase_wipe(struct passphrase *passphrase);

#endif
