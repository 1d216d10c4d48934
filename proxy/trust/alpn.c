#include "trust/alpn.h"

#include <openssl/ssl.h>
#include <stdint.h>

/* Best first, each after its length (RFC 7301, 3.1). */
#define HUSK "\x04husk"
#define LINK "\x0bhusk-link/1"

static const struct protocols {
    const uint8_t *names;
    unsigned length;
} with_link = { (const uint8_t *)LINK HUSK, sizeof LINK HUSK - 1 },
  without_link = { (const uint8_t *)HUSK, sizeof HUSK - 1 };

enum { LINK_NAME_BYTES = sizeof LINK - 1 };

/* If the client offers none of our protocols, ALPN is not answered; the handshake goes on. */
static int on_alpn(SSL *ssl, const uint8_t **chosen, uint8_t *chosen_length, const uint8_t *offered,
                   unsigned offered_length, void *argument)
{
    const struct protocols *own = argument;
    uint8_t *found;
    int result =
        SSL_select_next_proto(&found, chosen_length, own->names, own->length, offered, offered_length);

    (void)ssl;
    *chosen = found;
    return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

bool alpn_set(SSL_CTX *tls, const struct credentials_options *options)
{
    const struct protocols *own = options->speaks_link ? &with_link : &without_link;

    if (options->role == TLS_CLIENT)
        return SSL_CTX_set_alpn_protos(tls, own->names, own->length) == 0;
    SSL_CTX_set_alpn_select_cb(tls, on_alpn, (void *)(uintptr_t)own);
    return true;
}

enum tls_peer_protocol alpn_protocol_of(const SSL *ssl)
{
    const uint8_t *name;
    unsigned length;

    SSL_get0_alpn_selected(ssl, &name, &length);
    if (!length)
        return TLS_PEER_UNKNOWN;
    return length + 1 == LINK_NAME_BYTES ? TLS_PEER_LINK : TLS_PEER_HUSK;
}
