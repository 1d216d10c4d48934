#include "trust/validity.h"

#include "trust/certificate.h"

#include <openssl/x509.h>
#include <stddef.h>

/* The expiry of the version that expires last. */
static int64_t end_of_versions(const STACK_OF(X509) * certificates, const X509 *certificate)
{
    int64_t last = certificate_not_after(certificate);

    for (size_t i = 0; i < sk_X509_num(certificates); i++) {
        const X509 *other = sk_X509_value(certificates, i);
        if (certificate_is_version_of(other, certificate) && certificate_not_after(other) > last)
            last = certificate_not_after(other);
    }
    return last;
}

static int64_t first_end(const STACK_OF(X509) * certificates, size_t from, int64_t now)
{
    int64_t first = 0;

    for (size_t i = from; i < sk_X509_num(certificates); i++) {
        int64_t end = end_of_versions(certificates, sk_X509_value(certificates, i));
        if (end >= now && (!first || end < first))
            first = end;
    }
    return first;
}

static int64_t last_end(const STACK_OF(X509) * certificates)
{
    int64_t last = 0;

    for (size_t i = 0; i < sk_X509_num(certificates); i++) {
        int64_t end = certificate_not_after(sk_X509_value(certificates, i));
        if (end > last)
            last = end;
    }
    return last;
}

struct validity validity_of(const struct stack_st_X509 *chain, const struct stack_st_X509 *cas, int64_t now)
{
    return (struct validity) {
        .leaf = certificate_not_after(sk_X509_value(chain, 0)),
        .intermediates = first_end(chain, 1, now),
        .first_ca = first_end(cas, 0, now),
        .last_ca = last_end(cas),
    };
}
