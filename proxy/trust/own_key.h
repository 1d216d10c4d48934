/* The private key of a set of credentials: from a PEM file, or in a PKCS#11 token.
 *
 * Knows where a key comes from and whether it belongs to the certificate. */
#ifndef HUSK_TRUST_OWN_KEY_H
#define HUSK_TRUST_OWN_KEY_H

#include "base/fault.h"
#include "trust/credentials_options.h"

struct evp_pkey_st;
struct ssl_ctx_st;
struct ssl_st;
struct token_key;
struct x509_st;

/* All zeros: no key. */
struct own_key {
    struct evp_pkey_st *key; /* owned: the private key; the public one, if the private one is in a token */
    struct token_key *token; /* owned; NULL: the key is not in a token */
};

/* Loads the key, which must belong to `certificate`. The fault names the file or the URI. */
MUST_CHECK bool own_key_load(struct own_key *key, const struct credentials_options *options,
                             struct x509_st *certificate, struct fault *fault);
void own_key_free(struct own_key *key);

/* Makes `tls`, which has the certificate already, use the key. */
MUST_CHECK bool own_key_use(const struct own_key *key, struct ssl_ctx_st *tls);
/* The same for one session, instead of the key of its SSL_CTX. */
MUST_CHECK bool own_key_show(const struct own_key *key, struct ssl_st *ssl);

#endif
