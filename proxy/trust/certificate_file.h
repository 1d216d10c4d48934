/* Loads certificates from a PEM file and checks that they fit their use.
 *
 * Functions return a stack of X509 that the caller frees with its contents, or NULL and a one-line fault that
 * names the file. Knows nothing of keys. */
#ifndef HUSK_TRUST_CERTIFICATE_FILE_H
#define HUSK_TRUST_CERTIFICATE_FILE_H

#include "base/fault.h"
#include "trust/pem_file.h"

#include <stdbool.h>
#include <stddef.h>

struct stack_st_X509;

/* Our own chain; the file may also contain the private key. Checked as certificate_file_check_chain does. */
MUST_CHECK struct stack_st_X509 *certificate_file_load_chain(const char *path, struct fault *fault);

/* The leaf comes first; each further certificate has issued an earlier one. The chain may contain several
 * versions of an intermediate, which several CAs signed, for peers that know only one of the CAs. All
 * certificates are valid now, except a version of an intermediate beside a valid version. The fault names
 * `path`. */
MUST_CHECK bool certificate_file_check_chain(const struct stack_st_X509 *chain, const char *path,
                                             struct fault *fault);

/* Whether certificate `at` of the chain, which is not the first one, has issued one of those before it. */
bool certificate_file_has_place(const struct stack_st_X509 *chain, size_t at);

/* Reads a file of certificates. The caller wipes `file`, also on failure. */
MUST_CHECK bool certificate_file_read(struct pem_file *file, const char *path, struct fault *fault);

/* The certificates of the file in their order. Checks that nothing else is in the file than what `use`
 * permits, and that there is at least one certificate; checks no certificate. */
enum certificate_file_use { CERTIFICATE_FILE_CHAIN, CERTIFICATE_FILE_CAS };
MUST_CHECK struct stack_st_X509 *certificate_file_decode(struct pem_file *file, enum certificate_file_use use,
                                                         struct fault *fault);

/* Reads and decodes a file with a chain. Does not verify the certificates. */
MUST_CHECK struct stack_st_X509 *certificate_file_load(const char *path, struct fault *fault);
/* The first certificate of the file. The caller owns the certificate. */
MUST_CHECK struct x509_st *certificate_file_load_first(const char *path, struct fault *fault);

/* The CAs that peers are verified with. The file contains nothing else but revocation lists
 * (trust/revocation.h). At least one certificate, only CA certificates, and at least one of them valid now.
 */
MUST_CHECK struct stack_st_X509 *certificate_file_cas(struct pem_file *file, struct fault *fault);

#endif
