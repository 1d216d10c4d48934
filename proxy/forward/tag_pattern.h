/* Fluentd's match patterns for tags.
 *
 * Pure. A pattern is compiled once, when the configuration is read. Matching allocates nothing, and takes at
 * most one step per byte of the tag and state of the pattern: a tag comes from a peer that may be hostile.
 *
 * Source: lib/fluent/match.rb of Fluentd 1.18.0, followed exactly, on bytes. `*` matches one part or some of
 * it, `**` zero or more parts, `{x,y}` either pattern (may be nested). A backslash escapes the next
 * character. A dot at the end of the pattern is ignored. A tag may end in one newline, which the pattern does
 * not have to match. A list of patterns matches if one of them does. */
#ifndef HUSK_FORWARD_TAG_PATTERN_H
#define HUSK_FORWARD_TAG_PATTERN_H

#include "base/fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TAG_PATTERN_BYTES_MAX = 255,
    TAG_PATTERN_BRACES_MAX = 16, /* nested in each other */
};

struct tag_pattern {
    uint16_t count;
    struct tag_pattern_state *states; /* owned */
};

/* Compiles `text` of `length` bytes. Refuses a pattern that is empty or too long, has a space (Fluentd
 * separates patterns by spaces), an open brace or `#{…}` (Ruby code), or is a regular expression (`/…/`).
 * Free with tag_pattern_deinit; after a failure there is nothing to free. */
MUST_CHECK bool tag_pattern_init(struct tag_pattern *pattern, const char *text, size_t length,
                                 struct fault *fault);
void tag_pattern_deinit(struct tag_pattern *pattern);

bool tag_pattern_matches(const struct tag_pattern *pattern, const uint8_t *tag, size_t length);

#endif
