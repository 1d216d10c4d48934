/* Subjects of certificates: what a user writes, what a CA prescribes, what a request asks for. */
#ifndef HUSK_PKI_SUBJECT_NAME_H
#define HUSK_PKI_SUBJECT_NAME_H

#include "base/fault.h"

#include <stdbool.h>

struct X509_name_st;

/* Functions return a name that the caller frees, or NULL and a fault. */

/* Parses "/C=US/ST=CA/O=example", and adds `cn` if the text has none. NULL `cn`: adds none. */
MUST_CHECK struct X509_name_st *subject_name_parse(const char *text, const char *cn, struct fault *fault);

/* A subject below a CA: the C, ST and O of the CA, then `cn`. */
MUST_CHECK struct X509_name_st *subject_name_below(struct X509_name_st *ca, const char *cn,
                                                   struct fault *fault);

/* The subject for a request, by the policy of the seed: C, ST and O must be those of the CA; OU and
 * emailAddress are taken over; CN must be there; other parts are left out. */
MUST_CHECK struct X509_name_st *subject_name_strict(struct X509_name_st *ca, struct X509_name_st *asked,
                                                    struct fault *fault);

/* Whether `cn` is text of 1 to 64 characters. */
MUST_CHECK bool subject_name_check_cn(const char *cn, struct fault *fault);

#endif
