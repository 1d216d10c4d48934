/* An immutable, refcounted set: certificate, key, CAs, and the SSL_CTX made of them.
 *
 * Owns the SSL_CTX. Knows BoringSSL, verifies peers, says why it refused one; knows nothing of sockets or
 * loops. Any thread may share, release and start sessions; the set never changes after loading: a reload
 * makes a new one, and connections that began with the old one end with it. */
#ifndef HUSK_TRUST_CREDENTIALS_H
#define HUSK_TRUST_CREDENTIALS_H

#include "base/fault.h"
#include "base/log.h"
#include "trust/peer_check.h"
#include "trust/peer_policy.h"

#include <stdbool.h>
#include <stdint.h>

struct ssl_st;
struct ssl_session_st;

enum tls_version { TLS_VERSION_1_2, TLS_VERSION_1_3 };

struct credentials_options {
    enum tls_role role;
    const char *cert_file;       /* PEM: leaf first, then intermediates */
    const char *key_file;        /* PEM: PKCS#8 (plain or PBES2) or the older DEK-Info form */
    const char *ca_file;         /* PEM: the CAs peers are verified against */
    const char *passphrase_env;  /* name of the variable that holds the key's passphrase, or NULL */
    const char *passphrase_file; /* file whose first line is the passphrase, or NULL; not both */
    enum tls_version min_version, max_version;
    bool allow_cn_as_name; /* client: compare the server name with the CN where there is no SAN: exactly, but
                              for ASCII case, and without wildcards */
    const struct peer_policy *policy; /* server: borrowed, must outlive the set; NULL: any verified peer */
};

struct credentials; /* shared */

/* Loads and checks everything as one unit: files readable, key decrypts, key matches certificate, certificate
 * in its validity, chain in order, at least one CA. On failure returns NULL and a fault of one line that
 * names the file. Warns in `log` of a key that group or world may read. The passphrase is wiped after use. */
MUST_CHECK struct credentials *credentials_load(const struct credentials_options *options, struct log *log,
                                                struct fault *fault);

struct credentials *credentials_share(struct credentials *credentials);
/* NULL is fine. */
void credentials_release(struct credentials *credentials);

/* End of validity of the own leaf certificate, seconds since the epoch. */
int64_t credentials_not_after(const struct credentials *credentials);

/* ---- for wire/tls_channel only: the types below are BoringSSL's ---- */

/* A new SSL of this set in its role, certificate verification wired to `check` (borrowed), SNI sent when
 * server_name is a DNS name. The caller owns it; NULL when out of memory. Holds no reference to the set: the
 * caller shares it. The SSL's app data is taken: see credentials_check_of. */
struct ssl_st *credentials_start_session(struct credentials *credentials, struct peer_check *check);

/* The check an SSL was started with. */
struct peer_check *credentials_check_of(const struct ssl_st *ssl);

/* Client: called with every session that may be resumed later; returns 1 to keep the reference it is given,
 * else 0. One callback per set; saying it again, from any thread, is fine. */
void credentials_on_new_session(struct credentials *credentials,
                                int (*callback)(struct ssl_st *, struct ssl_session_st *));

/* Repeats the peer check of a finished handshake: for resumed sessions, whose certificate BoringSSL does not
 * verify again. False: check->reason and detail say why. */
MUST_CHECK bool credentials_recheck_peer(struct credentials *credentials, struct ssl_st *ssl,
                                         struct peer_check *check);

#endif
