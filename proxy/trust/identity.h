/* What a verified peer certificate says: URI and DNS SANs, CN, OU, SPKI hash.
 *
 * Owns its strings. Pure data: the policy and the log read it; only trust/identity.c knows X.509. */
#ifndef HUSK_TRUST_IDENTITY_H
#define HUSK_TRUST_IDENTITY_H

#include <stddef.h>

struct x509_st;

enum { IDENTITY_NAMES_MAX = 64, IDENTITY_SPKI_HEX_BYTES = 65 };

struct identity_names {
    size_t count; /* at most IDENTITY_NAMES_MAX; further ones are ignored */
    char **values;
};

struct identity {
    char *cn; /* the most specific CN, or NULL */
    struct identity_names ou;
    struct identity_names dns;          /* dNSName SANs */
    struct identity_names uri;          /* uniformResourceIdentifier SANs */
    char spki[IDENTITY_SPKI_HEX_BYTES]; /* SHA-256 of SubjectPublicKeyInfo, lower-case hex (RFC 7469, 2.4) */
};

/* Reads a certificate. Names that are empty, not valid UTF-8 text, or contain a NUL byte are left out: they
 * must never match anything. The caller frees it with identity_free; NULL when out of memory. */
struct identity *identity_from_certificate(struct x509_st *certificate);

void identity_free(struct identity *identity);

/* One line for logs: the first URI, else the first DNS name, else the CN, with its kind: "uri:spiffe://…",
 * "dns:agent-1", "cn:client", or "spki:<hex>" when there is no name. Terminated, cut to `size`. */
void identity_describe(const struct identity *identity, char *text, size_t size);

#endif
