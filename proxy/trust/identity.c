#include "trust/identity.h"

#include "trust/spiffe_id.h"

#include <limits.h>
#include <openssl/asn1.h>
#include <openssl/bio.h>
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
#include <strings.h>

enum { FIRST_CAPACITY = 4 };
enum { NO_EXTENSION = -1 }; /* what X509_get_ext_d2i says of an extension that is not there */

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

/* A URI with the scheme of SPIFFE IDs is a SPIFFE ID, or no name: an empty segment, "..", a query or an
 * escape could make it match a pattern that its reader does not mean (SPIFFE-ID, 2). */
static bool is_uri_name(const char *text)
{
    char domain[SPIFFE_DOMAIN_BYTES];

    return strncasecmp(text, "spiffe:", 7) != 0 || spiffe_id_read(text, domain) ||
           spiffe_id_read_domain(text, domain);
}

/* Adds an alternative name, or notes that it cannot be read. False when out of memory. */
static bool alternative_add(struct identity_names *names, const GENERAL_NAME *name)
{
    const unsigned char *bytes = ASN1_STRING_get0_data(name->d.ia5);
    int length = ASN1_STRING_length(name->d.ia5);

    if (!is_ascii_name(bytes, length)) {
        names->is_incomplete = true;
        return true;
    }
    if (!names_add(names, (const char *)bytes,
                   name->type == GEN_DNS ? identity_dns_length((const char *)bytes, (size_t)length)
                                         : (size_t)length))
        return false;
    if (name->type == GEN_URI && !is_uri_name(names->values[names->count - 1])) {
        free(names->values[--names->count]);
        names->is_incomplete = true;
    }
    return true;
}

static bool read_alternative_names(struct identity *identity, const GENERAL_NAMES *alternatives)
{
    for (size_t i = 0; i < sk_GENERAL_NAME_num(alternatives); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(alternatives, i);
        struct identity_names *names = name->type == GEN_DNS     ? &identity->dns
                                       : name->type == GEN_URI   ? &identity->uri
                                       : name->type == GEN_EMAIL ? &identity->email
                                                                 : NULL;
        if (names && !alternative_add(names, name))
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

/* Reads the parts of the subject of one type, up to the part at `end`. False when out of memory. */
static bool read_parts(struct identity_names *names, const X509_NAME *subject, int type, int end)
{
    bool is_read = true;

    for (int at = -1; is_read && (at = X509_NAME_get_index_by_NID(subject, type, at)) >= 0 && at < end;) {
        unsigned char *text = subject_text(subject, at);
        names->is_incomplete = names->is_incomplete || !text;
        is_read = !text || names_add(names, (char *)text, strlen((char *)text));
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
    identity->cn_is_unreadable = last >= 0 && !text;
    if (text)
        identity->cn = strdup((char *)text);
    bool is_read = !text || identity->cn;
    OPENSSL_free(text);
    return is_read && read_parts(&identity->other_cns, subject, NID_commonName, last);
}

/* As certificate_describe_issuer writes the name, but whole. */
static bool read_issuer(struct identity *identity, X509 *certificate)
{
    BIO *writer = BIO_new(BIO_s_mem());
    const uint8_t *text;
    size_t length = 0;

    if (!writer)
        return false;
    bool is_text = X509_NAME_print_ex(writer, X509_get_issuer_name(certificate), 0,
                                      XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) >= 0 &&
                   BIO_mem_contents(writer, &text, &length) && is_name(text, (int)length);
    if (is_text)
        identity->issuer = strndup((const char *)text, length);
    BIO_free(writer);
    return !is_text || identity->issuer;
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
    int critical = NO_EXTENSION;

    if (!identity)
        return NULL;
    ERR_clear_error();
    alternatives = X509_get_ext_d2i(certificate, NID_subject_alt_name, &critical, NULL);
    /* An unreadable extension yields no names; X509_verify_cert refuses the certificate anyway. */
    identity->dns.is_incomplete = identity->uri.is_incomplete = identity->email.is_incomplete =
        !alternatives && critical != NO_EXTENSION;
    bool is_read = (!alternatives || read_alternative_names(identity, alternatives)) &&
                   read_cn(identity, subject) &&
                   read_parts(&identity->o, subject, NID_organizationName, INT_MAX) &&
                   read_parts(&identity->ou, subject, NID_organizationalUnitName, INT_MAX) &&
                   read_issuer(identity, certificate) && read_spki(identity, certificate);
    GENERAL_NAMES_free(alternatives);
    ERR_clear_error();
    if (is_read)
        return identity;
    identity_free(identity);
    return NULL;
}

size_t identity_dns_length(const char *name, size_t length)
{
    return length > 1 && name[length - 1] == '.' ? length - 1 : length;
}

void identity_free(struct identity *identity)
{
    if (!identity)
        return;
    free(identity->cn);
    free(identity->issuer);
    names_free(&identity->other_cns);
    names_free(&identity->o);
    names_free(&identity->ou);
    names_free(&identity->dns);
    names_free(&identity->uri);
    names_free(&identity->email);
    free(identity);
}

const char *identity_name(const struct identity *identity, enum identity_name name)
{
    switch (name) {
    case IDENTITY_CN:
        return identity->cn;
    case IDENTITY_URI:
        return identity->uri.count ? identity->uri.values[0] : NULL;
    case IDENTITY_DNS:
        return identity->dns.count ? identity->dns.values[0] : NULL;
    default:
        return identity->spki[0] ? identity->spki : NULL;
    }
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
    names_put(&list, "o", &identity->o);
    names_put(&list, "ou", &identity->ou);
    names_put(&list, "dns", &identity->dns);
    names_put(&list, "uri", &identity->uri);
    names_put(&list, "email", &identity->email);
    if (!list.used)
        name_put(&list, "spki", identity->spki);
}
