/* Fluentd's match patterns: which tags a pattern stands for.
 *
 * Pure. Compiled once, when the configuration is read; matching allocates nothing and costs at most one step
 * per byte of the tag and state of the pattern, whatever either says: a tag comes from a peer that may mean
 * harm.
 *
 * Source: lib/fluent/match.rb of Fluentd 1.18.0, followed to the letter, as bytes: `*` stands for one part or
 * some of it, `**` for zero or more parts, `{x,y}` for either (and may hold patterns, nested), a backslash
 * takes the character after it as it is, a dot at the very end is ignored, and a tag may end in one newline
 * that no part of the pattern stands for. In a list of them one that matches is enough. */
#ifndef HUSK_FORWARD_TAG_PATTERN_H
#define HUSK_FORWARD_TAG_PATTERN_H

#include "base/fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TAG_PATTERN_BYTES_MAX = 255,
    TAG_PATTERN_BRACES_MAX = 16, /* within each other */
};

struct tag_pattern {
    uint16_t count;
    struct tag_pattern_state *states; /* owned */
};

/* Compiles `text`, `length` bytes. Refused are a pattern that is empty or too long, has a space (Fluentd
 * writes several patterns so) or an open brace, is a regular expression (`/…/`), or has `#{…}`, which would
 * be Ruby code. Free with tag_pattern_deinit; after a failure there is nothing to free. */
MUST_CHECK bool tag_pattern_init(struct tag_pattern *pattern, const char *text, size_t length,
                                 struct fault *fault);
void tag_pattern_deinit(struct tag_pattern *pattern);

bool tag_pattern_matches(const struct tag_pattern *pattern, const uint8_t *tag, size_t length);

#endif
