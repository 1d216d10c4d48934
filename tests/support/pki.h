/* Certificates of every kind a test may want, made in a directory of its own.
 *
 * Failing to make one fails the test. */
#ifndef HUSK_TESTS_SUPPORT_PKI_H
#define HUSK_TESTS_SUPPORT_PKI_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { TEST_PATH_BYTES = 128 };

/* A part of a name: a NID and its text, or a GEN_ type and its bytes. */
struct test_name {
    int type;
    const char *bytes;
    size_t length; /* 0: up to the NUL */
};

enum { TEST_NAMES_MAX = 8 };

/* What a certificate says. Zeros leave a thing out; both times zero: valid from a day ago until in a day. */
struct test_profile {
    struct test_name subject[TEST_NAMES_MAX];
    struct test_name alternatives[TEST_NAMES_MAX];
    const char *extended_key_usage;
    int64_t not_before, not_after;
    int is_ca;
};

enum { TEST_YEAR_2000 = 946684800 };                /* 2000-01-01T00:00:00Z */
static const int64_t TEST_YEAR_2099 = 4070908800ll; /* 2099-01-01T00:00:00Z */

/* A certificate and its key. */
struct test_pair {
    X509 *certificate;
    EVP_PKEY *key;
};

EVP_PKEY *test_key_new(void);
EVP_PKEY *test_rsa_key_new(void);
/* Takes the reference to `key`. `issuer` NULL: self-signed. */
struct test_pair test_issue_for(EVP_PKEY *key, const struct test_profile *profile,
                                const struct test_pair *issuer);
/* With a fresh P-256 key. */
struct test_pair test_issue(const struct test_profile *profile, const struct test_pair *issuer);
struct test_pair test_issue_ca(const char *cn);
void test_pair_free(struct test_pair *pair);

/* A fresh directory in `path`; test_directory_remove removes it with its files. */
void test_directory_make(char path[TEST_PATH_BYTES]);
void test_directory_remove(const char *path);

/* Writes directory/name and returns its path in `path`. */
const char *test_write(const char *directory, const char *name, const char *text, char path[TEST_PATH_BYTES]);
const char *test_write_certificates(const char *directory, const char *name, X509 *const *certificates,
                                    size_t count, char path[TEST_PATH_BYTES]);
/* PKCS#8, mode 0600. */
const char *test_write_key(const char *directory, const char *name, const EVP_PKEY *key,
                           char path[TEST_PATH_BYTES]);

#endif
