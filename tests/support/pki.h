/* Keys, certificates and PEM files for unit tests. Every failure in here fails the test. */
#ifndef HUSK_TESTS_SUPPORT_PKI_H
#define HUSK_TESTS_SUPPORT_PKI_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { PKI_PATH_BYTES = 128 };

/* One part of a certificate's subject (NID and text) or one alternative name (GEN_ type and bytes). */
struct pki_name {
    int type;
    const char *bytes;
    size_t length; /* 0: the length up to the NUL */
};

enum { PKI_NAMES_MAX = 8 };

/* The contents of a certificate. A field that is zero is left out. When both times are zero, the certificate
 * is valid from one day ago to one day ahead. */
struct pki_profile {
    struct pki_name subject[PKI_NAMES_MAX];
    struct pki_name alternatives[PKI_NAMES_MAX];
    const char *basic_constraints; /* NULL: those of a CA or of a leaf, as is_ca says; "": none */
    const char *name_constraints;
    const char *key_usage;
    const char *extended_key_usage;
    const EVP_MD *digest; /* NULL: SHA-256 */
    int64_t not_before, not_after;
    int is_ca;
    int has_no_key_identifiers;
    int has_unknown_critical_extension;
};

enum { PKI_YEAR_2000 = 946684800 };                /* 2000-01-01T00:00:00Z */
static const int64_t PKI_YEAR_2099 = 4070908800ll; /* 2099-01-01T00:00:00Z */

/* A certificate and its key. */
struct pki_pair {
    X509 *certificate;
    EVP_PKEY *key;
};

EVP_PKEY *pki_key_new(void);
EVP_PKEY *pki_rsa_key_new(int bits);
/* `curve`: an NID. */
EVP_PKEY *pki_ec_key_new(int curve);
/* Takes `key`. `issuer` NULL: the certificate is self-signed. */
struct pki_pair pki_issue_for(EVP_PKEY *key, const struct pki_profile *profile,
                              const struct pki_pair *issuer);
/* The same, with the key of another certificate. */
struct pki_pair pki_issue_again(const struct pki_pair *owner, const struct pki_profile *profile,
                                const struct pki_pair *issuer);
/* The same, with a new P-256 key. */
struct pki_pair pki_issue(const struct pki_profile *profile, const struct pki_pair *issuer);
struct pki_pair pki_issue_ca(const char *cn);
void pki_pair_free(struct pki_pair *pair);

/* Writes the files ca, server and client, each with .crt.pem and .key.pem, into a directory. The CA signs
 * both certificates, which are valid for `days` from five minutes ago on. Names of the server are DNS names
 * and IP addresses; the client has the CN and the DNS name "client". */
void pki_site_make(const char *directory, const char *const *server_names, size_t count, int days);

/* Makes a new directory and writes its path to `path`. */
void pki_directory_make(char path[PKI_PATH_BYTES]);
/* Removes the directory and the files in it. */
void pki_directory_remove(const char *path);

/* Writes the file directory/name, writes its path to `path` and returns `path`. */
const char *pki_write(const char *directory, const char *name, const char *text, char path[PKI_PATH_BYTES]);
const char *pki_write_certificates(const char *directory, const char *name, X509 *const *certificates,
                                   size_t count, char path[PKI_PATH_BYTES]);
/* PKCS#8, mode 0600. */
const char *pki_write_key(const char *directory, const char *name, const EVP_PKEY *key,
                          char path[PKI_PATH_BYTES]);

#endif
