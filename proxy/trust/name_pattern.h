/* Patterns of names in certificates. Pure. */
#ifndef HUSK_TRUST_NAME_PATTERN_H
#define HUSK_TRUST_NAME_PATTERN_H

#include <stdbool.h>

/* What a `*` matches: any characters, but of a DNS name no `.`, of a URI no `/`, of an e-mail address no `@`.
 * In a URI `**` matches any characters. ASCII case does not matter in a DNS name, in the domain of an e-mail
 * address, and in the scheme and the authority of a URI (RFC 5280, 7.2 to 7.5); but a SPIFFE ID has small
 * letters there. */
enum name_pattern_style { NAME_PATTERN_TEXT, NAME_PATTERN_DNS, NAME_PATTERN_URI, NAME_PATTERN_EMAIL };

bool name_pattern_matches(const char *pattern, const char *text, enum name_pattern_style style);

#endif
