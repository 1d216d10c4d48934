/* Revocation lists over any bytes: decoding ends, and a list that is decoded answers questions. What husk
 * decodes, BoringSSL decodes, too, and both find the same serial numbers. */
#include "trust/crl.h"

#include <openssl/asn1.h>
#include <openssl/x509.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void expect(bool right)
{
    if (!right)
        abort();
}

static void check_serials(const struct crl *list, X509_CRL *model)
{
    STACK_OF(X509_REVOKED) *entries = X509_CRL_get_REVOKED(model);
    size_t count = entries ? sk_X509_REVOKED_num(entries) : 0;
    X509 *probe = X509_new();

    expect(probe && count == list->count);
    for (size_t i = 0; i < count; i++) {
        const ASN1_INTEGER *serial = X509_REVOKED_get0_serialNumber(sk_X509_REVOKED_value(entries, i));
        expect(X509_set_serialNumber(probe, serial) && crl_names(list, probe));
    }
    (void)crl_covers(list, probe);
    (void)crl_fits_issuer(list, probe);
    X509_free(probe);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct fault fault = { .text = "" };
    struct crl list;
    CBS from;

    CBS_init(&from, bytes, length);
    if (crl_decode(&list, &from, &fault)) {
        const uint8_t *at = bytes;
        X509_CRL *model = d2i_X509_CRL(NULL, &at, (long)length);
        expect(crl_compare(&list, &list) == 0 && crl_is_of_same_scope(&list, &list));
        if (model)
            check_serials(&list, model);
        X509_CRL_free(model);
    } else {
        expect(fault.text[0] != '\0');
    }
    crl_deinit(&list);
    return 0;
}
