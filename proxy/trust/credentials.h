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
#include "base/metrics.h"
#include "trust/alpn.h"
#include "trust/credentials_options.h"
#include "trust/peer_check.h"
#include "trust/validity.h"

#include <stdbool.h>
#include <stdint.h>

struct ssl_st;
struct ssl_session_st;

struct credentials; /* shared */

/* Finds the files (trust/credentials_files.h). Loads and checks everything as one unit: the files are
 * readable, the key decrypts and matches the certificate, the certificate is valid now, the chain is in
 * order, there is at least one CA if peers are verified, and each revocation list can be applied. On failure
 * returns NULL and a one-line fault that names the file. Logs a warning if group or world may read the key,
 * if a certificate of ours or the key of a CA is weak, and if weak peers, or all servers, are accepted. The
 * passphrase is wiped after use. */
MUST_CHECK struct credentials *credentials_load(const struct credentials_options *options, struct log *log,
                                                struct fault *fault);

/* The same, from a message of the Workload API if options->svid has a socket; else `message` is NULL. The
 * fault names the socket. */
MUST_CHECK struct credentials *credentials_load_from(const struct credentials_options *options,
                                                     const struct svid_message *message, struct log *log,
                                                     struct fault *fault);

/* A set in place of one that the Workload API has withdrawn: it has no certificate, and refuses every peer,
 * also when open connections are judged again. NULL: out of memory, and the fault says so. */
MUST_CHECK struct credentials *credentials_withdraw(enum tls_role role, struct fault *fault);
/* NULL is fine. */
bool credentials_are_withdrawn(const struct credentials *credentials);

struct credentials *credentials_share(struct credentials *credentials);
/* NULL is fine. */
void credentials_release(struct credentials *credentials);

/* Whether both sets show peers the same certificate and chain. */
bool credentials_have_same_certificate(const struct credentials *a, const struct credentials *b);

/* Whether husk has no certificate to show. */
bool credentials_show_nothing(const struct credentials *credentials);

/* Whether a client needs no name of a server. */
bool credentials_ignore_name(const struct credentials *credentials);

/* The revocation lists of the set. Borrowed from the set. NULL is fine. */
struct revocation_use credentials_revocation(const struct credentials *credentials);

/* Whether the set accepts every server. NULL is fine. */
bool credentials_verify_nothing(const struct credentials *credentials);

/* When the certificates of the set expire; of several certificates of husk, the first expiry counts. */
struct validity credentials_validity(const struct credentials *credentials);

/* When each certificate of husk is valid, in the order of the settings. Borrowed from the set. NULL is fine.
 */
const struct metrics_certificate *credentials_certificates(const struct credentials *credentials,
                                                           size_t *count);

/* ---- for wire/tls_channel only: the types below are BoringSSL's ---- */

/* A new SSL in the role of this set. It verifies the peer's certificate with `check` (borrowed) and sends SNI
 * if it is a client. The caller owns it, must share the set while it uses the SSL, and leaves the SSL's app
 * data alone. If our key is in a token, the caller owns check->signature, too. NULL when out of memory. */
struct ssl_st *credentials_start_session(struct credentials *credentials, struct peer_check *check);

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
