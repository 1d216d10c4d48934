/* Verifies the certificate of one peer, and says exactly why a peer is refused.
 *
 * Knows X.509 and the policy; knows nothing of files, SSL objects and connections. */
#ifndef HUSK_TRUST_PEER_CHECK_H
#define HUSK_TRUST_PEER_CHECK_H

#include "base/end_reason.h"
#include "trust/identity.h"
#include "trust/peer_policy.h"

#include <stdbool.h>
#include <stdint.h>

struct revocation;
struct stack_st_X509;

enum tls_role { TLS_CLIENT, TLS_SERVER };

enum { PEER_CHECK_DETAIL_BYTES = 256 };

/* The question and the verdict. Must live as long as the SSL of the session. */
struct peer_check {
    const char
        *server_name; /* borrowed; client: the DNS name or IP address that the server must prove; else NULL */
    enum end_reason reason;               /* END_NONE, or why the peer was refused */
    struct identity *identity;            /* of the peer, when its chain is verified; owned */
    char detail[PEER_CHECK_DETAIL_BYTES]; /* for the log: the error and the certificate that has it */
};

/* The rules for all peers of a set of credentials. Everything is borrowed. */
struct peer_check_rules {
    enum tls_role role;               /* our role: the peer's certificate must be valid for the other role */
    bool allow_cn_as_name;            /* client: see credentials_options */
    bool allow_weak;                  /* see credentials_options */
    const struct peer_policy *policy; /* server; NULL: every verified peer is allowed */
    const struct stack_st_X509 *trusted_cas; /* shared between threads */
    const struct revocation *revocation;     /* shared between threads; NULL: there are no lists */
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
