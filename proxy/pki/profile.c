#include "pki/profile.h"

#include <assert.h>
#include <openssl/nid.h>
#include <stddef.h>

enum { YEAR_DAYS = 365 };

/* ---- modern ---- */

static const struct profile_extension modern_root[] = {
    { NID_basic_constraints, "critical,CA:TRUE" },
    { NID_key_usage, "critical,keyCertSign,cRLSign" },
    { NID_subject_key_identifier, "hash" },
    { NID_authority_key_identifier, "keyid:always" },
    { 0, NULL },
};

static const struct profile_extension modern_intermediate[] = {
    { NID_basic_constraints, "critical,CA:TRUE,pathlen:0" },
    { NID_key_usage, "critical,keyCertSign,cRLSign" },
    { NID_subject_key_identifier, "hash" },
    { NID_authority_key_identifier, "keyid:always" },
    { 0, NULL },
};

static const struct profile_extension modern_server[] = {
    { NID_basic_constraints, "critical,CA:FALSE" },
    { NID_key_usage, "critical,digitalSignature" },
    { NID_subject_key_identifier, "hash" },
    { NID_authority_key_identifier, "keyid:always" },
    { NID_ext_key_usage, "serverAuth" },
    { 0, NULL },
};

static const struct profile_extension modern_client[] = {
    { NID_basic_constraints, "critical,CA:FALSE" },
    { NID_key_usage, "critical,digitalSignature" },
    { NID_subject_key_identifier, "hash" },
    { NID_authority_key_identifier, "keyid:always" },
    { NID_ext_key_usage, "clientAuth" },
    { 0, NULL },
};

static const char *const modern_folders[] = { "issued", NULL };

const struct profile profile_modern = {
    .name = "modern",
    .folders = modern_folders,
    .files = { [PROFILE_ROOT_CERT] = "ca.crt.pem",
               [PROFILE_ROOT_KEY] = "ca.key.pem",
               [PROFILE_INTERMEDIATE_CERT] = "intermediate.crt.pem",
               [PROFILE_INTERMEDIATE_KEY] = "intermediate.key.pem",
               [PROFILE_CERT] = "%s.crt.pem",
               [PROFILE_KEY] = "%s.key.pem",
               [PROFILE_REQUEST] = "%s.csr.pem",
               [PROFILE_ISSUED] = "issued/%s.pem",
               [PROFILE_INDEX] = "index.txt",
               [PROFILE_CRL] = "crl.pem",
               [PROFILE_CRL_NUMBER] = "crlnumber",
               [PROFILE_ROOT_INDEX] = "ca.index.txt",
               [PROFILE_ROOT_CRL] = "ca.crl.pem",
               [PROFILE_ROOT_CRL_NUMBER] = "ca.crlnumber",
               [PROFILE_LOCK] = ".lock" },
    .kdf_iterations = 100000,
    .has_alternatives = true,
    .backdated_seconds = 5 * 60, /* for peers with a slow clock */
    .days = { [PROFILE_ROOT] = 10 * YEAR_DAYS,
              [PROFILE_INTERMEDIATE] = 5 * YEAR_DAYS,
              [PROFILE_SERVER] = 90,
              [PROFILE_CLIENT] = 90 },
    .subject = "/O=husk",
    .cn = { [PROFILE_ROOT] = "husk root CA", [PROFILE_INTERMEDIATE] = "husk intermediate CA" },
    .extensions = { [PROFILE_ROOT] = modern_root,
                    [PROFILE_INTERMEDIATE] = modern_intermediate,
                    [PROFILE_SERVER] = modern_server,
                    [PROFILE_CLIENT] = modern_client },
};

/* ---- seed: what the openssl commands with the openssl.cnf of pki/openssl_config.c make ---- */

/* Netscape's certificate type is a BIT STRING: bit 0 client, bit 1 server, bit 2 e-mail. */
static const char ns_client_and_email[] = "\x03\x02\x05\xa0", ns_server[] = "\x03\x02\x06\x40";

static const struct profile_extension seed_root[] = {
    { NID_subject_key_identifier, "hash" },
    { NID_authority_key_identifier, "keyid:always,issuer" },
    { NID_basic_constraints, "critical,CA:true" },
    { NID_key_usage, "critical,cRLSign,digitalSignature,keyCertSign" },
    { 0, NULL },
};

static const struct profile_extension seed_server[] = {
    { NID_basic_constraints, "CA:FALSE" },
    { NID_netscape_cert_type, ns_server },
    { NID_netscape_comment, "OpenSSL Generated Server Certificate" },
    { NID_subject_key_identifier, "hash" },
    { NID_authority_key_identifier, "keyid,issuer:always" },
    { NID_key_usage, "critical,digitalSignature,keyEncipherment" },
    { NID_ext_key_usage, "serverAuth" },
    { 0, NULL },
};

static const struct profile_extension seed_client[] = {
    { NID_basic_constraints, "CA:FALSE" },
    { NID_netscape_cert_type, ns_client_and_email },
    { NID_netscape_comment, "OpenSSL Generated Client Certificate" },
    { NID_subject_key_identifier, "hash" },
    { NID_authority_key_identifier, "keyid,issuer" },
    { NID_key_usage, "critical,nonRepudiation,digitalSignature,keyEncipherment" },
    { NID_ext_key_usage, "clientAuth,emailProtection" },
    { 0, NULL },
};

static const char *const seed_folders[] = { "certs", "csr", "private", NULL };

const struct profile profile_seed = {
    .name = "seed",
    .folders = seed_folders,
    .files = { [PROFILE_ROOT_CERT] = "certs/ca.crt.pem",
               [PROFILE_ROOT_KEY] = "private/ca.key.pem",
               [PROFILE_CERT] = "certs/%s.crt.pem",
               [PROFILE_KEY] = "private/%s.key.pem",
               [PROFILE_REQUEST] = "csr/%s.csr.pem",
               [PROFILE_ISSUED] = "certs/%s.pem",
               [PROFILE_INDEX] = "index.txt",
               [PROFILE_INDEX_ATTRIBUTES] = "index.txt.attr",
               [PROFILE_SERIAL] = "serial",
               [PROFILE_OPENSSL_CONFIG] = "openssl.cnf",
               [PROFILE_CRL] = "crl.pem",
               [PROFILE_CRL_NUMBER] = "crlnumber",
               [PROFILE_LOCK] = ".lock" },
    .rsa_bits = 4096,
    .kdf_iterations = 2048,
    .encrypts_keys = true,
    .keeps_requests = true,
    .has_strict_subject = true,
    .days = { [PROFILE_ROOT] = YEAR_DAYS, [PROFILE_SERVER] = YEAR_DAYS, [PROFILE_CLIENT] = YEAR_DAYS },
    .subject = "/C=US/ST=CA/O=Your company name",
    .cn = { [PROFILE_ROOT] = "ca" },
    .extensions = { [PROFILE_ROOT] = seed_root,
                    [PROFILE_SERVER] = seed_server,
                    [PROFILE_CLIENT] = seed_client },
};

static const struct profile *const profiles[] = { &profile_modern, &profile_seed };
const char *const profile_names[] = { "modern", "seed", NULL };

const struct profile *profile_at(unsigned index)
{
    assert(index < sizeof profiles / sizeof profiles[0]);
    return profiles[index];
}

enum profile_use profile_issuing_ca(const struct profile *profile)
{
    return profile->files[PROFILE_INTERMEDIATE_CERT] ? PROFILE_INTERMEDIATE : PROFILE_ROOT;
}

enum profile_file profile_ca_cert(enum profile_use ca)
{
    return ca == PROFILE_ROOT ? PROFILE_ROOT_CERT : PROFILE_INTERMEDIATE_CERT;
}

enum profile_file profile_ca_key(enum profile_use ca)
{
    return ca == PROFILE_ROOT ? PROFILE_ROOT_KEY : PROFILE_INTERMEDIATE_KEY;
}

struct profile_books profile_books_of(const struct profile *profile, enum profile_use ca)
{
    if (ca == profile_issuing_ca(profile))
        return (struct profile_books) { PROFILE_INDEX, PROFILE_CRL, PROFILE_CRL_NUMBER };
    return (struct profile_books) { PROFILE_ROOT_INDEX, PROFILE_ROOT_CRL, PROFILE_ROOT_CRL_NUMBER };
}

const char *profile_ca_name(enum profile_use ca)
{
    return ca == PROFILE_ROOT ? "ca" : "intermediate";
}
