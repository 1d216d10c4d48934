/* Verifies the certificate of one peer, and says exactly why a peer is refused.
 *
 * Knows X.509 and the policy; knows nothing of files, SSL objects and connections. */
#ifndef HUSK_TRUST_PEER_CHECK_H
#define HUSK_TRUST_PEER_CHECK_H

#include "base/end_reason.h"
#include "trust/identity.h"
#include "trust/ocsp.h"
#include "trust/peer_policy.h"
#include "trust/revocation.h"
#include "trust/svid_bundles.h"

#include <stdbool.h>
#include <stdint.h>

struct stack_st_X509;
struct token_signature;

enum tls_role { TLS_CLIENT, TLS_SERVER };

enum { PEER_CHECK_DETAIL_BYTES = 256 };

/* The question and the verdict. Must live as long as the SSL of the session. */
struct peer_check {
    const char
        *server_name; /* borrowed; client: the DNS name or IP address that the server must prove; else NULL */
    struct ocsp_response staple; /* borrowed while peer_check_verify runs; client: of the server */
    enum ocsp_status bad_staple; /* REVOCATION_WARN: of a staple that shows nothing, although no list shows
                                    that the server is not revoked; else OCSP_NONE */
    bool demands_staple;         /* the server must staple: its session must not be resumed without */
    enum end_reason reason;      /* END_NONE, or why the peer was refused */
    struct identity *identity; /* of the peer, when its chain is verified; owned; NULL: also of a peer without
                                  certificate */
    int64_t not_after; /* of an accepted peer with a certificate: the first end of a certificate of its chain,
                          with the CA, in seconds since the epoch */
    char detail[PEER_CHECK_DETAIL_BYTES]; /* for the log: the error and the certificate that has it */
    bool lacks_issuer; /* of END_CERTIFICATE_UNKNOWN_CA: the last issuer was not sent, and no CA of ours has
                          its name: the issuer may be an intermediate that is missing */
    struct token_signature *signature; /* ours, if our key is in a token; owned by the owner of the session */
};

/* The rules for all peers of a set of credentials. Everything is borrowed. */
struct peer_check_rules {
    enum tls_role role;               /* our role: the peer's certificate must be valid for the other role */
    bool allow_cn_as_name;            /* client: see credentials_options */
    bool ignores_name;                /* the same */
    bool verifies_nothing;            /* client: every server is good */
    bool allow_weak;                  /* see credentials_options */
    bool trusts_nobody;               /* the credentials are withdrawn: every peer is refused */
    bool allows_anonymous;            /* server: the policy decides about a peer without certificate; else it
                                         is refused */
    const struct peer_policy *policy; /* NULL: every verified peer is allowed */
    const struct stack_st_X509 *trusted_cas; /* shared between threads */
    const struct svid_bundles *bundles; /* shared between threads; NULL: peers are not X.509-SVIDs. Else each
                                           peer is verified with the bundle of its trust domain, and a server
                                           by the policy, or without one by its trust domain, which
                                           is ours, and not by its name */
    struct revocation_use revocation;   /* shared between threads */
};

/* Verifies `chain` (borrowed; the peer's certificate first) and stores the verdict in `check`, replacing an
 * earlier one. False: check->reason and check->detail say why, and *alert is the alert for the peer (RFC
 * 8446, 6.2). */
bool peer_check_verify(struct peer_check *check, const struct peer_check_rules *rules,
                       struct stack_st_X509 *chain, uint8_t *alert);

/* Verifies the chain alone, as above, but neither name nor policy. */
bool peer_check_verify_chain(struct peer_check *check, const struct peer_check_rules *rules,
                             const struct stack_st_X509 *chain, uint8_t *alert);

void peer_check_deinit(struct peer_check *check);

#endif
