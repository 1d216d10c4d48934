/* proxy/trust/pkcs12_file.c: what a PKCS#12 file must have. scenario/test_credentials_dir.py reads the forms
 * that OpenSSL writes. */
#include "support/pki.h"
#include "trust/pkcs12_file.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <openssl/base64.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/nid.h>
#include <openssl/pkcs8.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH = PKI_PATH_BYTES };

/* A root, an intermediate, and a leaf below it. */
struct fixture {
    char directory[PATH], path[PATH];
    struct pki_pair root, middle, leaf;
    struct pkcs12_file contents;
};

static const struct pki_profile middle_profile = { .subject = { { NID_commonName, "middle", 0 } },
                                                   .is_ca = 1 };
static const struct pki_profile leaf_profile = { .subject = { { NID_commonName, "leaf", 0 } } };

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    pki_directory_make(fixture->directory);
    snprintf(fixture->path, PATH, "%.100s/store.p12", fixture->directory);
    fixture->root = pki_issue_ca("root");
    fixture->middle = pki_issue(&middle_profile, &fixture->root);
    fixture->leaf = pki_issue(&leaf_profile, &fixture->middle);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    pkcs12_file_deinit(&fixture->contents);
    pki_pair_free(&fixture->root);
    pki_pair_free(&fixture->middle);
    pki_pair_free(&fixture->leaf);
    pki_directory_remove(fixture->directory);
    free(fixture);
    return 0;
}

/* Writes the file. `password` NULL: none, which is not the empty one. */
static void write_store(const struct fixture *fixture, const char *password, EVP_PKEY *key, X509 *leaf,
                        X509 *const *others)
{
    STACK_OF(X509) *stack = sk_X509_new_null();
    BIO *file = BIO_new_file(fixture->path, "w");

    for (size_t i = 0; others[i]; i++)
        assert_true(sk_X509_push(stack, others[i]));
    PKCS12 *store = PKCS12_create(password, NULL, key, leaf, stack, 0, 0, 0, 0, 0);
    assert_true(store && i2d_PKCS12_bio(file, store));
    PKCS12_free(store);
    BIO_free(file);
    sk_X509_free(stack);
}

#define OTHERS(...) ((X509 *const[]) { __VA_ARGS__, NULL })

static bool load(struct fixture *fixture, const char *words, struct fault *fault)
{
    struct passphrase passphrase = { .given = words, .length = words ? strlen(words) : 0 };

    if (words)
        memcpy(passphrase.bytes, words, passphrase.length);
    pkcs12_file_deinit(&fixture->contents);
    bool is_loaded = pkcs12_file_load(&fixture->contents, fixture->path, &passphrase, fault);
    assert_int_equal(ERR_peek_error(), 0);
    assert_int_equal(is_loaded, fixture->contents.key && fixture->contents.chain);
    return is_loaded;
}

static void expect_refused(struct fixture *fixture, const char *words, const char *text)
{
    char expected[FAULT_TEXT_BYTES];
    struct fault fault;

    assert_false(load(fixture, words, &fault));
    snprintf(expected, sizeof expected, "%s: %s", fixture->path, text);
    assert_string_equal(fault.text, expected);
    assert_null(fixture->contents.chain);
}

static void expect_chain(struct fixture *fixture, const char *words, X509 *const *expected)
{
    struct fault fault;
    size_t count = 0;

    if (!load(fixture, words, &fault))
        fail_msg("%s", fault.text);
    for (; expected[count]; count++)
        assert_int_equal(X509_cmp(sk_X509_value(fixture->contents.chain, count), expected[count]), 0);
    assert_int_equal(sk_X509_num(fixture->contents.chain), count);
    assert_int_equal(EVP_PKEY_cmp(fixture->contents.key, fixture->leaf.key), 1);
}

static void the_chain_is_put_in_order_and_the_root_left_out(void **state)
{
    struct fixture *fixture = *state;
    struct pki_pair lower = pki_issue(&middle_profile, &fixture->middle),
                    leaf = pki_issue(&leaf_profile, &lower), other = pki_issue_ca("other");

    write_store(fixture, "secret", fixture->leaf.key, fixture->leaf.certificate,
                OTHERS(fixture->root.certificate, fixture->middle.certificate));
    expect_chain(fixture, "secret", OTHERS(fixture->leaf.certificate, fixture->middle.certificate));
    pki_pair_free(&fixture->leaf);
    fixture->leaf = leaf;
    write_store(
        fixture, "secret", leaf.key, leaf.certificate,
        OTHERS(other.certificate, fixture->root.certificate, fixture->middle.certificate, lower.certificate));
    expect_chain(fixture, "secret", OTHERS(leaf.certificate, lower.certificate, fixture->middle.certificate));
    pki_pair_free(&lower);
    pki_pair_free(&other);
}

static void a_self_signed_certificate_is_a_chain(void **state)
{
    struct fixture *fixture = *state;

    write_store(fixture, "secret", fixture->root.key, fixture->root.certificate, OTHERS(NULL));
    pki_pair_free(&fixture->leaf);
    fixture->leaf = fixture->root;
    fixture->root = (struct pki_pair) { 0 };
    expect_chain(fixture, "secret", OTHERS(fixture->leaf.certificate));
}

static void no_password_and_the_empty_one_are_tried(void **state)
{
    struct fixture *fixture = *state;

    write_store(fixture, "", fixture->leaf.key, fixture->leaf.certificate, OTHERS(NULL));
    expect_chain(fixture, NULL, OTHERS(fixture->leaf.certificate));
    write_store(fixture, NULL, fixture->leaf.key, fixture->leaf.certificate, OTHERS(NULL));
    expect_chain(fixture, NULL, OTHERS(fixture->leaf.certificate));
}

static void a_password_that_does_not_fit_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct passphrase right = { .given = true, .length = 6, .bytes = "secret" },
                      wrong = { .given = true, .length = 5, .bytes = "wrong" };

    write_store(fixture, "secret", fixture->leaf.key, fixture->leaf.certificate, OTHERS(NULL));
    expect_refused(fixture, "wrong", "the passphrase does not open the PKCS#12 file");
    assert_true(fixture->contents.is_locked);
    expect_refused(fixture, "\xff\xfe", "the passphrase does not open the PKCS#12 file");
    expect_refused(
        fixture, NULL,
        "the PKCS#12 file has a password: give it with --key-passphrase-env or --key-passphrase-file");
    assert_true(fixture->contents.is_locked);
    assert_true(pkcs12_file_opens(fixture->path, &right));
    assert_false(pkcs12_file_opens(fixture->path, &wrong));
}

static void what_is_missing_in_the_file_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct pki_pair other = pki_issue_ca("other");
    char text[FAULT_TEXT_BYTES];

    write_store(fixture, "secret", NULL, fixture->leaf.certificate, OTHERS(NULL));
    snprintf(
        text, sizeof text,
        "holds certificates and no private key, as a truststore does; certificates of CAs belong in --ca, "
        "in PEM form: openssl pkcs12 -in %.100s -nokeys -out NEW.pem",
        fixture->path);
    expect_refused(fixture, "secret", text);
    assert_false(fixture->contents.is_locked);
    write_store(fixture, "secret", fixture->leaf.key, NULL,
                OTHERS(other.certificate, fixture->root.certificate));
    expect_refused(
        fixture, "secret",
        "none of its certificates (2) belongs to its private key; make the file again with: openssl "
        "pkcs12 -export -inkey KEY.pem -in CERT.pem -out NEW.p12");
    write_store(fixture, "secret", fixture->leaf.key, NULL, OTHERS(NULL));
    expect_refused(fixture, "secret",
                   "holds a private key and no certificate; make the file again with: openssl pkcs12 -export "
                   "-inkey KEY.pem -in CERT.pem -out NEW.p12");
    pki_pair_free(&other);
}

/* What OpenSSL does not write. The password is "secret". */
static const char two_keys[] = "MIHyAgEDMIGtBgkqhkiG9w0BBwGggZ8EgZwwgZkwgZYGCSqGSIb3DQEHAaCBiASBhTCBgjA/Bgsq"
                               "hkiG9w0BDAoBAaAwMC4CAQAwBQYDK2VwBCIEIG0LNuV1MaOLbTsnizi+g3B3JoiIcYOPDscJAg6+"
                               "25o6MD8GCyqGSIb3DQEMCgEBoDAwLgIBADAFBgMrZXAEIgQgD6lwkI2YVjt2Mu9/xT5xsBsf4uRB"
                               "fHYFU23YSzpi2f0wPTAxMA0GCWCGSAFlAwQCAQUABCAWf3wJ7fXWeneZKVnmqXEkGDssW+3Gwn+4"
                               "s0UYq10G9wQIc2FsdHNhbHQ=";
static const char nothing[] = "MGgCAQMwJAYJKoZIhvcNAQcBoBcEFTATMBEGCSqGSIb3DQEHAaAEBAIwADA9MDEwDQYJYIZIAWUD"
                              "BAIBBQAEICvNubqeVUB4SPoShKF8EUebyIz0pRGLnMF6dWG9/7ReBAhzYWx0c2FsdA==";

static void write_base64(const struct fixture *fixture, const char *text)
{
    uint8_t bytes[1024];
    size_t length;

    assert_true(EVP_DecodeBase64(bytes, &length, sizeof bytes, (const uint8_t *)text, strlen(text)));
    FILE *file = fopen(fixture->path, "w");
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    fclose(file);
}

static void two_keys_and_no_contents_are_told(void **state)
{
    struct fixture *fixture = *state;
    char text[FAULT_TEXT_BYTES];

    write_base64(fixture, two_keys);
    snprintf(
        text, sizeof text,
        "holds several private keys; export one of them with: keytool -importkeystore -srckeystore %.100s "
        "-srcalias ALIAS -destkeystore NEW.p12 -deststoretype PKCS12",
        fixture->path);
    expect_refused(fixture, "secret", text);
    write_base64(fixture, nothing);
    expect_refused(fixture, "secret", "holds no private key and no certificate");
}

static void a_file_of_another_kind_is_told(void **state)
{
    struct fixture *fixture = *state;
    char path[PATH];
    struct fault fault;

    pki_write(fixture->directory, "store.p12", "junk", path);
    assert_false(load(fixture, "secret", &fault));
    assert_non_null(strstr(fault.text, "store.p12: is no PKCS#12 file, or a damaged one"));
    pki_write_key(fixture->directory, "store.p12", fixture->leaf.key, path);
    expect_refused(fixture, "secret", "is PEM, not PKCS#12: give it with --cert and --key");
    pki_write(fixture->directory, "store.p12", "", path);
    assert_false(load(fixture, NULL, &fault));
    for (size_t i = 0; i < 2; i++) {
        pki_write(fixture->directory, "store.p12", i ? "\xce\xce\xce\xce" : "\xfe\xed\xfe\xed", path);
        assert_false(load(fixture, "secret", &fault));
        assert_non_null(strstr(fault.text,
                               "store.p12: is a keystore of Java (JKS), not PKCS#12; convert it with: "
                               "keytool -importkeystore -srckeystore "));
    }
}

static void each_cut_and_each_changed_byte_is_refused(void **state)
{
    struct fixture *fixture = *state;
    char bytes[4096], path[PATH];
    struct fault fault;

    write_store(fixture, "secret", fixture->leaf.key, fixture->leaf.certificate, OTHERS(NULL));
    FILE *file = fopen(fixture->path, "r");
    size_t length = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    for (size_t i = 0; i < length; i += 7) {
        file = fopen(pki_write(fixture->directory, "store.p12", "", path), "w");
        assert_int_equal(fwrite(bytes, 1, i, file), i);
        fclose(file);
        assert_false(load(fixture, "secret", &fault));
        bytes[i] = (char)(bytes[i] ^ 0x55);
        file = fopen(fixture->path, "w");
        assert_int_equal(fwrite(bytes, 1, length, file), length);
        fclose(file);
        (void)load(fixture, "secret", &fault); /* some bytes mean nothing */
        bytes[i] = (char)(bytes[i] ^ 0x55);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_chain_is_put_in_order_and_the_root_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(a_self_signed_certificate_is_a_chain, setup, teardown),
        cmocka_unit_test_setup_teardown(no_password_and_the_empty_one_are_tried, setup, teardown),
        cmocka_unit_test_setup_teardown(a_password_that_does_not_fit_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_missing_in_the_file_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(two_keys_and_no_contents_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_of_another_kind_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(each_cut_and_each_changed_byte_is_refused, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
