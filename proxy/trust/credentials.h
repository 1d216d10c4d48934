/* An immutable, refcounted set: certificate, key, CAs, and the SSL_CTX made of them.
 *
 * Owns the SSL_CTX. Knows BoringSSL, verifies peers, says why it refused one; knows nothing of sockets or
 * loops. Any thread may share, release and start sessions; the set never changes after loading: a reload
 * makes a new one, and connections that began with the old one end with it. */
#ifndef HUSK_TRUST_CREDENTIALS_H
#define HUSK_TRUST_CREDENTIALS_H

#include "base/end_reason.h"
#include "base/fault.h"
#include "base/log.h"
#include "trust/identity.h"
#include "trust/peer_policy.h"

#include <stdbool.h>
#include <stdint.h>

struct ssl_st;
struct ssl_session_st;

enum tls_role { TLS_CLIENT, TLS_SERVER };
enum tls_version { TLS_VERSION_1_2, TLS_VERSION_1_3 };

struct credentials_options {
    enum tls_role role;
    const char *cert_file;       /* PEM: leaf first, then intermediates */
    const char *key_file;        /* PEM: PKCS#8 (plain or PBES2) or the older DEK-Info form */
    const char *ca_file;         /* PEM: the CAs peers are verified against */
    const char *passphrase_env;  /* name of the variable that holds the key's passphrase, or NULL */
    const char *passphrase_file; /* file whose first line is the passphrase, or NULL */
    enum tls_version min_version, max_version;
    bool allow_cn_as_name;            /* client: match the server name with the CN where there is no SAN */
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

enum { PEER_CHECK_DETAIL_BYTES = 256 };

/* The check of one peer: question and answer. Lives as long as the session's SSL. */
struct peer_check {
    const char *server_name;   /* borrowed; client: DNS name or IP address the server must prove; else NULL */
    enum end_reason reason;    /* END_NONE, or why the peer was refused */
    struct identity *identity; /* the verified peer's, once known; owned by the check */
    char
        detail[PEER_CHECK_DETAIL_BYTES]; /* for the log: what exactly was wrong, and with which certificate */
};

void peer_check_deinit(struct peer_check *check);

/* A new SSL of this set in its role, certificate verification wired to `check` (borrowed), SNI sent when
 * server_name is a DNS name. The caller owns it; NULL when out of memory. Holds no reference to the set: the
 * caller shares it. */
struct ssl_st *credentials_start_session(struct credentials *credentials, struct peer_check *check);

/* Repeats the peer check of a finished handshake: for resumed sessions, whose certificate BoringSSL does not
 * verify again. False: check->reason and detail say why. */
MUST_CHECK bool credentials_recheck_peer(struct credentials *credentials, struct ssl_st *ssl,
                                         struct peer_check *check);

#endif
