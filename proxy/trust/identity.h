/* The identity in a verified peer certificate: URI and DNS SANs, CN, OU, SPKI hash.
 *
 * Owns its strings. Pure data: the policy and the log read it. Only trust/identity.c knows X.509. */
#ifndef HUSK_TRUST_IDENTITY_H
#define HUSK_TRUST_IDENTITY_H

#include <stddef.h>

struct x509_st;

enum { IDENTITY_SPKI_HEX_BYTES = 65 };

/* All names of a kind: the limit of the handshake's certificates is the only limit. */
struct identity_names {
    size_t count, capacity;
    char **values;
};

struct identity {
    char *cn; /* the most specific CN, or NULL: none, or not valid text */
    struct identity_names ou;
    struct identity_names dns;          /* dNSName SANs */
    struct identity_names uri;          /* uniformResourceIdentifier SANs */
    char spki[IDENTITY_SPKI_HEX_BYTES]; /* SHA-256 of SubjectPublicKeyInfo, lower-case hex (RFC 7469, 2.4) */
};

/* Reads the identity from a certificate. Leaves out names that are empty, are not valid text or contain a NUL
 * byte: they must never match a rule. The caller frees it with identity_free. NULL when out of memory. */
struct identity *identity_from_certificate(struct x509_st *certificate);

void identity_free(struct identity *identity);

/* Describes the identity for logs: the first URI, else the first DNS name, else the CN, each with its kind
 * ("uri:spiffe://…", "dns:agent-1", "cn:client"), else "spki:<hex>". Terminated, cut to `size`. */
void identity_describe(const struct identity *identity, char *text, size_t size);

/* Lists all names that a rule can match, each with its kind: "cn:client, ou:logs, dns:agent-1,
 * uri:spiffe://…". Without a name: "spki:<hex>". Terminated, cut to `size`. */
void identity_list_names(const struct identity *identity, char *text, size_t size);

#endif
