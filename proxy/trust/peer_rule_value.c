#include "trust/peer_rule_value.h"

#include "base/utf8.h"
#include "trust/spiffe_id.h"

#include <string.h>
#include <strings.h>

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS  "0123456789"

static bool is_ascii(const char *value)
{
    while (*value && (unsigned char)*value < 0x80)
        value++;
    return !*value;
}

/* ---- one function per kind: what is wrong with the value, or NULL ---- */

static const char *dns_flaw(const char *value)
{
    return !is_ascii(value)         ? "a DNS name is written in ASCII (\"xn--…\")"
           : strpbrk(value, ":/@ ") ? "a DNS name has no scheme, port or path"
                                    : NULL;
}

static const char *email_flaw(const char *value)
{
    return !is_ascii(value)      ? "an e-mail address is ASCII"
           : !strchr(value, '@') ? "an e-mail address has an @, which no * matches"
                                 : NULL;
}

/* A `*` may match a part of the scheme, or all of it. */
static bool may_have_scheme(const char *value)
{
    size_t length = strspn(value, LETTERS) ? strspn(value, LETTERS DIGITS "+-.") : 0;

    return (length && value[length] == ':') || memchr(value, '*', strcspn(value, ":"));
}

static const char *spiffe_path_flaw(const char *path)
{
    while (*path == '/') {
        size_t length = strcspn(++path, "/");
        if (length == 0)
            return "a SPIFFE ID has no empty segment and no / at the end";
        if (length <= 2 && strspn(path, ".") >= length)
            return "a SPIFFE ID has no segment . or ..";
        if (strspn(path, LETTERS DIGITS ".-_*") < length)
            return "the path of a SPIFFE ID has only letters, digits and .-_";
        path += length;
    }
    return NULL;
}

static const char *spiffe_flaw(const char *value)
{
    static const char scheme[] = "spiffe://";
    size_t same = 0;

    while (scheme[same] && value[same] == scheme[same])
        same++;
    if (scheme[same])
        return value[same] == '*' ? NULL : "a SPIFFE ID begins with spiffe://, in small letters";
    size_t domain = strcspn(value + same, "/");
    if (!domain || strspn(value + same, SPIFFE_DOMAIN_LETTERS "*") < domain)
        return "the trust domain of a SPIFFE ID has only small letters, digits and .-_";
    return spiffe_path_flaw(value + same + domain);
}

static const char *uri_flaw(const char *value)
{
    if (!is_ascii(value))
        return "a URI is ASCII";
    if (!may_have_scheme(value))
        return "a URI begins with a scheme, such as spiffe://";
    return strncasecmp(value, "spiffe:", 7) == 0 ? spiffe_flaw(value) : NULL;
}

/* Whether a comma separates the parts of the name, with a space, which an issuer never has: a comma in a
 * value is escaped. */
static bool has_spaced_parts(const char *value)
{
    for (const char *comma = value; (comma = strstr(comma, ", ")); comma++) {
        if (comma == value || comma[-1] != '\\')
            return true;
    }
    return false;
}

static const char *issuer_flaw(const char *value)
{
    if (strchr(value, '*'))
        return NULL;
    return value[0] == '/' || !strchr(value, '=') || has_spaced_parts(value)
               ? "an issuer is written as CN=CA,O=Example, without spaces between its parts"
               : NULL;
}

static const char *flaw_of(enum peer_rule_kind kind, const char *value)
{
    switch (kind) {
    case PEER_RULE_DNS:
        return dns_flaw(value);
    case PEER_RULE_URI:
        return uri_flaw(value);
    case PEER_RULE_EMAIL:
        return email_flaw(value);
    case PEER_RULE_ISSUER:
        return issuer_flaw(value);
    default:
        return NULL;
    }
}

bool peer_rule_value_can_match(enum peer_rule_kind kind, const char *value, struct fault *fault)
{
    if (!value || !*value)
        return true;
    const char *flaw = utf8_is_valid(value, strlen(value)) ? flaw_of(kind, value) : "a name is UTF-8";
    if (flaw)
        fault_set(fault, "\"%s\" matches no name: %s", value, flaw);
    return !flaw;
}
