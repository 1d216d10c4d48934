/* Patterns and tags: a recursive reader of the pattern gives the same answer as the automaton.
 *
 * An input is a pattern, a zero byte, and a tag. */
#include "forward/tag_pattern.h"

#include <stdlib.h>
#include <string.h>

/* The recursive reader tries every combination: longer inputs would take too long. */
enum { READ_PATTERN_MAX = 20, READ_TAG_MAX = 10 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

struct text {
    const char *at, *end;
};

/* How far the pattern has been read. */
struct context {
    bool has_dot;   /* a dot was read, and its meaning depends on the next characters */
    unsigned depth; /* open braces */
};

struct tag {
    const char *start, *at, *end;
};

static bool reads(struct text pattern, struct context context, struct tag tag);

/* The character after the comma or brace that ends the alternative at `at`. */
static const char *skip_alternative(const char *at, const char *end)
{
    unsigned depth = 0;

    for (; at < end; at++) {
        if (*at == '\\')
            at++;
        else if (*at == '{')
            depth++;
        else if (depth && *at == '}')
            depth--;
        else if (!depth && (*at == '}' || *at == ','))
            return at + 1;
    }
    abort(); /* tag_pattern_init accepts closed braces only */
}

static bool reads_byte(char byte, struct text pattern, struct context context, struct tag tag)
{
    if (tag.at == tag.end || *tag.at != byte)
        return false;
    tag.at++;
    return reads(pattern, context, tag);
}

/* Any number of bytes other than `but`, then the pattern. */
static bool reads_run(char but, struct text pattern, struct context context, struct tag tag)
{
    for (;; tag.at++) {
        if (reads(pattern, context, tag))
            return true;
        if (tag.at == tag.end || *tag.at == but)
            return false;
    }
}

static bool reads_parts(struct text pattern, struct context context, struct tag tag)
{
    if (context.has_dot && tag.at < tag.end && *tag.at != '.')
        return false;
    context.has_dot = false;
    if (pattern.end - pattern.at < 3 || pattern.at[2] != '.')
        return reads_run('\n', (struct text) { pattern.at + 2, pattern.end }, context, tag);
    pattern.at += 3;
    if (tag.at == tag.start && reads(pattern, context, tag))
        return true;
    for (; tag.at < tag.end && *tag.at != '\n'; tag.at++) {
        if (*tag.at == '.' && reads(pattern, context, (struct tag) { tag.start, tag.at + 1, tag.end }))
            return true;
    }
    return false;
}

static bool reads_braces(struct text pattern, struct context context, struct tag tag)
{
    const char *alternative = pattern.at + 1;

    context.depth++;
    while (!reads((struct text) { alternative, pattern.end }, context, tag)) {
        alternative = skip_alternative(alternative, pattern.end);
        if (alternative[-1] == '}')
            return false;
    }
    return true;
}

static bool reads(struct text pattern, struct context context, struct tag tag)
{
    if (pattern.at == pattern.end)
        return tag.at == tag.end || (tag.at + 1 == tag.end && *tag.at == '\n');
    if (pattern.end - pattern.at >= 2 && memcmp(pattern.at, "**", 2) == 0)
        return reads_parts(pattern, context, tag);
    if (context.has_dot)
        return reads_byte('.', pattern, (struct context) { false, context.depth }, tag);

    struct text rest = { pattern.at + 1, pattern.end };
    switch (*pattern.at) {
    case '.':
        return reads(rest, (struct context) { true, context.depth }, tag);
    case '*':
        return reads_run('.', rest, context, tag);
    case '{':
        return reads_braces(pattern, context, tag);
    case '\\':
        if (rest.at == rest.end)
            return reads(rest, context, tag);
        return reads_byte(*rest.at, (struct text) { rest.at + 1, rest.end }, context, tag);
    case ',':
    case '}':
        if (!context.depth)
            break;
        for (const char *end = pattern.at; *end != '}'; end = rest.at - 1)
            rest.at = skip_alternative(rest.at, rest.end);
        context.depth--;
        return reads(rest, context, tag);
    }
    return reads_byte(*pattern.at, rest, context, tag);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    const uint8_t *zero = length ? memchr(bytes, '\0', length) : NULL;
    struct tag_pattern pattern;
    struct fault fault;

    if (!zero)
        return 0;
    size_t pattern_length = (size_t)(zero - bytes), tag_length = length - pattern_length - 1;
    const char *text = (const char *)bytes, *tag = (const char *)zero + 1;
    if (!tag_pattern_init(&pattern, text, pattern_length, &fault))
        return 0;
    bool answer = tag_pattern_matches(&pattern, zero + 1, tag_length);
    tag_pattern_deinit(&pattern);
    if (pattern_length > READ_PATTERN_MAX || tag_length > READ_TAG_MAX)
        return 0;
    bool is_all = pattern_length == 2 && memcmp(text, "**", 2) == 0;
    bool expected =
        is_all || reads((struct text) { text, text + pattern_length }, (struct context) { false, 0 },
                        (struct tag) { tag, tag, tag + tag_length });
    if (answer != expected)
        abort();
    return 0;
}
