#include "trust/authority.h"

#include "base/clock.h"
#include "trust/library_error.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec_key.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SERIAL_BYTES = 16,
    CN_BYTES_MAX = 64, /* ub-common-name (RFC 5280, appendix A.1) */
    DNS_NAME_BYTES_MAX = 253,
    BACKDATED_SECONDS = 5 * 60, /* for peers with a slow clock */
    DAY_SECONDS = 24 * 60 * 60,
    CA_DAYS_BEYOND_LEAF = 10 * 365,
    PATH_BYTES = 4096,
};

const char *const authority_files[AUTHORITY_FILE_COUNT] = {
    "ca.crt.pem", "ca.key.pem", "server.crt.pem", "server.key.pem", "client.crt.pem", "client.key.pem",
};

/* A certificate and its key. */
struct pair {
    X509 *certificate;
    EVP_PKEY *key;
};

/* The contents of a certificate. */
struct profile {
    const char *cn;
    const char *const *names; /* SANs */
    size_t name_count;
    const char *key_usage;
    const char *extended_key_usage; /* NULL: a CA */
    int64_t lifetime_seconds;
};

/* ---- names ---- */

static bool is_dns_name(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    size_t length = strlen(name);

    return length > 0 && length <= DNS_NAME_BYTES_MAX && strspn(name, letters) == length && name[0] != '.' &&
           name[length - 1] != '.' && !strstr(name, "..");
}

/* Parses an IP address. Returns its length in bytes; 0 if `name` is not an IP address. */
static size_t ip_parse(const char *name, unsigned char address[16])
{
    if (inet_pton(AF_INET, name, address) == 1)
        return 4;
    return inet_pton(AF_INET6, name, address) == 1 ? 16 : 0;
}

bool authority_check_names(const struct authority_options *options, struct fault *fault)
{
    unsigned char address[16];

    if (options->server_name_count == 0) {
        fault_set(fault, "the server needs at least one name");
        return false;
    }
    for (size_t i = 0; i < options->server_name_count; i++) {
        const char *name = options->server_names[i];
        const char *host = strncmp(name, "*.", 2) == 0 ? name + 2 : name;
        if (!is_dns_name(host) && !ip_parse(name, address)) {
            fault_set(fault, "server name \"%s\": is neither a DNS name nor an IP address", name);
            return false;
        }
    }
    if (!is_dns_name(options->client_name) || strlen(options->client_name) > CN_BYTES_MAX) {
        fault_set(fault, "client name \"%s\": expected 1 to %d letters, digits, '-', '_' and '.'",
                  options->client_name, CN_BYTES_MAX);
        return false;
    }
    return true;
}

static GENERAL_NAME *alternative_name(const char *name)
{
    unsigned char address[16];
    size_t address_length = ip_parse(name, address);
    GENERAL_NAME *alternative = GENERAL_NAME_new();
    ASN1_STRING *value = ASN1_STRING_type_new(address_length ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);

    if (!alternative || !value ||
        !ASN1_STRING_set(value, address_length ? (const void *)address : name,
                         address_length ? (int)address_length : (int)strlen(name))) {
        GENERAL_NAME_free(alternative);
        ASN1_STRING_free(value);
        return NULL;
    }
    GENERAL_NAME_set0_value(alternative, address_length ? GEN_IPADD : GEN_DNS, value);
    return alternative;
}

static bool add_alternative_names(X509 *certificate, const struct profile *profile)
{
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    bool is_added = names != NULL;

    for (size_t i = 0; is_added && i < profile->name_count; i++) {
        GENERAL_NAME *name = alternative_name(profile->names[i]);
        is_added = name && sk_GENERAL_NAME_push(names, name);
        if (!is_added)
            GENERAL_NAME_free(name);
    }
    is_added = is_added && X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, 0) == 1;
    sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
    return is_added;
}

/* ---- certificates ---- */

static EVP_PKEY *key_generate(void)
{
    EC_KEY *ec = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
    EVP_PKEY *key = EVP_PKEY_new();

    if (ec && key && EC_KEY_generate_key(ec) && EVP_PKEY_set1_EC_KEY(key, ec)) {
        EC_KEY_free(ec);
        return key;
    }
    EC_KEY_free(ec);
    EVP_PKEY_free(key);
    return NULL;
}

/* 128 random bits, positive and not zero (RFC 5280, 4.1.2.2). */
static bool set_serial(X509 *certificate)
{
    uint8_t bytes[SERIAL_BYTES];
    BIGNUM *number = NULL;

    RAND_bytes(bytes, sizeof bytes);
    bytes[0] |= 1;
    number = BN_bin2bn(bytes, sizeof bytes, NULL);
    bool is_set = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
    BN_free(number);
    return is_set;
}

static bool set_validity(X509 *certificate, int64_t lifetime_seconds)
{
    int64_t now = clock_wall_seconds();

    return ASN1_TIME_set(X509_getm_notBefore(certificate), (time_t)(now - BACKDATED_SECONDS)) &&
           ASN1_TIME_set(X509_getm_notAfter(certificate), (time_t)(now + lifetime_seconds));
}

static bool set_subject(X509 *certificate, const char *cn)
{
    X509_NAME *name = X509_get_subject_name(certificate);

    return X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const uint8_t *)"husk", -1, -1, 0) &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *)cn, -1, -1, 0);
}

static bool add_extension(X509 *certificate, X509V3_CTX *context, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_nconf_nid(NULL, context, nid, value);
    bool is_added = extension && X509_add_ext(certificate, extension, -1);

    X509_EXTENSION_free(extension);
    return is_added;
}

static bool add_extensions(X509 *certificate, X509 *issuer, const struct profile *profile)
{
    bool is_ca = profile->extended_key_usage == NULL;
    X509V3_CTX context;

    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    return add_extension(certificate, &context, NID_basic_constraints,
                         is_ca ? "critical,CA:TRUE,pathlen:0" : "critical,CA:FALSE") &&
           add_extension(certificate, &context, NID_key_usage, profile->key_usage) &&
           add_extension(certificate, &context, NID_subject_key_identifier, "hash") &&
           add_extension(certificate, &context, NID_authority_key_identifier, "keyid:always") &&
           (is_ca || (add_extension(certificate, &context, NID_ext_key_usage, profile->extended_key_usage) &&
                      add_alternative_names(certificate, profile)));
}

static void pair_free(struct pair *pair)
{
    X509_free(pair->certificate);
    EVP_PKEY_free(pair->key);
}

/* Makes a key and a certificate for it. `issuer` NULL: self-signed. */
static bool pair_issue(struct pair *pair, const struct pair *issuer, const struct profile *profile)
{
    if (!(pair->key = key_generate()) || !(pair->certificate = X509_new()))
        return false;
    if (!issuer)
        issuer = pair;
    return X509_set_version(pair->certificate, X509_VERSION_3) && set_serial(pair->certificate) &&
           set_validity(pair->certificate, profile->lifetime_seconds) &&
           set_subject(pair->certificate, profile->cn) &&
           X509_set_issuer_name(pair->certificate, X509_get_subject_name(issuer->certificate)) &&
           X509_set_pubkey(pair->certificate, pair->key) &&
           add_extensions(pair->certificate, issuer->certificate, profile) &&
           X509_sign(pair->certificate, issuer->key, EVP_sha256());
}

enum { PAIR_CA, PAIR_SERVER, PAIR_CLIENT, PAIR_COUNT };

static bool issue_all(struct pair pairs[PAIR_COUNT], const struct authority_options *options)
{
    int64_t leaf_seconds = (int64_t)options->leaf_days * DAY_SECONDS;
    const char *first_name = options->server_names[0];
    const struct profile ca = {
        .cn = "husk development CA",
        .key_usage = "critical,keyCertSign,cRLSign",
        .lifetime_seconds = leaf_seconds + (int64_t)CA_DAYS_BEYOND_LEAF * DAY_SECONDS,
    };
    const struct profile server = {
        .cn = strlen(first_name) <= CN_BYTES_MAX ? first_name : "server",
        .names = options->server_names,
        .name_count = options->server_name_count,
        .key_usage = "critical,digitalSignature",
        .extended_key_usage = "serverAuth",
        .lifetime_seconds = leaf_seconds,
    };
    const struct profile client = {
        .cn = options->client_name,
        .names = &options->client_name,
        .name_count = 1,
        .key_usage = "critical,digitalSignature",
        .extended_key_usage = "clientAuth",
        .lifetime_seconds = leaf_seconds,
    };

    return pair_issue(&pairs[PAIR_CA], NULL, &ca) &&
           pair_issue(&pairs[PAIR_SERVER], &pairs[PAIR_CA], &server) &&
           pair_issue(&pairs[PAIR_CLIENT], &pairs[PAIR_CA], &client);
}

/* ---- files ---- */

static bool write_all(int fd, const uint8_t *bytes, size_t length)
{
    while (length) {
        ssize_t written = write(fd, bytes, length);
        if (written < 0 && errno != EINTR)
            return false;
        if (written > 0) {
            bytes += written;
            length -= (size_t)written;
        }
    }
    return true;
}

/* Fails if `path` exists, whatever kind of file it is. Removes the file again if writing fails. */
static bool file_create(const char *path, mode_t mode, BIO *content, struct fault *fault)
{
    const uint8_t *bytes;
    size_t length;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

    if (fd < 0) {
        fault_set(fault, "%s: %s", path, strerror(errno));
        return false;
    }
    bool is_written = BIO_mem_contents(content, &bytes, &length) && write_all(fd, bytes, length);
    is_written = close(fd) == 0 && is_written;
    if (is_written)
        return true;
    fault_set(fault, "%s: %s", path, strerror(errno));
    unlink(path);
    return false;
}

/* Writes the file at `index` of authority_files: certificates have even indexes, keys odd ones. */
static bool file_write(const char *directory, int index, const struct pair *pair, struct fault *fault)
{
    bool is_key = index % 2;
    char path[PATH_BYTES];
    BIO *content = BIO_new(BIO_s_mem());
    bool is_written =
        content && (is_key ? PEM_write_bio_PKCS8PrivateKey(content, pair->key, NULL, NULL, 0, NULL, NULL)
                           : PEM_write_bio_X509(content, pair->certificate));

    if (!is_written)
        fault_set(fault, "%s: %s", authority_files[index], library_error_take());
    snprintf(path, sizeof path, "%s/%s", directory, authority_files[index]);
    is_written = is_written && file_create(path, is_key ? 0600 : 0644, content, fault);
    BIO_free(content); /* BoringSSL wipes what it frees */
    return is_written;
}

/* Writes all files, or none: on failure removes those that were written. */
static bool write_files(const struct authority_options *options, const struct pair pairs[PAIR_COUNT],
                        struct fault *fault)
{
    char path[PATH_BYTES];
    int written = 0;

    while (written < AUTHORITY_FILE_COUNT &&
           file_write(options->directory, written, &pairs[written / 2], fault))
        written++;
    if (written == AUTHORITY_FILE_COUNT)
        return true;
    while (written--) {
        snprintf(path, sizeof path, "%s/%s", options->directory, authority_files[written]);
        unlink(path);
    }
    return false;
}

static bool write_directory(const struct authority_options *options, const struct pair pairs[PAIR_COUNT],
                            struct fault *fault)
{
    bool is_made = mkdir(options->directory, 0700) == 0;

    if (!is_made && errno != EEXIST) {
        fault_set(fault, "%s: %s", options->directory, strerror(errno));
        return false;
    }
    if (write_files(options, pairs, fault))
        return true;
    if (is_made)
        rmdir(options->directory);
    return false;
}

bool authority_init_pki(const struct authority_options *options, struct fault *fault)
{
    struct pair pairs[PAIR_COUNT] = { 0 };
    bool is_made = false;

    assert(options->leaf_days > 0);
    if (strlen(options->directory) > PATH_BYTES - 32) {
        fault_set(fault, "%.64s…: the path is too long", options->directory);
        return false;
    }
    if (!authority_check_names(options, fault))
        return false;
    ERR_clear_error();
    if (issue_all(pairs, options))
        is_made = write_directory(options, pairs, fault);
    else
        fault_set(fault, "cannot make the certificates: %s", library_error_take());
    for (int i = 0; i < PAIR_COUNT; i++)
        pair_free(&pairs[i]);
    return is_made;
}
