/* What a PKI of husk looks like: names of files, keys, lifetimes, subjects and extensions. Two profiles.
 *
 * Pure data. Knows the numbers of X.509 (NID); makes nothing. */
#ifndef HUSK_PKI_PROFILE_H
#define HUSK_PKI_PROFILE_H

#include <stdbool.h>

/* What a certificate is for. */
enum profile_use { PROFILE_ROOT, PROFILE_INTERMEDIATE, PROFILE_SERVER, PROFILE_CLIENT, PROFILE_USE_COUNT };

/* The files of a PKI. A file of a server or client has the name of the certificate in its path. */
enum profile_file {
    PROFILE_ROOT_CERT,
    PROFILE_ROOT_KEY,
    PROFILE_INTERMEDIATE_CERT, /* NULL: the profile has no intermediate */
    PROFILE_INTERMEDIATE_KEY,
    PROFILE_CERT,             /* of a name: the certificate and its intermediate */
    PROFILE_KEY,              /* of a name */
    PROFILE_REQUEST,          /* of a name */
    PROFILE_ISSUED,           /* of a serial number: the certificate */
    PROFILE_INDEX,            /* the journal of the CA that signs servers and clients */
    PROFILE_ROOT_INDEX,       /* what the root has revoked; NULL: the root signs servers and clients */
    PROFILE_INDEX_ATTRIBUTES, /* NULL: subjects need not be unique */
    PROFILE_SERIAL,           /* the next serial number; NULL: serial numbers are random */
    PROFILE_OPENSSL_CONFIG,   /* NULL: none */
    PROFILE_CRL,
    PROFILE_CRL_NUMBER,
    PROFILE_ROOT_CRL, /* NULL: the root signs servers and clients */
    PROFILE_ROOT_CRL_NUMBER,
    PROFILE_LOCK,
    PROFILE_FILE_COUNT
};

struct profile_extension {
    int nid;
    const char *value; /* as in a configuration file of OpenSSL; for nsCertType the DER bytes of its value */
};

struct profile {
    const char *name;
    const char *const *folders;            /* of the directory; NULL-terminated */
    const char *files[PROFILE_FILE_COUNT]; /* relative to the directory; "%s" stands for the name */
    int rsa_bits;                          /* 0: the keys are ECDSA P-256 */
    unsigned kdf_iterations;               /* of an encrypted key (PBKDF2) */
    bool encrypts_keys;                    /* a new key needs a passphrase */
    bool has_alternatives;      /* names are in the subjectAltName; false: one name, in the CN only */
    bool keeps_requests;        /* a certificate is made from a request, which stays as a file */
    bool has_strict_subject;    /* C, ST and O of a request must be those of the CA */
    unsigned backdated_seconds; /* how long before its making a certificate becomes valid */
    unsigned days[PROFILE_USE_COUNT];
    const char *subject; /* of a CA, "/C=US/O=example"; its C, ST and O stand in each certificate */
    const char *cn[PROFILE_USE_COUNT]; /* of CAs */
    const struct profile_extension
        *extensions[PROFILE_USE_COUNT]; /* in their order; the last one has nid 0 */
};

extern const struct profile profile_modern, profile_seed;

/* The names of the profiles, NULL-terminated, and the profile at this place. */
extern const char *const profile_names[];
const struct profile *profile_at(unsigned index);

/* The CA that signs certificates of servers and clients. */
enum profile_use profile_issuing_ca(const struct profile *profile);
/* The files of a CA. */
enum profile_file profile_ca_cert(enum profile_use ca);
enum profile_file profile_ca_key(enum profile_use ca);
/* The journal and the revocation list of a CA, and the number of the next list. */
struct profile_books {
    enum profile_file index, crl, crl_number;
};
struct profile_books profile_books_of(const struct profile *profile, enum profile_use ca);
/* The name by which commands call a CA: "ca", "intermediate". */
const char *profile_ca_name(enum profile_use ca);

#endif
