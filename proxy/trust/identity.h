/* The identity in a verified peer certificate: URI, DNS and e-mail SANs, CN, O, OU, SPKI hash, issuer.
 *
 * Owns its strings. Pure data: the policy and the log read it. Only trust/identity.c knows X.509. */
#ifndef HUSK_TRUST_IDENTITY_H
#define HUSK_TRUST_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>

struct x509_st;

enum { IDENTITY_SPKI_HEX_BYTES = 65 };

/* All names of a kind: the limit of the handshake's certificates is the only limit. */
struct identity_names {
    size_t count, capacity;
    char **values;
    bool is_incomplete; /* a name was left out: see identity_from_certificate */
};

struct identity {
    char *cn;                        /* the most specific CN, or NULL: none, or not valid text */
    bool cn_is_unreadable;           /* there is one that is not valid text */
    struct identity_names other_cns; /* the CNs in front of it: they admit nobody, but can be denied */
    struct identity_names o, ou;
    struct identity_names dns;   /* dNSName SANs, without a final dot */
    struct identity_names uri;   /* uniformResourceIdentifier SANs */
    struct identity_names email; /* rfc822Name SANs */
    char *issuer;                /* name of the CA that has issued the certificate, as in RFC 2253, or NULL */
    char spki[IDENTITY_SPKI_HEX_BYTES]; /* SHA-256 of SubjectPublicKeyInfo, lower-case hex (RFC 7469, 2.4) */
};

/* Reads the identity from a certificate. Leaves out names that are empty, are not valid text or contain a NUL
 * byte, and URIs that begin as a SPIFFE ID and are none: they must never match a rule, nor the `not` of a
 * rule. The caller frees it with identity_free. NULL when out of memory. */
struct identity *identity_from_certificate(struct x509_st *certificate);

/* The length of a DNS name without its final dot. */
size_t identity_dns_length(const char *name, size_t length);

void identity_free(struct identity *identity);

enum identity_name { IDENTITY_CN, IDENTITY_URI, IDENTITY_DNS, IDENTITY_SPKI, IDENTITY_NAME_COUNT };

/* The CN, the first URI or DNS name, or the hash of the key; borrowed. NULL: the certificate has none. */
const char *identity_name(const struct identity *identity, enum identity_name name);

/* Describes the identity for logs: the first URI, else the first DNS name, else the CN, each with its kind
 * ("uri:spiffe://…", "dns:agent-1", "cn:client"), else "spki:<hex>". Terminated, cut to `size`. */
void identity_describe(const struct identity *identity, char *text, size_t size);

/* Lists all names of the subject that a rule can match, each with its kind: "cn:client, ou:logs, dns:agent-1,
 * uri:spiffe://…". Without a name: "spki:<hex>". Terminated, cut to `size`. */
void identity_list_names(const struct identity *identity, char *text, size_t size);

#endif
