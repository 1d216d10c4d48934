/* The keys that encrypt the session tickets of a server, from a file that several servers share.
 *
 * The first key encrypts; all keys decrypt. A key has 48 or 80 bytes in the layout of nginx and HAProxy: a
 * name of 16 bytes; then with 48 bytes 16 of AES-128-CBC and 16 of HMAC-SHA256, with 80 bytes 32 of
 * HMAC-SHA256 and 32 of AES-256-CBC. The ticket is that of RFC 5077, 4. Knows no connection. Never changes
 * after loading: any thread may use it. */
#ifndef HUSK_TRUST_TICKET_KEYS_H
#define HUSK_TRUST_TICKET_KEYS_H

#include "base/fault.h"

#include <stddef.h>
#include <stdint.h>

struct evp_cipher_ctx_st;
struct hmac_ctx_st;
struct ticket_keys;

enum { TICKET_KEYS_MAX = 16, TICKET_KEY_NAME_BYTES = 16 };

/* Reads the file: bytes, which are one key of 48 bytes or keys of 80 bytes; or text, with a key in base64 on
 * each line. The caller frees the keys. On failure returns NULL and a fault that names the file. */
MUST_CHECK struct ticket_keys *ticket_keys_load(const char *path, struct fault *fault);
size_t ticket_keys_count(const struct ticket_keys *keys);
/* Wipes the keys. NULL is fine. */
void ticket_keys_free(struct ticket_keys *keys);

/* A ticket that BoringSSL encrypts or decrypts. Everything is borrowed. */
struct ticket_cipher {
    uint8_t *name, *iv; /* TICKET_KEY_NAME_BYTES each */
    struct evp_cipher_ctx_st *cipher;
    struct hmac_ctx_st *hmac;
};

/* Prepares to encrypt or decrypt a ticket. Returns what the callback of SSL_CTX_set_tlsext_ticket_key_cb
 * returns: -1 after an error, 0 if no key has the name, 1 for the first key, and in ticket_keys_decrypt 2 for
 * another key: the client gets a new ticket. */
int ticket_keys_encrypt(const struct ticket_keys *keys, const struct ticket_cipher *ticket);
int ticket_keys_decrypt(const struct ticket_keys *keys, const struct ticket_cipher *ticket);

#endif
