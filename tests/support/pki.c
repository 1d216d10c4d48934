#include "support/pki.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/ec_key.h>
#include <openssl/md5.h>
#include <openssl/nid.h>
#include <openssl/obj.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ONE_DAY = 86400 };

EVP_PKEY *pki_ec_key_new(int curve)
{
    EC_KEY *ec = EC_KEY_new_by_curve_name(curve);
    EVP_PKEY *key = EVP_PKEY_new();

    assert_true(EC_KEY_generate_key(ec) && EVP_PKEY_assign_EC_KEY(key, ec));
    return key;
}

EVP_PKEY *pki_key_new(void)
{
    return pki_ec_key_new(NID_X9_62_prime256v1);
}

EVP_PKEY *pki_rsa_key_new(int bits)
{
    RSA *rsa = RSA_new();
    BIGNUM *exponent = BN_new();
    EVP_PKEY *key = EVP_PKEY_new();

    assert_true(BN_set_word(exponent, RSA_F4) && RSA_generate_key_ex(rsa, bits, exponent, NULL) &&
                EVP_PKEY_assign_RSA(key, rsa));
    BN_free(exponent);
    return key;
}

static size_t name_length(const struct pki_name *name)
{
    return name->length ? name->length : strlen(name->bytes);
}

static void subject_set(X509 *certificate, const struct pki_name *names)
{
    X509_NAME *subject = X509_get_subject_name(certificate);

    for (size_t i = 0; i < PKI_NAMES_MAX && names[i].bytes; i++)
        assert_true(X509_NAME_add_entry_by_NID(subject, names[i].type, V_ASN1_UTF8STRING,
                                               (unsigned char *)names[i].bytes, (int)name_length(&names[i]),
                                               -1, 0));
}

static void alternatives_set(X509 *certificate, const struct pki_name *names)
{
    GENERAL_NAMES *all = sk_GENERAL_NAME_new_null();

    for (size_t i = 0; i < PKI_NAMES_MAX && names[i].bytes; i++) {
        ASN1_STRING *value =
            ASN1_STRING_type_new(names[i].type == GEN_IPADD ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);
        assert_true(ASN1_STRING_set(value, names[i].bytes, (int)name_length(&names[i])));
        GENERAL_NAME *name = GENERAL_NAME_new();
        GENERAL_NAME_set0_value(name, names[i].type, value);
        assert_true(sk_GENERAL_NAME_push(all, name));
    }
    if (sk_GENERAL_NAME_num(all))
        assert_int_equal(X509_add1_ext_i2d(certificate, NID_subject_alt_name, all, 0, 0), 1);
    sk_GENERAL_NAME_pop_free(all, GENERAL_NAME_free);
}

static void extension_add(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;

    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_nconf_nid(NULL, &context, nid, value);
    assert_non_null(extension);
    assert_true(X509_add_ext(certificate, extension, -1));
    X509_EXTENSION_free(extension);
}

static void unknown_critical_extension_add(X509 *certificate)
{
    ASN1_OBJECT *id = OBJ_txt2obj("1.3.6.1.4.1.99999.1", 1);
    ASN1_STRING *value = ASN1_STRING_type_new(V_ASN1_OCTET_STRING);

    assert_true(ASN1_STRING_set(value, "\x05\x00", 2));
    X509_EXTENSION *extension = X509_EXTENSION_create_by_OBJ(NULL, id, 1, value);
    assert_true(X509_add_ext(certificate, extension, -1));
    X509_EXTENSION_free(extension);
    ASN1_STRING_free(value);
    ASN1_OBJECT_free(id);
}

static void validity_set(X509 *certificate, const struct pki_profile *profile)
{
    int is_given = profile->not_before || profile->not_after;
    time_t from = is_given ? (time_t)profile->not_before : time(NULL) - ONE_DAY;
    time_t until = is_given ? (time_t)profile->not_after : time(NULL) + ONE_DAY;

    assert_non_null(ASN1_TIME_set(X509_getm_notBefore(certificate), from));
    assert_non_null(ASN1_TIME_set(X509_getm_notAfter(certificate), until));
}

/* Signs by RSASSA-PKCS1-v1_5 with MD5 (RFC 8017, 9.2), which newer releases of BoringSSL do not offer. */
static void md5_sign(X509 *certificate, const EVP_PKEY *key)
{
    static const uint8_t prefix[] = { 0x30, 0x20, 0x30, 0x0c, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                      0x86, 0xf7, 0x0d, 0x02, 0x05, 0x05, 0x00, 0x04, 0x10 };
    uint8_t info[sizeof prefix + MD5_DIGEST_LENGTH], signature[512], *bytes = NULL;
    X509_ALGOR *algorithm = X509_ALGOR_new();

    assert_true(X509_ALGOR_set0(algorithm, OBJ_nid2obj(NID_md5WithRSAEncryption), V_ASN1_NULL, NULL));
    assert_true(X509_set1_signature_algo(certificate, algorithm));
    X509_ALGOR_free(algorithm);
    int length = i2d_re_X509_tbs(certificate, &bytes);
    assert_true(length > 0);
    memcpy(info, prefix, sizeof prefix);
    MD5(bytes, (size_t)length, info + sizeof prefix);
    OPENSSL_free(bytes);
    length = RSA_private_encrypt(sizeof info, info, signature, EVP_PKEY_get0_RSA(key), RSA_PKCS1_PADDING);
    assert_true(length > 0 && X509_set1_signature_value(certificate, signature, (size_t)length));
}

static void sign(X509 *certificate, EVP_PKEY *key, const EVP_MD *digest)
{
    bool is_plain = EVP_PKEY_id(key) == EVP_PKEY_ED25519; /* it has a hash of its own */

    if (digest == EVP_md5())
        md5_sign(certificate, key);
    else
        assert_true(X509_sign(certificate, key, is_plain ? NULL : digest ? digest : EVP_sha256()));
}

/* Revocation lists tell certificates apart by their serial numbers. */
static uint64_t serial_new(void)
{
    uint64_t serial = 0;

    RAND_bytes((uint8_t *)&serial, sizeof serial);
    return serial | 1;
}

struct pki_pair pki_issue_for(EVP_PKEY *key, const struct pki_profile *profile, const struct pki_pair *issuer)
{
    struct pki_pair pair = { .certificate = X509_new(), .key = key };
    X509 *certificate = pair.certificate;
    const struct pki_pair *signer = issuer ? issuer : &pair;

    assert_true(X509_set_version(certificate, X509_VERSION_3) &&
                ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial_new()) &&
                X509_set_pubkey(certificate, key));
    subject_set(certificate, profile->subject);
    assert_true(X509_set_issuer_name(certificate, X509_get_subject_name(signer->certificate)));
    validity_set(certificate, profile);
    const char *constraints = profile->basic_constraints ? profile->basic_constraints
                              : profile->is_ca           ? "critical,CA:TRUE"
                                                         : "critical,CA:FALSE";
    if (*constraints)
        extension_add(certificate, signer->certificate, NID_basic_constraints, constraints);
    if (profile->name_constraints)
        extension_add(certificate, signer->certificate, NID_name_constraints, profile->name_constraints);
    if (profile->has_unknown_critical_extension)
        unknown_critical_extension_add(certificate);
    if (!profile->has_no_key_identifiers) {
        extension_add(certificate, signer->certificate, NID_subject_key_identifier, "hash");
        extension_add(certificate, signer->certificate, NID_authority_key_identifier, "keyid");
    }
    if (profile->key_usage)
        extension_add(certificate, signer->certificate, NID_key_usage, profile->key_usage);
    if (profile->extended_key_usage)
        extension_add(certificate, signer->certificate, NID_ext_key_usage, profile->extended_key_usage);
    alternatives_set(certificate, profile->alternatives);
    sign(certificate, signer->key, profile->digest);
    return pair;
}

struct pki_pair pki_issue_again(const struct pki_pair *owner, const struct pki_profile *profile,
                                const struct pki_pair *issuer)
{
    EVP_PKEY_up_ref(owner->key);
    return pki_issue_for(owner->key, profile, issuer);
}

struct pki_pair pki_issue(const struct pki_profile *profile, const struct pki_pair *issuer)
{
    return pki_issue_for(pki_key_new(), profile, issuer);
}

struct pki_pair pki_issue_ca(const char *cn)
{
    return pki_issue(&(struct pki_profile) { .subject = { { NID_commonName, cn, 0 } }, .is_ca = 1 }, NULL);
}

void pki_pair_free(struct pki_pair *pair)
{
    X509_free(pair->certificate);
    EVP_PKEY_free(pair->key);
}

void pki_directory_make(char path[PKI_PATH_BYTES])
{
    const char *parent = getenv("TMPDIR");

    snprintf(path, PKI_PATH_BYTES, "%.96s/husk-test-XXXXXX", parent ? parent : "/tmp");
    assert_non_null(mkdtemp(path));
}

void pki_directory_remove(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;

    assert_non_null(directory);
    while ((entry = readdir(directory)))
        unlinkat(dirfd(directory), entry->d_name, 0);
    closedir(directory);
    assert_int_equal(rmdir(path), 0);
}

/* Takes `content`. */
static const char *write_bio(const char *directory, const char *name, BIO *content, char *path)
{
    const uint8_t *bytes;
    size_t length;

    snprintf(path, PKI_PATH_BYTES, "%.80s/%.40s", directory, name);
    assert_true(BIO_mem_contents(content, &bytes, &length));
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, length), length);
    assert_int_equal(close(fd), 0);
    BIO_free(content);
    return path;
}

const char *pki_write(const char *directory, const char *name, const char *text, char path[PKI_PATH_BYTES])
{
    BIO *content = BIO_new(BIO_s_mem());

    assert_int_equal(BIO_write(content, text, (int)strlen(text)), strlen(text));
    return write_bio(directory, name, content, path);
}

const char *pki_write_certificates(const char *directory, const char *name, X509 *const *certificates,
                                   size_t count, char path[PKI_PATH_BYTES])
{
    BIO *content = BIO_new(BIO_s_mem());

    for (size_t i = 0; i < count; i++)
        assert_true(PEM_write_bio_X509(content, certificates[i]));
    return write_bio(directory, name, content, path);
}

const char *pki_write_key(const char *directory, const char *name, const EVP_PKEY *key,
                          char path[PKI_PATH_BYTES])
{
    BIO *content = BIO_new(BIO_s_mem());

    assert_true(PEM_write_bio_PKCS8PrivateKey(content, (EVP_PKEY *)key, NULL, NULL, 0, NULL, NULL));
    return write_bio(directory, name, content, path);
}

/* ---- a site ---- */

static void site_pair_write(const char *directory, const char *name, const struct pki_pair *pair)
{
    char file[32], path[PKI_PATH_BYTES];

    snprintf(file, sizeof file, "%s.crt.pem", name);
    pki_write_certificates(directory, file, &pair->certificate, 1, path);
    snprintf(file, sizeof file, "%s.key.pem", name);
    pki_write_key(directory, file, pair->key, path);
}

static void site_leaf_write(const char *directory, const char *name, struct pki_profile profile,
                            const struct pki_pair *ca)
{
    profile.subject[0] = (struct pki_name) { NID_organizationName, "husk", 0 };
    profile.key_usage = "critical,digitalSignature";
    struct pki_pair pair = pki_issue(&profile, ca);
    site_pair_write(directory, name, &pair);
    pki_pair_free(&pair);
}

void pki_site_make(const char *directory, const char *const *server_names, size_t count, int days)
{
    int64_t now = time(NULL);
    struct pki_profile ca_profile = { .subject = { { NID_organizationName, "husk", 0 },
                                                   { NID_commonName, "husk development CA", 0 } },
                                      .key_usage = "critical,keyCertSign,cRLSign",
                                      .not_before = now - 300,
                                      .not_after = now + (days + 3650) * (int64_t)ONE_DAY,
                                      .is_ca = 1 };
    struct pki_profile leaf = { .not_before = now - 300, .not_after = now + days * (int64_t)ONE_DAY };
    struct pki_pair ca = pki_issue(&ca_profile, NULL);
    unsigned char addresses[PKI_NAMES_MAX][16];

    site_pair_write(directory, "ca", &ca);
    leaf.extended_key_usage = "clientAuth";
    leaf.subject[1] = (struct pki_name) { NID_commonName, "client", 0 };
    leaf.alternatives[0] = (struct pki_name) { GEN_DNS, "client", 0 };
    site_leaf_write(directory, "client", leaf, &ca);
    leaf.extended_key_usage = "serverAuth";
    leaf.subject[1] = (struct pki_name) { NID_commonName, server_names[0], 0 };
    for (size_t i = 0; i < count; i++) {
        int family = strchr(server_names[i], ':') ? AF_INET6 : AF_INET;
        bool is_address = inet_pton(family, server_names[i], addresses[i]) == 1;
        leaf.alternatives[i] = (struct pki_name) { is_address ? GEN_IPADD : GEN_DNS,
                                                   is_address ? (char *)addresses[i] : server_names[i],
                                                   !is_address         ? 0
                                                   : family == AF_INET ? 4
                                                                       : 16 };
    }
    site_leaf_write(directory, "server", leaf, &ca);
    pki_pair_free(&ca);
}
