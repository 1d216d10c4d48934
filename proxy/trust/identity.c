#include "trust/identity.h"

#include <openssl/asn1.h>
#include <openssl/digest.h>
#include <openssl/err.h>
#include <openssl/mem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 4 };

/* False only when out of memory. */
static bool names_add(struct identity_names *names, const char *bytes, size_t length)
{
    if (names->count == names->capacity) {
        size_t capacity = names->capacity ? names->capacity * 2 : FIRST_CAPACITY;
        char **values = realloc(names->values, capacity * sizeof *values);
        if (!values)
            return false;
        names->values = values;
        names->capacity = capacity;
    }
    char *value = strndup(bytes, length);
    if (!value)
        return false;
    names->values[names->count++] = value;
    return true;
}

static void names_free(struct identity_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->values[i]);
    free(names->values);
}

static bool is_name(const unsigned char *bytes, int length)
{
    return length > 0 && !memchr(bytes, '\0', (size_t)length);
}

/* An IA5String is ASCII, but the parser does not check that. */
static bool is_ascii_name(const unsigned char *bytes, int length)
{
    for (int i = 0; i < length; i++) {
        if (bytes[i] >= 0x80)
            return false;
    }
    return is_name(bytes, length);
}

static bool read_alternative_names(struct identity *identity, const GENERAL_NAMES *alternatives)
{
    for (size_t i = 0; i < sk_GENERAL_NAME_num(alternatives); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(alternatives, i);
        if (name->type != GEN_DNS && name->type != GEN_URI)
            continue;
        struct identity_names *names = name->type == GEN_DNS ? &identity->dns : &identity->uri;
        const unsigned char *bytes = ASN1_STRING_get0_data(name->d.ia5);
        int length = ASN1_STRING_length(name->d.ia5);
        if (is_ascii_name(bytes, length) && !names_add(names, (const char *)bytes, (size_t)length))
            return false;
    }
    return true;
}

/* The value of a part of the subject, or NULL if it is not valid text. The caller frees it with OPENSSL_free;
 * it is terminated. */
static unsigned char *subject_text(const X509_NAME *subject, int at)
{
    unsigned char *text = NULL;
    int length = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));

    if (length >= 0 && is_name(text, length))
        return text;
    OPENSSL_free(text);
    return NULL;
}

static bool read_ou(struct identity *identity, const X509_NAME *subject)
{
    bool is_read = true;

    for (int at = -1;
         is_read && (at = X509_NAME_get_index_by_NID(subject, NID_organizationalUnitName, at)) >= 0;) {
        unsigned char *text = subject_text(subject, at);
        is_read = !text || names_add(&identity->ou, (char *)text, strlen((char *)text));
        OPENSSL_free(text);
    }
    return is_read;
}

/* The last CN of the subject is the most specific one. If it is not valid text, no other CN takes its place.
 */
static bool read_cn(struct identity *identity, const X509_NAME *subject)
{
    int last = -1;

    for (int at = -1; (at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0;)
        last = at;
    unsigned char *text = last >= 0 ? subject_text(subject, last) : NULL;
    if (!text)
        return true;
    identity->cn = strdup((char *)text);
    OPENSSL_free(text);
    return identity->cn != NULL;
}

static bool read_spki(struct identity *identity, X509 *certificate)
{
    uint8_t *der = NULL, hash[SHA256_DIGEST_LENGTH];
    int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);

    if (length < 0)
        return false;
    SHA256(der, (size_t)length, hash);
    OPENSSL_free(der);
    for (size_t i = 0; i < sizeof hash; i++)
        snprintf(identity->spki + 2 * i, 3, "%02x", hash[i]);
    return true;
}

struct identity *identity_from_certificate(X509 *certificate)
{
    const X509_NAME *subject = X509_get_subject_name(certificate);
    struct identity *identity = calloc(1, sizeof *identity);
    GENERAL_NAMES *alternatives = NULL;

    if (!identity)
        return NULL;
    ERR_clear_error();
    /* An unreadable extension yields no names; X509_verify_cert refuses the certificate anyway. */
    alternatives = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    bool is_read = (!alternatives || read_alternative_names(identity, alternatives)) &&
                   read_cn(identity, subject) && read_ou(identity, subject) &&
                   read_spki(identity, certificate);
    GENERAL_NAMES_free(alternatives);
    ERR_clear_error();
    if (is_read)
        return identity;
    identity_free(identity);
    return NULL;
}

void identity_free(struct identity *identity)
{
    if (!identity)
        return;
    free(identity->cn);
    names_free(&identity->ou);
    names_free(&identity->dns);
    names_free(&identity->uri);
    free(identity);
}

void identity_describe(const struct identity *identity, char *text, size_t size)
{
    if (identity->uri.count)
        snprintf(text, size, "uri:%s", identity->uri.values[0]);
    else if (identity->dns.count)
        snprintf(text, size, "dns:%s", identity->dns.values[0]);
    else if (identity->cn)
        snprintf(text, size, "cn:%s", identity->cn);
    else
        snprintf(text, size, "spki:%s", identity->spki);
}

/* A list of names that is being written. */
struct name_list {
    char *text;
    size_t size;
    size_t used; /* as if there were no limit */
};

static void name_put(struct name_list *list, const char *kind, const char *name)
{
    size_t space = list->used < list->size ? list->size - list->used : 0;

    list->used += (size_t)snprintf(space ? list->text + list->used : NULL, space, "%s%s:%s",
                                   list->used ? ", " : "", kind, name);
}

static void names_put(struct name_list *list, const char *kind, const struct identity_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        name_put(list, kind, names->values[i]);
}

void identity_list_names(const struct identity *identity, char *text, size_t size)
{
    struct name_list list = { text, size, 0 };

    if (identity->cn)
        name_put(&list, "cn", identity->cn);
    names_put(&list, "ou", &identity->ou);
    names_put(&list, "dns", &identity->dns);
    names_put(&list, "uri", &identity->uri);
    if (!list.used)
        name_put(&list, "spki", identity->spki);
}
