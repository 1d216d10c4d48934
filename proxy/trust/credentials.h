/* Credentials: an immutable, reference-counted set of certificate, key and CAs, and the SSL_CTX made from
 * them.
 *
 * Owns the SSL_CTX. Knows BoringSSL, verifies peers and says why it refuses one; knows nothing of sockets and
 * loops. Any thread may share and release the set and start sessions. A set never changes after loading: a
 * reload makes a new set, and connections keep the set that they started with. */
#ifndef HUSK_TRUST_CREDENTIALS_H
#define HUSK_TRUST_CREDENTIALS_H

#include "base/fault.h"
#include "base/log.h"
#include "trust/peer_check.h"
#include "trust/peer_policy.h"
#include "trust/validity.h"

#include <stdbool.h>
#include <stdint.h>

struct ssl_st;
struct ssl_session_st;

enum tls_version { TLS_VERSION_1_2, TLS_VERSION_1_3 };

struct credentials_options {
    enum tls_role role;
    const char *cert_file;       /* PEM: leaf first, then intermediates */
    const char *key_file;        /* PEM: PKCS#8 (plain or PBES2) or the older DEK-Info form */
    const char *ca_file;         /* PEM: the CAs that peers are verified with */
    const char *passphrase_env;  /* environment variable with the key's passphrase, or NULL */
    const char *passphrase_file; /* file with the passphrase in its first line, or NULL; not both */
    enum tls_version min_version, max_version;
    bool allow_cn_as_name; /* client: if the certificate has no SAN, compare the server name with the CN:
                              whole, without regard to ASCII case, without wildcards */
    bool allow_weak;       /* accept peers whose certificates are weak (trust/strength.h) */
    bool speaks_link;      /* offer and accept ALPN "husk-link/1" (docs/link.md) besides "husk" */
    const struct peer_policy *policy; /* server: its rules are shared; NULL: any verified peer */
};

/* What the ALPN of a connection says about the peer. */
enum tls_peer_protocol {
    TLS_PEER_UNKNOWN, /* nothing: it may be any program */
    TLS_PEER_HUSK,    /* a husk that does not speak the link with us: an older one, or another --protocol */
    TLS_PEER_LINK,    /* a husk that speaks the link */
};

struct credentials; /* shared */

/* Loads and checks everything as one unit: the files are readable, the key decrypts and matches the
 * certificate, the certificate is valid now, the chain is in order, there is at least one CA. On failure
 * returns NULL and a one-line fault that names the file. Logs a warning if group or world may read the key,
 * if a certificate of ours or the key of a CA is weak, and if weak peers are accepted.
 * The passphrase is wiped after use. */
MUST_CHECK struct credentials *credentials_load(const struct credentials_options *options, struct log *log,
                                                struct fault *fault);

struct credentials *credentials_share(struct credentials *credentials);
/* NULL is fine. */
void credentials_release(struct credentials *credentials);

/* Whether both sets show peers the same certificate and chain. */
bool credentials_have_same_certificate(const struct credentials *a, const struct credentials *b);

/* When the certificates of the set expire. */
struct validity credentials_validity(const struct credentials *credentials);

/* ---- for wire/tls_channel only: the types below are BoringSSL's ---- */

/* A new SSL in the role of this set. It verifies the peer's certificate with `check` (borrowed) and sends SNI
 * if check->server_name is a DNS name. The caller owns it, must share the set while it uses the SSL, and
 * leaves the SSL's app data alone. NULL when out of memory. */
struct ssl_st *credentials_start_session(struct credentials *credentials, struct peer_check *check);

/* Only after the handshake. */
enum tls_peer_protocol credentials_protocol_of(const struct ssl_st *ssl);

/* The check that the SSL was started with. */
struct peer_check *credentials_check_of(const struct ssl_st *ssl);

/* Client: sets the callback for every session that can be resumed later. The callback returns 1 if it keeps
 * the reference it is given, else 0. One callback per set; any thread may set the same callback again. */
void credentials_on_new_session(struct credentials *credentials,
                                int (*callback)(struct ssl_st *, struct ssl_session_st *));

/* Repeats the peer check after a resumed handshake, in which BoringSSL does not verify the certificate again.
 * False: check->reason and check->detail say why. */
MUST_CHECK bool credentials_recheck_peer(struct credentials *credentials, struct ssl_st *ssl,
                                         struct peer_check *check);

#endif
