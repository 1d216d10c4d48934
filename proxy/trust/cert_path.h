/* Finds a valid certification path (RFC 5280, 6; RFC 4158) from a peer's certificate to one of our CAs.
 *
 * Several certificates may have the name of an issuer: a CA and its successor, two CAs of one name, an
 * intermediate that two roots signed. X509_verify_cert tries one of them. This unit tries all: it lines up
 * paths by the names in the certificates, and lets X509_verify_cert judge each path on its own. Every CA of
 * ours is a trust anchor, self-signed or not.
 *
 * Knows X.509; knows nothing of files, names of servers and policies. Keeps no state. */
#ifndef HUSK_TRUST_CERT_PATH_H
#define HUSK_TRUST_CERT_PATH_H

#include "trust/ocsp.h"
#include "trust/revocation.h"
#include "trust/strength.h"

#include <stdbool.h>
#include <stdint.h>

struct stack_st_X509;
struct x509_st;

/* How many issuers are tried for one peer, over all its paths. Bounds the work that a peer can cause: an
 * issuer costs one signature if it is the wrong one. Go's crypto/x509 checks as many signatures. */
enum { CERT_PATH_ISSUERS_MAX = 100 };

struct cert_path_rules {
    const struct stack_st_X509 *trusted_cas; /* borrowed; shared between threads */
    int purpose;     /* X509_PURPOSE_SSL_CLIENT or X509_PURPOSE_SSL_SERVER: what the peer must be */
    bool allow_weak; /* accept what trust/strength.h calls weak */
    struct revocation_use revocation; /* borrowed; shared between threads */
    struct ocsp_response staple;      /* borrowed: about the first certificate of the chain */
};

/* Errors beside those of X509_V_ERR_…: the path is valid, but */
enum {
    CERT_PATH_WEAK = -1,     /* weak below its CA */
    CERT_PATH_UNPROVEN = -2, /* REVOCATION_REQUIRE: nothing shows that a certificate is not revoked */
};

/* What shows whether a certificate is revoked. */
struct cert_path_evidence {
    enum revocation_status list; /* what the lists say */
    enum ocsp_status staple;     /* what the staple says; OCSP_NONE: the certificate has none */
    bool demands_staple;         /* a certificate of a server that must show OCSP_GOOD (RFC 7633) */
};

/* What is wrong with the best path. The nearer the fault is to the peer's certificate, the better is the
 * path. */
struct cert_path_failure {
    int error; /* CERT_PATH_… or X509_V_ERR_…; of these CERT_CHAIN_TOO_LONG: CERT_PATH_ISSUERS_MAX were
                  tried */
    struct x509_st *certificate;    /* that has the error; borrowed from the chain or from the CAs */
    char flaw[STRENGTH_FLAW_BYTES]; /* of CERT_PATH_WEAK */
    bool lacks_issuer; /* of UNABLE_TO_GET_ISSUER_CERT_LOCALLY: no CA has the name of the issuer */
    struct cert_path_evidence evidence; /* of CERT_PATH_UNPROVEN and of X509_V_ERR_CERT_REVOKED */
};

/* True if a valid path exists from the first certificate of `chain` (borrowed, not empty) through others of
 * `chain`, in any order, to one of the CAs: sets *not_after to the first end of a certificate of this path,
 * with its CA, in seconds since the epoch, and failure->evidence is about the first certificate. Else fills
 * `failure`. */
bool cert_path_find(const struct stack_st_X509 *chain, const struct cert_path_rules *rules,
                    int64_t *not_after, struct cert_path_failure *failure);

#endif
