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
    const X509 *leaf = chain ? sk_X509_value(chain, 0) : NULL;

    return (struct validity) {
        .leaf = leaf ? certificate_not_after(leaf) : 0,
        .intermediates = first_end(chain, 1, now),
        .first_ca = first_end(cas, 0, now),
        .last_ca = last_end(cas),
        .leaf_begin = leaf ? certificate_not_before(leaf) : 0,
    };
}

static int64_t first_of(int64_t a, int64_t b)
{
    return a && (!b || a < b) ? a : b;
}

struct validity validity_join(struct validity a, struct validity b)
{
    if (first_of(a.leaf, b.leaf) != a.leaf)
        a.leaf_begin = b.leaf_begin;
    a.leaf = first_of(a.leaf, b.leaf);
    a.intermediates = first_of(a.intermediates, b.intermediates);
    return a;
}

int64_t validity_next_end(const struct validity *validity, int64_t now)
{
    return first_of(validity->leaf > now ? validity->leaf : 0,
                    validity->intermediates > now ? validity->intermediates : 0);
}
