/* Loading a revocation list with 100,000 entries, and the verdict about a certificate, which does not depend
 * on the length of the list. Usage: revocation [seconds per line] */
#include "trust/revocation.h"
#include "micro/measure.h"
#include "trust/crl.h"

#include <openssl/asn1.h>
#include <openssl/ec_key.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <string.h>
#include <unistd.h>

enum { VERDICTS = 1000, DAY = 86400, SERIAL_BYTES = 16 };

struct subject {
    X509 *ca, *leaf;
    STACK_OF(X509) * cas;
    EVP_PKEY *key;
    char path[64];
    struct revocation *lists;
    unsigned good;
};

static void must(bool is_done)
{
    if (!is_done)
        abort();
}

static X509 *certificate_new(EVP_PKEY *key, const char *subject, uint64_t serial)
{
    X509 *certificate = X509_new();

    must(X509_set_version(certificate, X509_VERSION_3) &&
         ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial) &&
         X509_gmtime_adj(X509_get_notBefore(certificate), -DAY) &&
         X509_gmtime_adj(X509_get_notAfter(certificate), DAY) &&
         X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                                    (const uint8_t *)subject, -1, -1, 0) &&
         X509_NAME_add_entry_by_txt(X509_get_issuer_name(certificate), "CN", MBSTRING_ASC,
                                    (const uint8_t *)"CA", -1, -1, 0) &&
         X509_set_pubkey(certificate, key) && X509_sign(certificate, key, EVP_sha256()));
    return certificate;
}

static void subject_init(struct subject *subject)
{
    EC_KEY *key = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);

    *subject = (struct subject) { .key = EVP_PKEY_new(), .cas = sk_X509_new_null() };
    must(EC_KEY_generate_key(key) && EVP_PKEY_assign_EC_KEY(subject->key, key));
    subject->ca = certificate_new(subject->key, "CA", 1);
    subject->leaf = certificate_new(subject->key, "leaf", 2);
    must(sk_X509_push(subject->cas, subject->ca));
    snprintf(subject->path, sizeof subject->path, "/tmp/husk-micro-%d.crl", (int)getpid());
}

static void list_write(const struct subject *subject, size_t entries)
{
    X509_CRL *list = X509_CRL_new();
    ASN1_TIME *from = ASN1_TIME_set(NULL, time(NULL) - DAY), *until = ASN1_TIME_set(NULL, time(NULL) + DAY);
    uint8_t *der = NULL;

    must(X509_CRL_set_version(list, X509_CRL_VERSION_2) &&
         X509_CRL_set_issuer_name(list, X509_get_subject_name(subject->ca)) &&
         X509_CRL_set1_lastUpdate(list, from) && X509_CRL_set1_nextUpdate(list, until));
    for (size_t i = 0; i < entries; i++) {
        X509_REVOKED *entry = X509_REVOKED_new();
        ASN1_INTEGER *serial = ASN1_INTEGER_new();
        uint8_t bytes[SERIAL_BYTES];
        RAND_bytes(bytes, sizeof bytes);
        bytes[0] |= 1;
        must(ASN1_STRING_set(serial, bytes, sizeof bytes) && X509_REVOKED_set_serialNumber(entry, serial) &&
             X509_REVOKED_set_revocationDate(entry, from) && X509_CRL_add0_revoked(list, entry));
        ASN1_INTEGER_free(serial);
    }
    must(X509_CRL_sign(list, subject->key, EVP_sha256()));
    int length = i2d_X509_CRL(list, &der);
    FILE *file = fopen(subject->path, "w");
    must(length > 0 && file && fwrite(der, (size_t)length, 1, file) == 1);
    fclose(file);
    OPENSSL_free(der);
    ASN1_TIME_free(until);
    ASN1_TIME_free(from);
    X509_CRL_free(list);
}

static void load(void *argument)
{
    struct subject *subject = argument;
    struct fault fault;

    revocation_free(subject->lists);
    subject->lists = revocation_new(STRENGTH_DEMANDED, &fault);
    must(subject->lists && revocation_add(subject->lists, 0, subject->path, &fault) &&
         revocation_settle(subject->lists, subject->cas, &fault));
}

static void judge(void *argument)
{
    struct subject *subject = argument;
    int64_t now = time(NULL);

    for (unsigned i = 0; i < VERDICTS; i++)
        subject->good += revocation_judge(subject->lists, subject->leaf, subject->ca, now) == REVOCATION_GOOD;
}

int main(int count, char **arguments)
{
    static const struct {
        size_t entries;
        const char *load, *judge;
    } lines[] = { { 100, "load a list of 100 entries", "a verdict, 100 entries" },
                  { 100000, "load a list of 100,000 entries", "a verdict, 100,000 entries" } };
    double seconds = measure_seconds(count, arguments);
    struct subject subject;

    subject_init(&subject);
    for (unsigned i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        const struct measure loads = { lines[i].load, load, &subject, 1, 0 },
                             judges = { lines[i].judge, judge, &subject, VERDICTS, 0 };
        list_write(&subject, lines[i].entries);
        measure_run(&loads, seconds);
        measure_run(&judges, seconds);
    }
    unlink(subject.path);
    revocation_free(subject.lists);
    sk_X509_pop_free(subject.cas, X509_free);
    X509_free(subject.leaf);
    EVP_PKEY_free(subject.key);
    return subject.good == 0;
}
