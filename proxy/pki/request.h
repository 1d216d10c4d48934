/* Certificate signing requests (PKCS#10, RFC 2986). */
#ifndef HUSK_PKI_REQUEST_H
#define HUSK_PKI_REQUEST_H

#include "base/fault.h"

#include <stdbool.h>

struct X509_name_st;
struct X509_req_st;
struct bio_st;
struct evp_pkey_st;
struct stack_st_GENERAL_NAME;

/* A request for `subject`, signed with `key` and SHA-256, which asks for `names` (NULL: for none). Borrows
 * its arguments; the caller frees the request. NULL and a fault on failure. */
MUST_CHECK struct X509_req_st *request_make(struct X509_name_st *subject, struct evp_pkey_st *key,
                                            const struct stack_st_GENERAL_NAME *names, struct fault *fault);

/* Appends the request to `to` as PEM. False when out of memory. */
MUST_CHECK bool request_write(struct bio_st *to, struct X509_req_st *request);

/* Reads the one request of a PEM file and checks its signature. The caller frees it. NULL and a fault that
 * names the file on failure. */
MUST_CHECK struct X509_req_st *request_read(const char *path, struct fault *fault);

#endif
