#include "trust/spiffe_id.h"

#include <stddef.h>
#include <string.h>

static const char scheme[] = "spiffe://";
static const char path_letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";

/* Returns what follows the trust domain; NULL: there is no trust domain. */
static const char *domain_read(const char *text, char domain[SPIFFE_DOMAIN_BYTES])
{
    size_t length;

    if (strnlen(text, SPIFFE_ID_BYTES) == SPIFFE_ID_BYTES || strncmp(text, scheme, sizeof scheme - 1) != 0)
        return NULL;
    text += sizeof scheme - 1;
    length = strspn(text, SPIFFE_DOMAIN_LETTERS);
    if (length == 0 || length >= SPIFFE_DOMAIN_BYTES)
        return NULL;
    memcpy(domain, text, length);
    domain[length] = '\0';
    return text + length;
}

/* No segment is empty, "." or "..". */
static bool segment_is_good(const char *segment, size_t length)
{
    return length > 0 && !(length <= 2 && strspn(segment, ".") >= length);
}

bool spiffe_id_read(const char *text, char domain[SPIFFE_DOMAIN_BYTES])
{
    const char *at = domain_read(text, domain);

    if (!at || *at != '/')
        return false;
    while (*at == '/') {
        size_t length = strspn(++at, path_letters);
        if (!segment_is_good(at, length))
            return false;
        at += length;
    }
    return *at == '\0';
}

bool spiffe_id_read_domain(const char *text, char domain[SPIFFE_DOMAIN_BYTES])
{
    const char *rest = domain_read(text, domain);

    return rest && *rest == '\0';
}
