#include "trust/certificate_facts.h"

#include "trust/identity.h"
#include "trust/ocsp.h"
#include "trust/server_name.h"

#include <openssl/err.h>
#include <openssl/nid.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

struct usage {
    uint32_t bit;
    const char *name;
};

static const struct usage key_usages[] = {
    { KU_DIGITAL_SIGNATURE, "digitalSignature" },
    { KU_NON_REPUDIATION, "nonRepudiation" },
    { KU_KEY_ENCIPHERMENT, "keyEncipherment" },
    { KU_DATA_ENCIPHERMENT, "dataEncipherment" },
    { KU_KEY_AGREEMENT, "keyAgreement" },
    { KU_KEY_CERT_SIGN, "keyCertSign" },
    { KU_CRL_SIGN, "cRLSign" },
    { 0, NULL },
};

static const struct usage extended_usages[] = {
    { XKU_SSL_SERVER, "serverAuth" },      { XKU_SSL_CLIENT, "clientAuth" },
    { XKU_SMIME, "emailProtection" },      { XKU_CODE_SIGN, "codeSigning" },
    { XKU_OCSP_SIGN, "OCSPSigning" },      { XKU_TIMESTAMP, "timeStamping" },
    { XKU_ANYEKU, "anyExtendedKeyUsage" }, { 0, NULL },
};

static void text_append(char text[CERTIFICATE_FACTS_TEXT_BYTES], const char *separator, const char *word)
{
    size_t used = strlen(text);

    snprintf(text + used, CERTIFICATE_FACTS_TEXT_BYTES - used, "%s%s", used ? separator : "", word);
}

/* UINT32_MAX: the certificate does not have the extension. */
static void usages_append(char text[CERTIFICATE_FACTS_TEXT_BYTES], uint32_t bits, const struct usage *usages)
{
    const char *separator = "; ";

    for (; bits != UINT32_MAX && usages->name; usages++) {
        if (!(bits & usages->bit))
            continue;
        text_append(text, separator, usages->name);
        separator = ", ";
    }
}

/* A self-issued certificate is not trusted because of its signature. */
static void flaw_set(X509 *certificate, struct certificate_facts *facts)
{
    bool is_strong = facts->is_self_issued ? strength_check_key(certificate, facts->flaw)
                                           : strength_check(certificate, facts->flaw);

    if (is_strong)
        facts->flaw[0] = '\0';
}

static void names_set(X509 *certificate, struct certificate_facts *facts)
{
    struct identity *identity = identity_from_certificate(certificate);

    certificate_describe(certificate, facts->name);
    certificate_describe_issuer(certificate, facts->issuer);
    server_name_list(certificate, facts->names, sizeof facts->names);
    if (!identity)
        return;
    identity_list_names(identity, facts->all_names, sizeof facts->all_names);
    if (identity->cn)
        snprintf(facts->cn, sizeof facts->cn, "%s", identity->cn);
    identity_free(identity);
}

void certificate_facts_of(X509 *certificate, struct certificate_facts *facts)
{
    uint32_t key_usage = X509_get_key_usage(certificate);

    *facts = (struct certificate_facts) {
        .not_before = certificate_not_before(certificate),
        .not_after = certificate_not_after(certificate),
        .has_alternatives = X509_get_ext_by_NID(certificate, NID_subject_alt_name, -1) >= 0,
        .is_ca = X509_check_ca(certificate) == 1,
        .is_self_issued = X509_check_issued(certificate, certificate) == X509_V_OK,
        .fits_client = X509_check_purpose(certificate, X509_PURPOSE_SSL_CLIENT, 0) == 1,
        .fits_server = X509_check_purpose(certificate, X509_PURPOSE_SSL_SERVER, 0) == 1,
        .demands_staple = ocsp_is_demanded(certificate),
        .may_sign = key_usage & KU_DIGITAL_SIGNATURE,
    };
    names_set(certificate, facts);
    usages_append(facts->usages, key_usage, key_usages);
    usages_append(facts->usages, X509_get_extended_key_usage(certificate), extended_usages);
    flaw_set(certificate, facts);
    ERR_clear_error();
}
