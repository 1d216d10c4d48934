/* The files behind the options of a set of credentials: those of a directory, a PKCS#12 file, and the CAs of
 * the system become paths of files. Reads no file. */
#ifndef HUSK_TRUST_CREDENTIALS_FILES_H
#define HUSK_TRUST_CREDENTIALS_FILES_H

#include "base/fault.h"
#include "trust/credentials_dir.h"
#include "trust/credentials_options.h"

#include <stdbool.h>
#include <stdint.h>

/* Does not move in memory: the options point into it. */
struct credentials_files {
    /* As given, but cert_file, key_file, ca_file and passphrase_file are what is read. cert_file and key_file
     * are the PKCS#12 file if there is one. */
    struct credentials_options options;
    struct credentials_dir dir; /* layout NULL: no directory is given */
    bool uses_system_cas;
    /* The option that names each file: "cert", "credentials" and so on. */
    const char *cert_option, *key_option, *ca_option, *passphrase_option;
};

/* `given` is borrowed as long as `files` is used. On a failure the fault names the file or directory. */
MUST_CHECK bool credentials_files_find(struct credentials_files *files,
                                       const struct credentials_options *given, struct fault *fault);

/* Calls on_path for each path that a set of these options may be loaded from, except revocation lists. The
 * path lives during the call. */
void credentials_files_visit(const struct credentials_options *given,
                             void (*on_path)(void *owner, const char *path), void *owner);

/* A number that changes when a file of the set changes, appears or disappears, also a revocation list (see
 * file_stamp). */
uint64_t credentials_files_stamp(const struct credentials_options *given);

#endif
