/* Issues certificates of servers and clients: key, request, certificate, journal.
 *
 * The steps that are done already are taken over, so a run that was interrupted is repeated by the same
 * command, and each step may come from openssl instead. */
#ifndef HUSK_PKI_ISSUING_H
#define HUSK_PKI_ISSUING_H

#include "pki/key_store.h"
#include "pki/signer.h"

#include <stddef.h>

struct certificate_order;
struct x509_st;

/* All pointers are borrowed. */
struct issuing_order {
    enum profile_use use;     /* PROFILE_SERVER or PROFILE_CLIENT */
    const char *file_name;    /* of the files */
    const char *const *names; /* DNS names and IP addresses; the first one is the CN, too */
    size_t name_count;        /* 0 only with a request */
    const char *spiffe_id;    /* NULL: none */
    unsigned days;            /* 0: as the profile says */
    const char *subject;      /* of a request: see subject_name_parse; NULL: as the profile says */
    const char *request_file; /* signed instead of a request of husk; NULL: none */
    struct key_protection protection;
};

/* Checks names without writing anything. */
MUST_CHECK bool issuing_check(const struct profile *profile, const struct issuing_order *order,
                              struct fault *fault);

/* Makes the files of a certificate. Locks the store. Fails if the certificate exists. */
MUST_CHECK bool issuing_run(struct store *store, const struct signer *signer,
                            const struct issuing_order *order, struct fault *fault);

/* Makes a key, if it is missing, and a request for a CA elsewhere. Fails if the request exists. */
MUST_CHECK bool issuing_request(struct store *store, const struct issuing_order *order, struct fault *fault);

/* Signs one certificate, and enters it into the journal and the folder of issued certificates. `order` has no
 * serial number yet. The store is locked. The caller frees the certificate. NULL and a fault on failure. */
MUST_CHECK struct x509_st *issuing_sign(const struct store *store, const struct signer *signer,
                                        struct certificate_order *order, struct fault *fault);

/* Writes a certificate, and the intermediate CA after it, to `content`. False when out of memory. */
MUST_CHECK bool issuing_write_chain(struct bio_st *content, struct x509_st *certificate,
                                    const struct signer *signer);

#endif
