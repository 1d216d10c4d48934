/* Which ciphers, groups and signatures husk offers and accepts in TLS 1.2 and 1.3. */
#ifndef HUSK_TRUST_TLS_PROTOCOL_H
#define HUSK_TRUST_TLS_PROTOCOL_H

#include "base/fault.h"
#include "trust/tls_names.h"

#include <stdbool.h>

struct evp_pkey_st;
struct ssl_ctx_st;

/* Sets them, and the modes that channels need. False: BoringSSL refuses one. */
MUST_CHECK bool tls_protocol_set(struct ssl_ctx_st *tls, const struct tls_choices *choices);

/* Whether a key can sign with one of the signature algorithms. */
bool tls_protocol_fits_key(const struct tls_choices *choices, const struct evp_pkey_st *key);

#endif
