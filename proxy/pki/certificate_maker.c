#include "pki/certificate_maker.h"

#include "base/clock.h"
#include "trust/certificate.h"
#include "trust/library_error.h"
#include "trust/strength.h"

#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdint.h>
#include <string.h>

enum { SERIAL_BYTES = 16, DAY_SECONDS = 24 * 60 * 60 };

ASN1_INTEGER *certificate_maker_random_serial(void)
{
    uint8_t bytes[SERIAL_BYTES];

    RAND_bytes(bytes, sizeof bytes);
    bytes[0] |= 1; /* not zero */
    BIGNUM *number = BN_bin2bn(bytes, sizeof bytes, NULL);
    ASN1_INTEGER *serial = number ? BN_to_ASN1_INTEGER(number, NULL) : NULL;
    BN_free(number);
    return serial;
}

/* ---- extensions ---- */

/* BoringSSL does not make the extensions of Netscape. */
static X509_EXTENSION *netscape_extension(int nid, const char *value)
{
    uint8_t *der = NULL;
    ASN1_OCTET_STRING *octets = ASN1_OCTET_STRING_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();
    X509_EXTENSION *extension = NULL;
    bool is_set = octets && text && ASN1_STRING_set(text, value, (int)strlen(value));

    if (is_set && nid == NID_netscape_comment) {
        int length = i2d_ASN1_IA5STRING(text, &der);
        is_set = length > 0 && ASN1_STRING_set(octets, der, length);
    } else if (is_set) {
        is_set = ASN1_STRING_set(octets, value, (int)strlen(value));
    }
    if (is_set)
        extension = X509_EXTENSION_create_by_NID(NULL, nid, 0, octets);
    OPENSSL_free(der);
    ASN1_IA5STRING_free(text);
    ASN1_OCTET_STRING_free(octets);
    return extension;
}

static bool extension_add(X509 *certificate, X509V3_CTX *context, const struct profile_extension *row)
{
    bool is_netscape = row->nid == NID_netscape_comment || row->nid == NID_netscape_cert_type;
    X509_EXTENSION *extension = is_netscape ? netscape_extension(row->nid, row->value)
                                            : X509V3_EXT_nconf_nid(NULL, context, row->nid, row->value);
    bool is_added = extension && X509_add_ext(certificate, extension, -1);

    X509_EXTENSION_free(extension);
    return is_added;
}

static bool extensions_add(X509 *certificate, X509 *issuer, const struct certificate_order *order)
{
    X509V3_CTX context;

    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    for (const struct profile_extension *row = order->profile->extensions[order->use]; row->nid; row++) {
        if (!extension_add(certificate, &context, row))
            return false;
    }
    return !order->names ||
           X509_add1_ext_i2d(certificate, NID_subject_alt_name, (void *)order->names, 0, 0) == 1;
}

/* ---- the certificate ---- */

static int64_t end_of(const struct certificate_order *order)
{
    int64_t days = order->days ? order->days : order->profile->days[order->use];

    return clock_wall_seconds() + days * DAY_SECONDS;
}

static bool validity_set(X509 *certificate, const struct certificate_order *order)
{
    int64_t from = clock_wall_seconds() - order->profile->backdated_seconds;

    return ASN1_TIME_set(X509_getm_notBefore(certificate), (time_t)from) &&
           ASN1_TIME_set(X509_getm_notAfter(certificate), (time_t)end_of(order));
}

/* The CA of the seed lives as long as what it signs, so its certificates always end after it. */
bool certificate_maker_check_end(const struct certificate_order *order, X509 *issuer, struct fault *fault)
{
    char name[CERTIFICATE_NAME_BYTES], time[CERTIFICATE_TIME_BYTES];

    if (order->profile->has_strict_subject || end_of(order) <= certificate_not_after(issuer))
        return true;
    certificate_describe(issuer, name);
    certificate_describe_time(certificate_not_after(issuer), time);
    fault_set(fault,
              "the certificate would be valid longer than its CA %s, which ends at %s: give fewer --days, or "
              "renew the CA",
              name, time);
    return false;
}

static bool fill(X509 *certificate, const struct certificate_order *order, X509 *issuer)
{
    return X509_set_version(certificate, X509_VERSION_3) &&
           X509_set_serialNumber(certificate, order->serial) && validity_set(certificate, order) &&
           X509_set_subject_name(certificate, order->subject) &&
           X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) &&
           X509_set_pubkey(certificate, order->public_key) && extensions_add(certificate, issuer, order);
}

static bool check(X509 *certificate, X509 *issuer, const struct certificate_order *order, struct fault *fault)
{
    char flaw[STRENGTH_FLAW_BYTES];

    if (!strength_check_key(certificate, flaw)) {
        fault_set(fault, "the certificate %s: use RSA of at least 2048 bits, P-256, P-384, P-521 or Ed25519",
                  flaw);
        return false;
    }
    if (order->use != PROFILE_INTERMEDIATE || X509_get_pathlen(issuer) != 0)
        return true;
    fault_set(fault, "the root CA permits no intermediate CA: begin a new PKI in another directory");
    return false;
}

X509 *certificate_maker_make(const struct certificate_order *order, X509 *issuer, EVP_PKEY *issuer_key,
                             struct fault *fault)
{
    X509 *certificate = X509_new();

    ERR_clear_error();
    if (!certificate || !fill(certificate, order, issuer ? issuer : certificate)) {
        fault_set(fault, "cannot make the certificate: %s", library_error_take());
        goto fail;
    }
    if (!check(certificate, issuer ? issuer : certificate, order, fault))
        goto fail;
    if (X509_sign(certificate, issuer_key, EVP_sha256()))
        return certificate;
    fault_set(fault, "cannot sign the certificate: %s", library_error_take());
fail:
    X509_free(certificate);
    return NULL;
}
