/* The certificates of a PEM file, checked for what they are to be used for.
 *
 * Returns stacks of X509 that the caller frees with their contents; NULL and a one-line fault that names the
 * file on failure. Knows nothing of keys. */
#ifndef HUSK_TRUST_CERTIFICATE_FILE_H
#define HUSK_TRUST_CERTIFICATE_FILE_H

#include "base/fault.h"

struct stack_st_X509;

/* Our own chain: leaf first, each certificate issued by the next, all within their validity. */
MUST_CHECK struct stack_st_X509 *certificate_file_load_chain(const char *path, struct fault *fault);

/* The CAs to verify peers against: at least one, none that may not sign certificates, and one of them within
 * its validity. */
MUST_CHECK struct stack_st_X509 *certificate_file_load_cas(const char *path, struct fault *fault);

#endif
