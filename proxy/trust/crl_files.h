/* The files of one --crl: a file, or a directory with files. Reads names only. */
#ifndef HUSK_TRUST_CRL_FILES_H
#define HUSK_TRUST_CRL_FILES_H

#include "base/fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct crl_files {
    size_t count;
    char **paths; /* owned; in alphabetical order */
};

/* `path` alone, or all files in the directory `path`. Leaves out folders, and names that begin with a dot:
 * Kubernetes and programs that replace files have such names. A directory without a file is a fault. Free
 * with crl_files_deinit, also after a failure. */
MUST_CHECK bool crl_files_find(struct crl_files *files, const char *path, struct fault *fault);
/* Safe on all zeros. */
void crl_files_deinit(struct crl_files *files);

/* A number that changes when one of the files is replaced, written, added or removed (trust/file_stamp.h). */
uint64_t crl_files_stamp(const char *path);

#endif
