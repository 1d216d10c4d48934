/* The speed of loading a set of credentials whose CA file has 500 CAs, as at a start and at each reload.
 * Usage: credentials [seconds per line] */
#include "trust/credentials.h"
#include "micro/measure.h"
#include "pki/setup.h"

#include <ftw.h>
#include <openssl/asn1.h>
#include <openssl/ec_key.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <unistd.h>

enum { CAS = 500, DAY = 86400 };

struct subject {
    char directory[64], cert[128], key[128], ca[128];
    EVP_PKEY *keys[2]; /* of the CAs: P-256 and RSA */
    struct log log;
};

static void must(bool is_done)
{
    if (!is_done)
        abort();
}

static void keys_make(struct subject *subject)
{
    EC_KEY *ec = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
    RSA *rsa = RSA_new();
    BIGNUM *exponent = BN_new();

    subject->keys[0] = EVP_PKEY_new();
    subject->keys[1] = EVP_PKEY_new();
    must(EC_KEY_generate_key(ec) && EVP_PKEY_assign_EC_KEY(subject->keys[0], ec));
    must(BN_set_word(exponent, RSA_F4) && RSA_generate_key_ex(rsa, 2048, exponent, NULL) &&
         EVP_PKEY_assign_RSA(subject->keys[1], rsa));
    BN_free(exponent);
}

/* Names as long as those of public CAs. */
static X509 *ca_new(EVP_PKEY *key, unsigned number)
{
    X509 *certificate = X509_new();
    X509_NAME *name = X509_get_subject_name(certificate);
    char cn[64];
    const int length = snprintf(cn, sizeof cn, "Example Root Certification Authority %u", number);
    X509_EXTENSION *is_ca = X509V3_EXT_nconf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:true");

    must(X509_set_version(certificate, X509_VERSION_3) &&
         ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), number) &&
         X509_gmtime_adj(X509_get_notBefore(certificate), -DAY) &&
         X509_gmtime_adj(X509_get_notAfter(certificate), DAY) &&
         X509_NAME_add_entry_by_txt(name, "C", MBSTRING_ASC, (const uint8_t *)"XX", -1, -1, 0) &&
         X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const uint8_t *)"Example Trust", -1, -1, 0) &&
         X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)cn, length, -1, 0) &&
         X509_set_issuer_name(certificate, name) && is_ca && X509_add_ext(certificate, is_ca, -1) &&
         X509_set_pubkey(certificate, key) && X509_sign(certificate, key, EVP_sha256()));
    X509_EXTENSION_free(is_ca);
    return certificate;
}

/* The CA of our own certificate, and further ones. */
static void bundle_write(const struct subject *subject)
{
    FILE *file = fopen(subject->ca, "a");

    must(file);
    for (unsigned number = 1; number < CAS; number++) {
        X509 *ca = ca_new(subject->keys[number % 2], number);
        must(PEM_write_X509(file, ca));
        X509_free(ca);
    }
    must(fclose(file) == 0);
}

static void prepare(struct subject *subject)
{
    static const char *const names[] = { "localhost" };
    struct setup_options options = {
        .server_names = names, .server_name_count = 1, .client_name = "client", .leaf_days = 1
    };
    struct fault fault;

    must(mkdtemp(subject->directory));
    options.directory = subject->directory;
    must(setup_make(&options, &fault));
    snprintf(subject->cert, sizeof subject->cert, "%s/server.crt.pem", subject->directory);
    snprintf(subject->key, sizeof subject->key, "%s/server.key.pem", subject->directory);
    snprintf(subject->ca, sizeof subject->ca, "%s/ca.crt.pem", subject->directory);
    keys_make(subject);
    bundle_write(subject);
}

static void load(void *argument)
{
    struct subject *subject = argument;
    struct fault fault;
    struct credentials *credentials =
        credentials_load(&(struct credentials_options) { .role = TLS_SERVER,
                                                         .cert_file = subject->cert,
                                                         .key_file = subject->key,
                                                         .ca_file = subject->ca,
                                                         .min_version = TLS_VERSION_1_2,
                                                         .max_version = TLS_VERSION_1_3 },
                         &subject->log, &fault);

    must(credentials);
    credentials_release(credentials);
}

static int remove_one(const char *path, const struct stat *facts, int kind, struct FTW *place)
{
    (void)facts, (void)kind, (void)place;
    return remove(path);
}

int main(int count, char **arguments)
{
    struct subject subject = { .directory = "/tmp/husk-bench.XXXXXX" };

    log_init(&subject.log, STDERR_FILENO, LOG_ERROR, LOG_TEXT);
    prepare(&subject);
    measure_run(&(struct measure) { "load credentials with 500 CAs", load, &subject, 1, 0 },
                measure_seconds(count, arguments));
    (void)nftw(subject.directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    EVP_PKEY_free(subject.keys[0]);
    EVP_PKEY_free(subject.keys[1]);
}
