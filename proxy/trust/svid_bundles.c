#include "trust/svid_bundles.h"

#include "trust/certificate.h"
#include "trust/library_error.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

struct bundle {
    STAILQ_ENTRY(bundle) next;
    char domain[SPIFFE_DOMAIN_BYTES];
    STACK_OF(X509) * cas;
};

struct svid_bundles {
    STAILQ_HEAD(, bundle) list; /* in the order in which they were added */
};

/* ---- decoding ---- */

struct stack_st_X509 *svid_bundles_decode(const uint8_t *der, size_t length, struct fault *fault)
{
    STACK_OF(X509) *certificates = sk_X509_new_null();

    ERR_clear_error();
    while (certificates && length) {
        const uint8_t *rest = der;
        X509 *certificate = d2i_X509(NULL, &rest, (long)length);
        if (certificate && sk_X509_push(certificates, certificate)) {
            length -= (size_t)(rest - der);
            der = rest;
            continue;
        }
        X509_free(certificate);
        fault_set(fault, "certificate %zu cannot be read: %s", sk_X509_num(certificates) + 1,
                  library_error_take());
        sk_X509_pop_free(certificates, X509_free);
        return NULL;
    }
    if (!certificates || sk_X509_num(certificates) > 0)
        return certificates ? certificates : (fault_set(fault, "out of memory"), NULL);
    fault_set(fault, "no certificate");
    sk_X509_free(certificates);
    return NULL;
}

/* ---- the bundles ---- */

struct svid_bundles *svid_bundles_new(void)
{
    struct svid_bundles *bundles = calloc(1, sizeof *bundles);

    if (bundles)
        STAILQ_INIT(&bundles->list);
    return bundles;
}

void svid_bundles_free(struct svid_bundles *bundles)
{
    struct bundle *bundle;

    if (!bundles)
        return;
    while ((bundle = STAILQ_FIRST(&bundles->list))) {
        STAILQ_REMOVE_HEAD(&bundles->list, next);
        sk_X509_pop_free(bundle->cas, X509_free);
        free(bundle);
    }
    free(bundles);
}

static bool are_cas(const STACK_OF(X509) * certificates, struct fault *fault)
{
    char name[CERTIFICATE_NAME_BYTES];

    for (size_t i = 0; i < sk_X509_num(certificates); i++) {
        X509 *certificate = sk_X509_value(certificates, i);
        if (X509_check_ca(certificate) == 1)
            continue;
        certificate_describe(certificate, name);
        fault_set(fault, "certificate %s is not a CA certificate", name);
        ERR_clear_error();
        return false;
    }
    return true;
}

bool svid_bundles_add(struct svid_bundles *bundles, const char *domain, const uint8_t *der, size_t length,
                      struct fault *fault)
{
    struct bundle *bundle;

    if (svid_bundles_find(bundles, domain))
        return true;
    bundle = calloc(1, sizeof *bundle);
    if (!bundle) {
        fault_set(fault, "out of memory");
        return false;
    }
    bundle->cas = svid_bundles_decode(der, length, fault);
    if (bundle->cas && are_cas(bundle->cas, fault)) {
        strncpy(bundle->domain, domain, sizeof bundle->domain - 1);
        STAILQ_INSERT_TAIL(&bundles->list, bundle, next);
        return true;
    }
    sk_X509_pop_free(bundle->cas, X509_free);
    free(bundle);
    return false;
}

const char *svid_bundles_own_domain(const struct svid_bundles *bundles)
{
    return STAILQ_FIRST(&bundles->list)->domain;
}

const struct stack_st_X509 *svid_bundles_find(const struct svid_bundles *bundles, const char *domain)
{
    const struct bundle *bundle;

    STAILQ_FOREACH(bundle, &bundles->list, next)
    {
        if (strcmp(bundle->domain, domain) == 0)
            return bundle->cas;
    }
    return NULL;
}

struct stack_st_X509 *svid_bundles_all(const struct svid_bundles *bundles)
{
    STACK_OF(X509) *all = sk_X509_new_null();
    const struct bundle *bundle;

    STAILQ_FOREACH(bundle, &bundles->list, next)
    {
        for (size_t i = 0; all && i < sk_X509_num(bundle->cas); i++) {
            X509 *ca = sk_X509_value(bundle->cas, i);
            if (sk_X509_push(all, ca)) {
                X509_up_ref(ca);
                continue;
            }
            sk_X509_pop_free(all, X509_free);
            all = NULL;
        }
    }
    return all;
}

/* ---- a leaf ---- */

/* Copies the only URI of the certificate. False: it has none, several, or one that is no text. */
static bool read_uri(X509 *leaf, char id[SPIFFE_ID_BYTES], struct fault *fault)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    size_t uris = 0;

    id[0] = '\0';
    for (size_t i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_URI)
            continue;
        size_t length = (size_t)ASN1_STRING_length(name->d.ia5);
        if (uris++ == 0 && length < SPIFFE_ID_BYTES) {
            memcpy(id, ASN1_STRING_get0_data(name->d.ia5), length);
            id[length] = '\0';
            if (strlen(id) != length)
                id[0] = '\0';
        }
    }
    GENERAL_NAMES_free(names);
    ERR_clear_error();
    if (uris != 1)
        fault_set(fault, "an X.509-SVID has exactly one URI, this certificate has %zu", uris);
    return uris == 1;
}

bool svid_bundles_read_leaf(struct x509_st *leaf, char id[SPIFFE_ID_BYTES], char domain[SPIFFE_DOMAIN_BYTES],
                            struct fault *fault)
{
    uint32_t usage = X509_get_key_usage(leaf);               /* UINT32_MAX: the certificate does not say */
    bool is_ca = X509_get_extension_flags(leaf) & EXFLAG_CA; /* whatever its keyUsage */

    ERR_clear_error();
    if (!read_uri(leaf, id, fault))
        return false;
    if (!spiffe_id_read(id, domain))
        fault_set(fault, "\"%.200s\" is not the SPIFFE ID of a workload", id);
    else if (is_ca)
        fault_set(fault, "a CA certificate is not the X.509-SVID of a workload");
    else if (usage != UINT32_MAX && (usage & (KU_KEY_CERT_SIGN | KU_CRL_SIGN)))
        fault_set(fault, "the keyUsage of an X.509-SVID has no keyCertSign and no cRLSign");
    else
        return true;
    return false;
}
