/* A PKCS#11 token that holds a private key: its module, its sessions and its login.
 *
 * Owns the module while a key is in use. Reads the PIN for each login from where the settings say, and wipes
 * it at once. Knows no TLS and no threads of its own; several threads may use a token, each with a session of
 * its own. All calls may block for as long as the token takes. */
#ifndef HUSK_TRUST_TOKEN_H
#define HUSK_TRUST_TOKEN_H

#include "base/fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TOKEN_SIGNATURE_BYTES_MAX = 1024 }; /* of an RSA key of 8192 bits */

struct token_source {
    const char *uri; /* a good one (token_uri_check) */
    const char *pin_env,
        *pin_file; /* as of a passphrase; both NULL: `pin-source` of the URI, or there is no PIN */
};

struct token; /* owned */
struct token_module;

/* Copies `source`, borrows `module`, calls nothing in it yet. NULL: out of memory. */
MUST_CHECK struct token *token_new(const struct token_source *source, struct token_module *module,
                                   struct fault *fault);
/* Loads the module, once. Its fault, as that of the next function, does not name the URI. */
MUST_CHECK bool token_load(struct token *token, struct fault *fault);
/* After its sessions. NULL is fine. */
void token_close(struct token *token);

/* The handles are those of PKCS#11. */
struct token_session {
    unsigned long slot, handle, key;
    bool is_open;
    bool is_rsa, is_ec;        /* the kind of the key; neither: another kind */
    bool pads_pkcs1, pads_pss; /* the token can do what RSA needs around a digest; else husk does it */
};

/* Finds the token and the key that the URI names, opens a session and logs in. Once the token has refused the
 * PIN, nobody in the process tries this PIN again until its file changes, because tokens lock themselves
 * after a few wrong PINs; neither is a PIN tried when one more wrong PIN would lock the token. */
MUST_CHECK bool token_session_open(struct token *token, struct token_session *session, struct fault *fault);
/* Harmless on one that is not open. */
void token_session_close(struct token *token, struct token_session *session);

struct token_input {
    unsigned long mechanism; /* CKM_… */
    void *parameter;         /* of the mechanism; NULL: none */
    size_t parameter_length;
    uint8_t *bytes;
    size_t length;
};

struct token_output {
    uint8_t bytes[TOKEN_SIGNATURE_BYTES_MAX];
    size_t length;
};

MUST_CHECK bool token_session_sign(struct token *token, const struct token_session *session,
                                   const struct token_input *input, struct token_output *output,
                                   struct fault *fault);

#endif
