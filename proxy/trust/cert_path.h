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

#include "trust/strength.h"

#include <stdbool.h>

struct revocation;
struct stack_st_X509;
struct x509_st;

/* How many issuers are tried for one peer, over all its paths. Bounds the work that a peer can cause: an
 * issuer costs one signature if it is the wrong one. Go's crypto/x509 checks as many signatures. */
enum { CERT_PATH_ISSUERS_MAX = 100 };

struct cert_path_rules {
    const struct stack_st_X509 *trusted_cas; /* borrowed; shared between threads */
    int purpose;     /* X509_PURPOSE_SSL_CLIENT or X509_PURPOSE_SSL_SERVER: what the peer must be */
    bool allow_weak; /* accept what trust/strength.h calls weak */
    const struct revocation *revocation; /* borrowed; shared between threads; NULL: there are no lists */
};

enum { CERT_PATH_WEAK = -1 }; /* an error: the path is valid, but weak below its CA */

/* What is wrong with the best path. The nearer the fault is to the peer's certificate, the better is the
 * path. */
struct cert_path_failure {
    int error; /* CERT_PATH_WEAK or X509_V_ERR_…; of these CERT_CHAIN_TOO_LONG: CERT_PATH_ISSUERS_MAX were
                  tried */
    struct x509_st *certificate;    /* that has the error; borrowed from the chain or from the CAs */
    char flaw[STRENGTH_FLAW_BYTES]; /* of CERT_PATH_WEAK */
};

/* True if a valid path exists from the first certificate of `chain` (borrowed, not empty) through others of
 * `chain`, in any order, to one of the CAs. Else fills `failure`. */
bool cert_path_find(const struct stack_st_X509 *chain, const struct cert_path_rules *rules,
                    struct cert_path_failure *failure);

#endif
