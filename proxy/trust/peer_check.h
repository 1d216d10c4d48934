/* The check of one peer's certificate: is it the peer's we want, and if not, why exactly.
 *
 * Knows X.509 and the policy; knows nothing of files, SSL objects or connections. */
#ifndef HUSK_TRUST_PEER_CHECK_H
#define HUSK_TRUST_PEER_CHECK_H

#include "base/end_reason.h"
#include "trust/identity.h"
#include "trust/peer_policy.h"

#include <stdbool.h>
#include <stdint.h>

struct stack_st_X509;
struct x509_store_st;

enum tls_role { TLS_CLIENT, TLS_SERVER };

enum { PEER_CHECK_DETAIL_BYTES = 256 };

/* Question and answer. Lives as long as the session's SSL. */
struct peer_check {
    const char *server_name;   /* borrowed; client: DNS name or IP address the server must prove; else NULL */
    enum end_reason reason;    /* END_NONE, or why the peer was refused */
    struct identity *identity; /* of the peer, once its chain is verified; owned by the check */
    char
        detail[PEER_CHECK_DETAIL_BYTES]; /* for the log: what exactly was wrong, and with which certificate */
};

/* What is the same for all peers of a set of credentials. Everything is borrowed. */
struct peer_check_rules {
    enum tls_role role;                /* ours: the peer must be meant for the other one */
    bool allow_cn_as_name;             /* client: see credentials_options */
    const struct peer_policy *policy;  /* server: NULL allows any verified peer */
    struct x509_store_st *trusted_cas; /* shared between threads */
};

/* Verifies `chain` (the peer's certificate first; borrowed) and files the verdict in `check`, in place of an
 * earlier one. False: reason and detail say why, and *alert is what to tell the peer (RFC 8446, 6.2). */
bool peer_check_verify(struct peer_check *check, const struct peer_check_rules *rules,
                       struct stack_st_X509 *chain, uint8_t *alert);

void peer_check_deinit(struct peer_check *check);

#endif
