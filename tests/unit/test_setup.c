/* proxy/pki/setup.c: what the profile modern makes; no file is ever overwritten; an interrupted run is
 * finished. */
#include "pki/setup.h"
#include "support/pki.h"
#include "trust/certificate.h"
#include "trust/identity.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/ec_key.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { DAY = 86400 };

/* One PKI in parent/pki. */
struct fixture {
    char parent[PKI_PATH_BYTES], directory[PKI_PATH_BYTES];
    X509 *ca, *middle, *server, *client;
};

static const char *const server_names[] = { "localhost", "127.0.0.1", "::1", "*.example" };

static struct setup_options options_for(const char *directory)
{
    return (struct setup_options) { .directory = directory,
                                    .server_names = server_names,
                                    .server_name_count = 4,
                                    .client_name = "client",
                                    .leaf_days = 90 };
}

static const char *path_of(const struct fixture *fixture, const char *name)
{
    static char path[PKI_PATH_BYTES];

    snprintf(path, sizeof path, "%.80s/%.40s", fixture->directory, name);
    return path;
}

static X509 *certificate_read(const char *path)
{
    BIO *file = BIO_new_file(path, "r");
    X509 *certificate = file ? PEM_read_bio_X509(file, NULL, NULL, NULL) : NULL;

    BIO_free(file);
    assert_non_null(certificate);
    return certificate;
}

static EVP_PKEY *key_read(const char *path)
{
    BIO *file = BIO_new_file(path, "r");
    EVP_PKEY *key = file ? PEM_read_bio_PrivateKey(file, NULL, NULL, NULL) : NULL;

    BIO_free(file);
    assert_non_null(key);
    return key;
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct fault fault = { .text = "" };

    pki_directory_make(fixture->parent);
    snprintf(fixture->directory, sizeof fixture->directory, "%.100s/pki", fixture->parent);
    struct setup_options options = options_for(fixture->directory);
    if (!setup_make(&options, &fault))
        fail_msg("%s", fault.text);
    fixture->ca = certificate_read(path_of(fixture, "ca.crt.pem"));
    fixture->middle = certificate_read(path_of(fixture, "intermediate.crt.pem"));
    fixture->server = certificate_read(path_of(fixture, "server.crt.pem"));
    fixture->client = certificate_read(path_of(fixture, "client.crt.pem"));
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    X509_free(fixture->ca);
    X509_free(fixture->middle);
    X509_free(fixture->server);
    X509_free(fixture->client);
    pki_directory_remove(path_of(fixture, "issued"));
    pki_directory_remove(fixture->directory);
    pki_directory_remove(fixture->parent);
    free(fixture);
    return 0;
}

static int verdict(X509 *certificate, const struct fixture *fixture, const char *purpose)
{
    STACK_OF(X509) *shown = sk_X509_new_null();
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *verification = X509_STORE_CTX_new();

    assert_true(sk_X509_push(shown, fixture->middle) && X509_STORE_add_cert(store, fixture->ca) &&
                X509_STORE_CTX_init(verification, store, certificate, shown) &&
                X509_STORE_CTX_set_default(verification, purpose));
    X509_verify_cert(verification);
    int error = X509_STORE_CTX_get_error(verification);
    X509_STORE_CTX_free(verification);
    X509_STORE_free(store);
    sk_X509_free(shown);
    return error;
}

static void test_leaves_are_valid_for_their_own_use_only(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(verdict(fixture->server, fixture, "ssl_server"), X509_V_OK);
    assert_int_equal(verdict(fixture->client, fixture, "ssl_client"), X509_V_OK);
    assert_int_equal(verdict(fixture->server, fixture, "ssl_client"), X509_V_ERR_INVALID_PURPOSE);
    assert_int_equal(verdict(fixture->client, fixture, "ssl_server"), X509_V_ERR_INVALID_PURPOSE);
}

static void test_the_server_certificate_has_its_names(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(X509_check_host(fixture->server, "localhost", 9, 0, NULL), 1);
    assert_int_equal(X509_check_ip_asc(fixture->server, "127.0.0.1", 0), 1);
    assert_int_equal(X509_check_ip_asc(fixture->server, "::1", 0), 1);
    assert_int_equal(X509_check_ip_asc(fixture->server, "127.0.0.2", 0), 0);
    assert_int_equal(X509_check_host(fixture->server, "other", 5, 0, NULL), 0);
}

static void test_the_client_has_its_name_in_cn_and_san(void **state)
{
    struct fixture *fixture = *state;
    struct identity *identity = identity_from_certificate(fixture->client);

    assert_string_equal(identity->cn, "client");
    assert_int_equal(identity->dns.count, 1);
    assert_string_equal(identity->dns.values[0], "client");
    identity_free(identity);
}

static void test_validity_is_back_dated_and_the_ca_outlives_its_leaves(void **state)
{
    struct fixture *fixture = *state;
    int64_t from = certificate_not_before(fixture->client), until = certificate_not_after(fixture->client);

    assert_int_equal(until - from, 90 * DAY + 300);
    assert_true(from < time(NULL) - 200);
    assert_true(certificate_not_after(fixture->ca) > until + 365 * (int64_t)DAY);
}

static void test_serials_are_random_and_128_bits(void **state)
{
    struct fixture *fixture = *state;
    X509 *all[] = { fixture->ca, fixture->middle, fixture->server, fixture->client };

    for (size_t i = 0; i < 4; i++) {
        BIGNUM *serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(all[i]), NULL);
        assert_false(BN_is_negative(serial));
        assert_in_range(BN_num_bits(serial), 121, 128);
        BN_free(serial);
        assert_int_not_equal(
            ASN1_INTEGER_cmp(X509_get0_serialNumber(all[i]), X509_get0_serialNumber(all[(i + 1) % 4])), 0);
    }
}

static void test_keys_are_p256_private_and_match(void **state)
{
    struct fixture *fixture = *state;
    static const char *const names[] = { "ca", "intermediate", "server", "client" };
    X509 *all[] = { fixture->ca, fixture->middle, fixture->server, fixture->client };
    char name[32];

    for (size_t i = 0; i < 4; i++) {
        struct stat status;
        snprintf(name, sizeof name, "%s.key.pem", names[i]);
        assert_int_equal(stat(path_of(fixture, name), &status), 0);
        assert_int_equal(status.st_mode & 07777, 0600);
        EVP_PKEY *key = key_read(path_of(fixture, name));
        const EC_KEY *ec = EVP_PKEY_get0_EC_KEY(key);
        assert_non_null(ec);
        assert_int_equal(EC_GROUP_get_curve_name(EC_KEY_get0_group(ec)), NID_X9_62_prime256v1);
        assert_int_equal(X509_check_private_key(all[i], key), 1);
        EVP_PKEY_free(key);
    }
}

static void test_the_intermediate_may_sign_leaves_only(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(X509_check_ca(fixture->ca), 1);
    assert_int_equal(X509_check_ca(fixture->middle), 1);
    assert_int_equal(X509_check_ca(fixture->server), 0);
    assert_int_equal(X509_get_pathlen(fixture->middle), 0);
    assert_int_equal(X509_check_issued(fixture->middle, fixture->server), X509_V_OK);
}

static void test_never_overwrites(void **state)
{
    struct fixture *fixture = *state;
    struct setup_options options = options_for(fixture->directory);
    struct fault fault;

    assert_false(setup_make(&options, &fault));
    assert_non_null(strstr(fault.text, "has a PKI already"));
    assert_int_equal(verdict(fixture->client, fixture, "ssl_client"), X509_V_OK);
}

static void test_makes_what_is_missing_and_keeps_the_rest(void **state)
{
    struct fixture *fixture = *state;
    struct setup_options options = options_for(fixture->directory);
    struct fault fault;

    EVP_PKEY *before = key_read(path_of(fixture, "server.key.pem"));
    assert_int_equal(unlink(path_of(fixture, "server.crt.pem")), 0);
    assert_int_equal(unlink(path_of(fixture, "client.crt.pem")), 0);
    assert_int_equal(unlink(path_of(fixture, "client.key.pem")), 0);
    if (!setup_make(&options, &fault))
        fail_msg("%s", fault.text);
    X509 *server = certificate_read(path_of(fixture, "server.crt.pem"));
    X509 *client = certificate_read(path_of(fixture, "client.crt.pem"));
    assert_int_equal(X509_check_private_key(server, before), 1);
    assert_int_equal(verdict(client, fixture, "ssl_client"), X509_V_OK);
    X509_free(server);
    X509_free(client);
    EVP_PKEY_free(before);
}

static void test_a_file_that_is_no_key_is_named(void **state)
{
    (void)state;
    char directory[PKI_PATH_BYTES], path[PKI_PATH_BYTES], expected[2 * PKI_PATH_BYTES];
    struct fault fault;

    pki_directory_make(directory);
    pki_write(directory, "ca.key.pem", "precious", path);
    struct setup_options options = options_for(directory);
    assert_false(setup_make(&options, &fault));
    snprintf(expected, sizeof expected, "%s: holds no private key in PEM form", path);
    assert_string_equal(fault.text, expected);
    snprintf(path, sizeof path, "%.80s/issued", directory);
    assert_int_equal(rmdir(path), 0);
    pki_directory_remove(directory);
}

static void test_creates_a_private_directory_and_names_it_on_failure(void **state)
{
    struct fixture *fixture = *state;
    struct stat status;
    struct fault fault;

    assert_int_equal(stat(fixture->directory, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    struct setup_options options = options_for("/nonexistent/pki");
    assert_false(setup_make(&options, &fault));
    assert_string_equal(fault.text, "/nonexistent/pki: No such file or directory");
}

static void assert_refused(const char *server_name, const char *client_name, const char *expected)
{
    char directory[PKI_PATH_BYTES];
    struct fault fault;

    pki_directory_make(directory);
    struct setup_options options = options_for(directory);
    options.server_names = &server_name;
    options.server_name_count = server_name ? 1 : 0;
    options.client_name = client_name;
    assert_false(setup_make(&options, &fault));
    assert_string_equal(fault.text, expected);
    pki_directory_remove(directory);
}

static void test_refuses_invalid_names(void **state)
{
    (void)state;
    assert_refused("a,DNS:evil", "client", "name \"a,DNS:evil\": is neither a DNS name nor an IP address");
    assert_refused("", "client", "name \"\": is neither a DNS name nor an IP address");
    assert_refused("a..b", "client", "name \"a..b\": is neither a DNS name nor an IP address");
    assert_refused("::g", "client", "name \"::g\": is neither a DNS name nor an IP address");
    assert_refused("a", "two words", "name \"two words\": is neither a DNS name nor an IP address");
    assert_refused(NULL, "client",
                   "no name: the certificate needs at least one DNS name, IP address or SPIFFE ID");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leaves_are_valid_for_their_own_use_only),
        cmocka_unit_test(test_the_server_certificate_has_its_names),
        cmocka_unit_test(test_the_client_has_its_name_in_cn_and_san),
        cmocka_unit_test(test_validity_is_back_dated_and_the_ca_outlives_its_leaves),
        cmocka_unit_test(test_serials_are_random_and_128_bits),
        cmocka_unit_test(test_keys_are_p256_private_and_match),
        cmocka_unit_test(test_the_intermediate_may_sign_leaves_only),
        cmocka_unit_test(test_never_overwrites),
        cmocka_unit_test(test_makes_what_is_missing_and_keeps_the_rest),
        cmocka_unit_test(test_a_file_that_is_no_key_is_named),
        cmocka_unit_test(test_creates_a_private_directory_and_names_it_on_failure),
        cmocka_unit_test(test_refuses_invalid_names),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
