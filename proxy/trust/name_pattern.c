#include "trust/name_pattern.h"

#include <string.h>

/* `*` does not match it; '\0': `*` matches every character. */
static const char boundaries[] = {
    [NAME_PATTERN_TEXT] = '\0', [NAME_PATTERN_DNS] = '.', [NAME_PATTERN_URI] = '/', [NAME_PATTERN_EMAIL] = '@'
};

/* The part of a text where case does not matter. */
struct folded {
    const char *begin, *end;
};

static struct folded folded_of(const char *text, enum name_pattern_style style)
{
    const char *end = text + strlen(text), *from;

    switch (style) {
    case NAME_PATTERN_DNS:
        return (struct folded) { text, end };
    case NAME_PATTERN_EMAIL:
        from = strrchr(text, '@');
        return (struct folded) { from ? from : end, end };
    case NAME_PATTERN_URI:
        if (strncmp(text, "spiffe:", 7) == 0)
            return (struct folded) { end, end };
        from = strstr(text, "://");
        return (struct folded) { text,
                                 from ? from + 3 + strcspn(from + 3, "/?#") : text + strcspn(text, ":") };
    default:
        return (struct folded) { end, end };
    }
}

/* ASCII only, independent of the locale. */
static char lower(char byte)
{
    if (byte >= 'A' && byte <= 'Z')
        byte += 'a' - 'A';
    return byte;
}

static bool is_same(const char *pattern, const char *text, struct folded folded)
{
    return *pattern == *text ||
           (text >= folded.begin && text < folded.end && lower(*pattern) == lower(*text));
}

/* Backtracks to the last `*` only, which keeps the cost linear per `*`: the last `*` can match everything
 * that an earlier one could match in addition. A boundary does not change this, because no `*` matches it.
 * When the last `*` is at a boundary, backtracks to the last `**` in front of it. */
bool name_pattern_matches(const char *pattern, const char *text, enum name_pattern_style style)
{
    const struct folded folded = folded_of(text, style);
    const char *star = NULL, *taken = NULL;      /* the last `*`, and the end of the text that it matches */
    const char *wide = NULL, *wide_taken = NULL; /* the same for the last `**` */

    while (*text) {
        if (style == NAME_PATTERN_URI && pattern[0] == '*' && pattern[1] == '*') {
            wide = pattern++;
            pattern++;
            wide_taken = text;
            star = NULL;
        } else if (*pattern == '*') {
            star = pattern++;
            taken = text;
        } else if (is_same(pattern, text, folded)) {
            pattern++;
            text++;
        } else if (star && *taken != boundaries[style]) {
            text = ++taken;
            pattern = star + 1;
        } else if (wide) {
            text = ++wide_taken;
            pattern = wide + 2;
            star = NULL;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}
