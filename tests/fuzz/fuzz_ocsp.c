/* OCSP responses over any bytes: a verdict is found, and only a response that the issuer has signed is more
 * than invalid.
 *
 * Input: the certificate and its issuer, each behind its length in two bytes; then the response. */
#include "trust/ocsp.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>

enum { NOW = 1800000000 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static X509 *next_certificate(const uint8_t **at, const uint8_t *end)
{
    if (end - *at < 2)
        return NULL;
    size_t length = (size_t)((*at)[0] << 8 | (*at)[1]);
    const uint8_t *der = *at + 2;
    if ((size_t)(end - der) < length)
        return NULL;
    *at = der + length;
    return d2i_X509(NULL, &der, (long)length);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    const uint8_t *at = bytes, *end = bytes + length;
    X509 *certificate = next_certificate(&at, end), *issuer = certificate ? next_certificate(&at, end) : NULL;

    if (issuer) {
        const struct ocsp_response response = { at, (size_t)(end - at) };
        const struct ocsp_question question = { certificate, issuer, NOW, STRENGTH_DEMANDED };
        enum ocsp_status status = ocsp_judge(&response, &question);
        (void)ocsp_is_demanded(certificate);
        if ((status == OCSP_NONE) != (response.length == 0) || !ocsp_status_phrase(status)[0])
            abort();
    }
    X509_free(issuer);
    X509_free(certificate);
    return 0;
}
