/* The verification of peers over any certificates that BoringSSL can parse: the search of paths and the
 * identity.
 *
 * Input: a byte with the role (bit 0), whether weak certificates are allowed (bit 1) and the number of CAs
 * (the rest); then certificates, each behind its length in two bytes. The CAs come first. */
#include "trust/peer_check.h"

#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

enum { CERTIFICATES_MAX = 60 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void expect(bool right)
{
    if (!right)
        abort();
}

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

/* The last name of each kind must be found by a policy as well as the first. */
static void check_names(const struct identity_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        expect(names->values[i] && names->values[i][0]);
}

static void check_verdict(STACK_OF(X509) * cas, STACK_OF(X509) * chain, unsigned flags)
{
    struct peer_check check = { .server_name = "a.test" };
    struct peer_check_rules rules = { .role = flags & 1 ? TLS_CLIENT : TLS_SERVER,
                                      .allow_weak = flags & 2,
                                      .trusted_cas = cas };
    uint8_t alert = 0;
    bool is_accepted = peer_check_verify(&check, &rules, chain, &alert);

    expect(is_accepted == (check.reason == END_NONE));
    expect(is_accepted == (check.detail[0] == '\0'));
    expect(is_accepted || alert != 0);
    expect(!is_accepted || (check.identity && sk_X509_num(cas) > 0));
    if (check.identity) {
        check_names(&check.identity->dns);
        check_names(&check.identity->uri);
        check_names(&check.identity->ou);
    }
    peer_check_deinit(&check);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    STACK_OF(X509) *cas = sk_X509_new_null(), *chain = sk_X509_new_null();
    const uint8_t *at = bytes + 1;
    X509 *certificate;

    if (length > 0) {
        size_t ca_count = bytes[0] >> 2;
        while (sk_X509_num(cas) + sk_X509_num(chain) < CERTIFICATES_MAX &&
               (certificate = next_certificate(&at, bytes + length)))
            expect(sk_X509_push(sk_X509_num(cas) < ca_count ? cas : chain, certificate) > 0);
        check_verdict(cas, chain, bytes[0]);
        for (size_t i = 0; i < sk_X509_num(chain); i++) {
            struct identity *identity = identity_from_certificate(sk_X509_value(chain, i));
            expect(identity != NULL);
            identity_free(identity);
        }
    }
    sk_X509_pop_free(cas, X509_free);
    sk_X509_pop_free(chain, X509_free);
    return 0;
}
