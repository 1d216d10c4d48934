/* The directory of a PKI: its profile, the paths of its files, and the lock of those who change it.
 *
 * Owns the lock. Knows no contents of the files. */
#ifndef HUSK_PKI_STORE_H
#define HUSK_PKI_STORE_H

#include "base/fault.h"
#include "pki/profile.h"

#include <stdbool.h>

struct bio_st;

enum { STORE_PATH_BYTES = 1024, STORE_NAME_BYTES_MAX = 128 };

struct store {
    const struct profile *profile;
    const char *directory;             /* borrowed */
    int lock;                          /* descriptor; -1: not locked */
    void (*on_file)(const char *path); /* told of each file that is written; NULL: nobody is told */
};

/* Opens the PKI of `directory` and finds its profile by its files. `wanted` NULL: any profile. Close with
 * store_close, also after a failure. */
MUST_CHECK bool store_open(struct store *store, const char *directory, const struct profile *wanted,
                           struct fault *fault);

/* Makes the directory (0700) and its folders where they are missing, and locks. The directory has no PKI of
 * another profile. */
MUST_CHECK bool store_create(struct store *store, const char *directory, const struct profile *profile,
                             struct fault *fault);

/* Waits until no other process changes the directory, and removes what an interrupted one has left. */
MUST_CHECK bool store_lock(struct store *store, struct fault *fault);

void store_close(struct store *store);

/* Checks that `name` can be the name of the files of a server or client: letters, digits, '.', '-', '_', no
 * '.' or '-' in front, and not the name of a CA. */
MUST_CHECK bool store_check_name(const char *name, struct fault *fault);

/* Whether `name` names a CA of the profile, which is then *ca. */
bool store_names_ca(const struct store *store, const char *name, enum profile_use *ca);

/* The path of a file. `name`: see enum profile_file; NULL for files without a name. Returns `path`. */
const char *store_path(const struct store *store, enum profile_file file, const char *name,
                       char path[STORE_PATH_BYTES]);

/* Checks that there is a certificate of this name. */
MUST_CHECK bool store_check_certificate(const struct store *store, const char *name, struct fault *fault);

/* Whether the file exists. */
bool store_has(const struct store *store, enum profile_file file, const char *name);

/* Writes a new file, and fails if there is one; or replaces a file. `content` is borrowed. */
MUST_CHECK bool store_create_file(const struct store *store, enum profile_file file, const char *name,
                                  struct bio_st *content, struct fault *fault);
MUST_CHECK bool store_replace_file(const struct store *store, enum profile_file file, const char *name,
                                   struct bio_st *content, struct fault *fault);

#endif
