#include "trust/certificate.h"

#include "trust/identity.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <time.h>

/* RFC 2253, but non-ASCII characters are not escaped: the log escapes them. */
void certificate_describe_other(X509_NAME *name, char text[CERTIFICATE_NAME_BYTES])
{
    BIO *writer = BIO_new(BIO_s_mem());
    int length = 0;

    if (writer && X509_NAME_print_ex(writer, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) >= 0)
        length = BIO_read(writer, text, CERTIFICATE_NAME_BYTES - 1);
    text[length > 0 ? length : 0] = '\0';
    BIO_free(writer);
    ERR_clear_error();
}

void certificate_describe(X509 *certificate, char text[CERTIFICATE_NAME_BYTES])
{
    certificate_describe_other(X509_get_subject_name(certificate), text);
    if (text[0])
        return;
    struct identity *identity = identity_from_certificate(certificate);
    if (identity)
        identity_describe(identity, text, CERTIFICATE_NAME_BYTES);
    identity_free(identity);
}

void certificate_describe_issuer(X509 *certificate, char text[CERTIFICATE_NAME_BYTES])
{
    certificate_describe_other(X509_get_issuer_name(certificate), text);
    if (!text[0])
        snprintf(text, CERTIFICATE_NAME_BYTES, "a CA without a name");
}

void certificate_describe_time(int64_t seconds, char text[CERTIFICATE_TIME_BYTES])
{
    time_t time = (time_t)seconds;
    struct tm parts;

    if (!gmtime_r(&time, &parts) || !strftime(text, CERTIFICATE_TIME_BYTES, "%Y-%m-%dT%H:%M:%SZ", &parts))
        snprintf(text, CERTIFICATE_TIME_BYTES, "an unknown time");
}

/* Uses ASN1_TIME_diff, the only conversion that all BoringSSL versions have. */
int64_t certificate_seconds_of(const ASN1_TIME *time, int64_t unreadable)
{
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int days, seconds;
    int64_t result = unreadable;

    if (epoch && ASN1_TIME_diff(&days, &seconds, epoch, time))
        result = (int64_t)days * 86400 + seconds;
    ASN1_TIME_free(epoch);
    ERR_clear_error();
    return result;
}

int64_t certificate_not_before(const X509 *certificate)
{
    return certificate_seconds_of(X509_get0_notBefore(certificate), INT64_MAX);
}

int64_t certificate_not_after(const X509 *certificate)
{
    return certificate_seconds_of(X509_get0_notAfter(certificate), 0);
}

bool certificate_is_version_of(const X509 *a, const X509 *b)
{
    return X509_NAME_cmp(X509_get_subject_name(a), X509_get_subject_name(b)) == 0 &&
           ASN1_STRING_cmp(X509_get0_pubkey_bitstr(a), X509_get0_pubkey_bitstr(b)) == 0;
}

bool certificate_digest_chain(const STACK_OF(X509) * chain, uint8_t digest[CERTIFICATE_DIGEST_BYTES])
{
    uint8_t one[CERTIFICATE_DIGEST_BYTES];
    SHA256_CTX all;

    SHA256_Init(&all);
    for (size_t i = 0; i < sk_X509_num(chain); i++) {
        if (!X509_digest(sk_X509_value(chain, i), EVP_sha256(), one, NULL))
            return false;
        SHA256_Update(&all, one, sizeof one);
    }
    SHA256_Final(digest, &all);
    return true;
}
