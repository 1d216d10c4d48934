#include "pki/live_peer.h"

#include "base/clock.h"
#include "trust/library_error.h"
#include "trust/server_name.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

/* Keeps the chain. Accepts every server: the certificates are only shown. */
static enum ssl_verify_result_t on_chain(SSL *ssl, uint8_t *alert)
{
    STACK_OF(X509) **chain = SSL_get_app_data(ssl);

    (void)alert;
    if (!*chain)
        *chain = X509_chain_up_ref(SSL_get_peer_full_cert_chain(ssl));
    return ssl_verify_ok;
}

/* Waits for what the handshake needs. False: the time is over. */
static bool await(int fd, int error, uint64_t due_ms)
{
    struct pollfd wanted = { .fd = fd, .events = error == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN };
    uint64_t now_ms = clock_monotonic_ms();

    return now_ms < due_ms && poll(&wanted, 1, (int)(due_ms - now_ms)) > 0;
}

/* A server without TLS answers with bytes that are no TLS record. */
static const char *failure_of(int error)
{
    uint32_t first = ERR_peek_error();

    if (error != SSL_ERROR_SSL)
        return "the server ended the connection";
    if (ERR_GET_LIB(first) == ERR_LIB_SSL && ERR_GET_REASON(first) == SSL_R_WRONG_VERSION_NUMBER)
        return "the port does not speak TLS";
    return library_error_take();
}

static void handshake(SSL *ssl, int fd, STACK_OF(X509) * *chain, uint64_t timeout_ms, struct fault *fault)
{
    uint64_t due_ms = clock_monotonic_ms() + timeout_ms;

    fault_set(fault, "no TLS answer in time");
    while (!*chain) {
        ERR_clear_error();
        int result = SSL_do_handshake(ssl);
        int error = SSL_get_error(ssl, result);
        if (result == 1)
            break;
        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
            fault_set(fault, "the TLS handshake failed: %s", failure_of(error));
            break;
        }
        if (!await(fd, error, due_ms))
            break;
    }
    ERR_clear_error();
}

struct stack_st_X509 *live_peer_chain(int fd, const char *name, uint64_t timeout_ms, struct fault *fault)
{
    char dns[SERVER_NAME_DNS_BYTES];
    STACK_OF(X509) *chain = NULL;
    SSL_CTX *context = SSL_CTX_new(TLS_method());
    SSL *ssl = context ? SSL_new(context) : NULL;

    if (ssl && SSL_set_fd(ssl, fd)) {
        SSL_set_app_data(ssl, &chain);
        SSL_set_custom_verify(ssl, SSL_VERIFY_PEER, on_chain);
        SSL_set_connect_state(ssl);
        if (server_name_to_dns(name, dns) && !SSL_set_tlsext_host_name(ssl, dns))
            ERR_clear_error();
        handshake(ssl, fd, &chain, timeout_ms, fault);
    } else {
        fault_set(fault, "out of memory");
    }
    SSL_free(ssl);
    SSL_CTX_free(context);
    return chain;
}

void live_peer_free(struct stack_st_X509 *chain)
{
    sk_X509_pop_free(chain, X509_free);
}
