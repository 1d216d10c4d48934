#include "pki/subject_name.h"

#include "base/utf8.h"

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/nid.h>
#include <openssl/obj.h>
#include <openssl/x509.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { CN_CHARACTERS_MAX = 64 /* ub-common-name (RFC 5280, appendix A.1) */ };

/* C is a PrintableString, emailAddress an IA5String, and the others are UTF8String (RFC 5280, 4.1.2.4). */
static bool part_add(X509_NAME *name, const char *key, const char *value, struct fault *fault)
{
    if (X509_NAME_add_entry_by_txt(name, key, MBSTRING_UTF8, (const uint8_t *)value, -1, -1, 0))
        return true;
    ERR_clear_error();
    fault_set(fault, "subject: %.32s=%.64s: %s", key, value,
              strcmp(key, "C") == 0 ? "expected two letters"
              : OBJ_txt2nid(key) == NID_undef
                  ? "is no part of a name: use C, ST, L, O, OU, CN or emailAddress"
                  : "the text is empty, too long or not valid here");
    return false;
}

/* Adds "C=US", which it cuts in two. */
static bool pair_add(X509_NAME *name, char *pair, struct fault *fault)
{
    char *equals = strchr(pair, '=');

    if (!equals) {
        fault_set(fault, "subject: \"%.64s\": expected a part such as O=example", pair);
        return false;
    }
    *equals = '\0';
    return part_add(name, pair, equals + 1, fault);
}

X509_NAME *subject_name_parse(const char *text, const char *cn, struct fault *fault)
{
    char *copy = strdup(text), *rest = NULL;
    X509_NAME *name = X509_NAME_new();
    bool is_made = copy && name && text[0] == '/';

    if (!is_made)
        fault_set(fault, "subject: \"%.64s\": expected /C=US/ST=CA/O=example", text);
    for (char *pair = is_made ? strtok_r(copy, "/", &rest) : NULL; is_made && pair;
         pair = strtok_r(NULL, "/", &rest))
        is_made = pair_add(name, pair, fault);
    if (is_made && cn && X509_NAME_get_index_by_NID(name, NID_commonName, -1) < 0)
        is_made = part_add(name, "CN", cn, fault);
    free(copy);
    if (is_made)
        return name;
    X509_NAME_free(name);
    return NULL;
}

static X509_NAME_ENTRY *entry_of(const X509_NAME *name, int nid)
{
    int at = X509_NAME_get_index_by_NID(name, nid, -1);

    return at < 0 ? NULL : X509_NAME_get_entry(name, at);
}

static const int inherited[] = { NID_countryName, NID_stateOrProvinceName, NID_organizationName };
enum { INHERITED_COUNT = sizeof inherited / sizeof inherited[0] };

X509_NAME *subject_name_below(X509_NAME *ca, const char *cn, struct fault *fault)
{
    X509_NAME *name = X509_NAME_new();
    bool is_made = name != NULL;

    if (!is_made)
        fault_set(fault, "out of memory");
    for (size_t i = 0; is_made && i < INHERITED_COUNT; i++) {
        X509_NAME_ENTRY *entry = entry_of(ca, inherited[i]);
        is_made = !entry || X509_NAME_add_entry(name, entry, -1, 0);
    }
    if (is_made && part_add(name, "CN", cn, fault))
        return name;
    X509_NAME_free(name);
    return NULL;
}

X509_NAME *subject_name_strict(X509_NAME *ca, X509_NAME *asked, struct fault *fault)
{
    static const int copied[] = { NID_organizationalUnitName, NID_commonName, NID_pkcs9_emailAddress };
    X509_NAME *name = X509_NAME_new();
    bool is_made = name != NULL;

    for (size_t i = 0; is_made && i < INHERITED_COUNT; i++) {
        X509_NAME_ENTRY *own = entry_of(asked, inherited[i]), *wanted = entry_of(ca, inherited[i]);
        if (!own || !wanted ||
            ASN1_STRING_cmp(X509_NAME_ENTRY_get_data(own), X509_NAME_ENTRY_get_data(wanted)) != 0) {
            fault_set(fault,
                      "the request's %s is not that of the CA, as the profile seed demands: make the "
                      "request with the %s of the CA",
                      OBJ_nid2ln(inherited[i]), OBJ_nid2ln(inherited[i]));
            X509_NAME_free(name);
            return NULL;
        }
        is_made = X509_NAME_add_entry(name, own, -1, 0);
    }
    for (size_t i = 0; is_made && i < sizeof copied / sizeof copied[0]; i++) {
        X509_NAME_ENTRY *own = entry_of(asked, copied[i]);
        is_made = !own || X509_NAME_add_entry(name, own, -1, 0);
    }
    if (is_made && entry_of(name, NID_commonName))
        return name;
    fault_set(fault, "the request has no commonName: make it with CN=name");
    X509_NAME_free(name);
    return NULL;
}

bool subject_name_check_cn(const char *cn, struct fault *fault)
{
    size_t characters = 0;

    for (const char *byte = cn; *byte; byte++)
        characters += (*byte & 0xc0) != 0x80;
    if (characters > 0 && characters <= CN_CHARACTERS_MAX && utf8_is_valid(cn, strlen(cn)))
        return true;
    fault_set(fault, "name \"%.64s\": a common name has 1 to %d characters", cn, CN_CHARACTERS_MAX);
    return false;
}
