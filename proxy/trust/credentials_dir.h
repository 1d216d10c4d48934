/* Finds the certificate, key, CAs and passphrase of a directory by the names of the files.
 *
 * Knows the names that programs give such files; each family of names is a layout. Reads no file, and keeps
 * none. */
#ifndef HUSK_TRUST_CREDENTIALS_DIR_H
#define HUSK_TRUST_CREDENTIALS_DIR_H

#include "base/fault.h"
#include "trust/peer_check.h"

#include <limits.h>
#include <stdbool.h>

/* Paths of files; an empty path: the directory has no such file. */
struct credentials_dir {
    const char *layout; /* name of the layout; lives as long as the process */
    char cert[PATH_MAX], key[PATH_MAX], ca[PATH_MAX], passphrase[PATH_MAX];
    char shared_key[PATH_MAX]; /* of the Forward protocol: no part of the credentials */
};

/* Whether the directory must have the CAs, or whether another setting names them. */
enum credentials_dir_ca { CREDENTIALS_DIR_CA_NEEDED, CREDENTIALS_DIR_CA_ELSEWHERE };

/* Finds the files for the role: a client takes `client.crt.pem`, a server `server.crt.pem`. The fault names
 * the directory, what is missing in it and what it has: no layout, two layouts, or a part of a layout. */
MUST_CHECK bool credentials_dir_find(struct credentials_dir *dir, const char *path, enum tls_role role,
                                     enum credentials_dir_ca ca, struct fault *fault);

/* Calls on_path for each path that credentials_dir_find looks at. The path lives during the call. */
void credentials_dir_visit(const char *path, enum tls_role role,
                           void (*on_path)(void *owner, const char *path), void *owner);

#endif
