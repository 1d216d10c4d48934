/* The identity in a certificate file. */
#ifndef HUSK_TRUST_IDENTITY_FILE_H
#define HUSK_TRUST_IDENTITY_FILE_H

#include "base/fault.h"
#include "trust/identity.h"

/* Reads the first certificate of a PEM file. The caller frees the identity with identity_free. NULL: the
 * one-line fault names the file. */
MUST_CHECK struct identity *identity_file_read(const char *path, struct fault *fault);

#endif
