/* The subjectAltName: DNS names, IP addresses, and a SPIFFE ID. */
#ifndef HUSK_PKI_ALTERNATIVE_NAMES_H
#define HUSK_PKI_ALTERNATIVE_NAMES_H

#include "base/fault.h"

#include <stdbool.h>
#include <stddef.h>

struct stack_st_GENERAL_NAME;
struct X509_req_st;
struct x509_st;

/* Functions return a stack that the caller frees with its contents, or NULL. */

/* `names`: DNS names, also with a wildcard as first label, and IP addresses. `spiffe_id` NULL: none. NULL and
 * a fault if one of them is not valid. */
MUST_CHECK struct stack_st_GENERAL_NAME *alternative_names_make(const char *const *names, size_t count,
                                                                const char *spiffe_id, struct fault *fault);

/* What a request asks for; NULL: nothing. */
struct stack_st_GENERAL_NAME *alternative_names_of_request(struct X509_req_st *request);

/* Those of a certificate; NULL: none. */
struct stack_st_GENERAL_NAME *alternative_names_of(struct x509_st *certificate);

/* Writes "DNS:a, IP:127.0.0.1, URI:spiffe://…", as much as fits. An empty text: there are no names. */
void alternative_names_describe(const struct stack_st_GENERAL_NAME *names, char *text, size_t size);

/* Whether there is a name that is no DNS name, IP address or URI. */
bool alternative_names_have_others(const struct stack_st_GENERAL_NAME *names);

#endif
