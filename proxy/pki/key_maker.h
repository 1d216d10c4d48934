/* Makes private keys, and describes keys. */
#ifndef HUSK_PKI_KEY_MAKER_H
#define HUSK_PKI_KEY_MAKER_H

#include "pki/profile.h"

struct evp_pkey_st;

enum { KEY_MAKER_TEXT_BYTES = 32 };

/* A new key of the kind of the profile. The caller frees it. NULL when out of memory. */
struct evp_pkey_st *key_maker_make(const struct profile *profile);

/* "RSA 4096", "ECDSA P-256". */
void key_maker_describe(const struct evp_pkey_st *key, char text[KEY_MAKER_TEXT_BYTES]);

#endif
