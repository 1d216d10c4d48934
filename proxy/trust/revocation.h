/* The revocation lists (CRLs, RFC 5280, 5) of a set of credentials.
 *
 * Knows which certificates the lists name. Knows nothing of paths, policies and connections. After loading,
 * the lists do not change: several threads may ask at once. */
#ifndef HUSK_TRUST_REVOCATION_H
#define HUSK_TRUST_REVOCATION_H

#include "base/fault.h"
#include "trust/certificate.h"
#include "trust/pem_file.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct x509_st;
struct revocation;

/* Loads all lists of a CA file, which may contain none. Refuses a delta list, an indirect list, and
 * a list with an unknown critical extension (RFC 5280, 5.2): such a list cannot be applied. NULL: the
 * one-line fault names the file and the line. The caller frees the result. */
MUST_CHECK struct revocation *revocation_load(struct pem_file *file, struct fault *fault);

/* NULL is fine. */
void revocation_free(struct revocation *revocation);

size_t revocation_list_count(const struct revocation *revocation);

/* When a newer list than list `at` will be there at the latest (nextUpdate), in seconds since the epoch; 0:
 * the list does not say. */
int64_t revocation_next_update(const struct revocation *revocation, size_t at);
/* The issuer of list `at`, as certificate_describe writes names. */
void revocation_describe_issuer(const struct revocation *revocation, size_t at,
                                char text[CERTIFICATE_NAME_BYTES]);
bool revocation_is_signed_by(const struct revocation *revocation, size_t at, struct x509_st *ca);

/* Whether a list that `issuer` has signed names `certificate`. The age of the list does not matter. */
bool revocation_names(const struct revocation *revocation, struct x509_st *certificate,
                      struct x509_st *issuer);

#endif
