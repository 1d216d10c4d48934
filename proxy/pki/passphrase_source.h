/* Where the passphrase of a key comes from: a variable, a file, or the terminal.
 *
 * Owns nothing; the caller that gets a passphrase wipes it. */
#ifndef HUSK_PKI_PASSPHRASE_SOURCE_H
#define HUSK_PKI_PASSPHRASE_SOURCE_H

#include "base/fault.h"
#include "trust/passphrase.h"

#include <stdbool.h>

struct passphrase_source {
    const char *option; /* "ca-passphrase": the options are --ca-passphrase-env and --ca-passphrase-file */
    const char *env, *file; /* NULL: not given */
};

/* The passphrase that opens the key in `path`; not given if the key is not encrypted, or if there is no such
 * file. Asks at the terminal if the source names nothing. */
MUST_CHECK bool passphrase_source_open(const struct passphrase_source *source, const char *path,
                                       struct passphrase *passphrase, struct fault *fault);

/* The passphrase for a new secret, at least 4 bytes long, as OpenSSL demands. Asks twice at the terminal if
 * the source names nothing. `path` is for messages. */
MUST_CHECK bool passphrase_source_choose(const struct passphrase_source *source, const char *path,
                                         struct passphrase *passphrase, struct fault *fault);

/* Whether the source names a variable or a file. */
bool passphrase_source_is_given(const struct passphrase_source *source);

#endif
