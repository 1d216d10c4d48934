#include "trust/peer_rule.h"

#include "trust/name_pattern.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { SPKI_DIGITS = IDENTITY_SPKI_HEX_BYTES - 1 };

void peer_rule_deinit(struct peer_rule *rule)
{
    for (size_t i = 0; i < rule->part_count; i++)
        peer_rule_deinit(&rule->parts[i]);
    free(rule->parts);
    free(rule->value);
}

bool peer_rule_matches_same(const struct peer_rule *a, const struct peer_rule *b)
{
    bool is_same = a->kind == b->kind && a->part_count == b->part_count &&
                   (!a->value || strcmp(a->value, b->value) == 0);

    for (size_t i = 0; is_same && i < a->part_count; i++)
        is_same = peer_rule_matches_same(&a->parts[i], &b->parts[i]);
    return is_same;
}

bool peer_rule_equal(const struct peer_rule *a, const struct peer_rule *b)
{
    return a->effect == b->effect && peer_rule_matches_same(a, b);
}

bool peer_rule_is_group(enum peer_rule_kind kind)
{
    return kind == PEER_RULE_ANY_OF || kind == PEER_RULE_ALL_OF || kind == PEER_RULE_NOT;
}

static bool is_name(enum peer_rule_kind kind)
{
    return kind >= PEER_RULE_CN && !peer_rule_is_group(kind);
}

static bool value_check(enum peer_rule_kind kind, const char *value, struct fault *fault)
{
    if (!is_name(kind))
        return true;
    if (!value || !*value) {
        fault_set(fault, "the value is empty");
        return false;
    }
    if (kind == PEER_RULE_SPKI &&
        (strlen(value) != SPKI_DIGITS || strspn(value, "0123456789abcdefABCDEF") != SPKI_DIGITS)) {
        fault_set(fault, "\"%s\" is not a SHA-256 hash: expected 64 hex digits", value);
        return false;
    }
    return true;
}

bool peer_rule_init(struct peer_rule *rule, enum peer_rule_kind kind, const char *value, struct fault *fault)
{
    *rule = (struct peer_rule) { .kind = kind };
    if (!value_check(kind, value, fault))
        return false;
    if (value && !(rule->value = strdup(value))) {
        fault_set(fault, "out of memory");
        return false;
    }
    if (kind == PEER_RULE_DNS)
        rule->value[identity_dns_length(value, strlen(value))] = '\0';
    return true;
}

struct peer_rule *peer_rule_add(struct peer_rule *group, enum peer_rule_kind kind, const char *value,
                                struct fault *fault)
{
    struct peer_rule *parts = realloc(group->parts, (group->part_count + 1) * sizeof *parts);

    assert(peer_rule_is_group(group->kind));
    if (!parts) {
        fault_set(fault, "out of memory");
        return NULL;
    }
    group->parts = parts;
    if (!peer_rule_init(&parts[group->part_count], kind, value, fault))
        return NULL;
    return &parts[group->part_count++];
}

/* ---- names ---- */

/* The first name that the pattern matches; NULL: none. */
static const char *match_in(const char *pattern, const struct identity_names *names,
                            enum name_pattern_style style)
{
    for (size_t i = 0; i < names->count; i++) {
        if (name_pattern_matches(pattern, names->values[i], style))
            return names->values[i];
    }
    return NULL;
}

/* The same for the only name of a kind, which may be NULL. */
static const char *match_of(const char *pattern, const char *name, enum name_pattern_style style)
{
    return name && name_pattern_matches(pattern, name, style) ? name : NULL;
}

static const char *name_match(const struct peer_rule *rule, const struct identity *identity)
{
    switch (rule->kind) {
    case PEER_RULE_CN:
        return match_of(rule->value, identity->cn, NAME_PATTERN_TEXT);
    case PEER_RULE_DNS:
        return match_in(rule->value, &identity->dns, NAME_PATTERN_DNS);
    case PEER_RULE_URI:
        return match_in(rule->value, &identity->uri, NAME_PATTERN_URI);
    case PEER_RULE_OU:
        return match_in(rule->value, &identity->ou, NAME_PATTERN_TEXT);
    case PEER_RULE_O:
        return match_in(rule->value, &identity->o, NAME_PATTERN_TEXT);
    case PEER_RULE_EMAIL:
        return match_in(rule->value, &identity->email, NAME_PATTERN_EMAIL);
    case PEER_RULE_ISSUER:
        return match_of(rule->value, identity->issuer, NAME_PATTERN_TEXT);
    case PEER_RULE_SPKI:
        return strcasecmp(rule->value, identity->spki) == 0 ? identity->spki : NULL;
    default:
        assert(!"a kind of name");
        return NULL;
    }
}

const char *peer_rule_match(const struct peer_rule *rule, const struct identity *identity)
{
    assert(!peer_rule_is_group(rule->kind));
    if (is_name(rule->kind))
        return identity ? name_match(rule, identity) : NULL;
    if (rule->kind == PEER_RULE_ANONYMOUS)
        return identity ? NULL : "no certificate";
    return identity || rule->kind == PEER_RULE_ANY ? "any name" : NULL;
}

/* ---- verdicts ---- */

/* A CN that the rule matches, and that is not the last one. */
static const char *other_cn(const struct peer_rule *rule, const struct identity *identity)
{
    return identity && rule->kind == PEER_RULE_CN
               ? match_in(rule->value, &identity->other_cns, NAME_PATTERN_TEXT)
               : NULL;
}

/* Whether the certificate has a name of the kind that cannot be read: the name may be the one of the rule. */
static bool has_unreadable(enum peer_rule_kind kind, const struct identity *identity)
{
    if (!identity)
        return false;
    switch (kind) {
    case PEER_RULE_CN:
        return identity->cn_is_unreadable || identity->other_cns.is_incomplete;
    case PEER_RULE_DNS:
        return identity->dns.is_incomplete;
    case PEER_RULE_URI:
        return identity->uri.is_incomplete;
    case PEER_RULE_OU:
        return identity->ou.is_incomplete;
    case PEER_RULE_O:
        return identity->o.is_incomplete;
    case PEER_RULE_EMAIL:
        return identity->email.is_incomplete;
    case PEER_RULE_ISSUER:
        return !identity->issuer;
    default:
        return false;
    }
}

/* The verdict of the parts of a group together. The verdicts are ordered: NO, UNKNOWN, YES. */
static enum peer_rule_verdict parts_judge(const struct peer_rule *group, const struct identity *identity)
{
    bool is_all = group->kind == PEER_RULE_ALL_OF;
    enum peer_rule_verdict verdict = is_all && group->part_count ? PEER_RULE_YES : PEER_RULE_NO;

    for (size_t i = 0; i < group->part_count; i++) {
        enum peer_rule_verdict part = peer_rule_judge(&group->parts[i], identity);
        if (is_all ? part < verdict : part > verdict)
            verdict = part;
    }
    return verdict;
}

enum peer_rule_verdict peer_rule_judge(const struct peer_rule *rule, const struct identity *identity)
{
    if (rule->kind == PEER_RULE_NOT)
        return !rule->part_count ? PEER_RULE_NO
               : !identity       ? PEER_RULE_UNKNOWN
                                 : PEER_RULE_YES - parts_judge(rule, identity);
    if (peer_rule_is_group(rule->kind))
        return parts_judge(rule, identity);
    if (peer_rule_match(rule, identity))
        return PEER_RULE_YES;
    return other_cn(rule, identity) || has_unreadable(rule->kind, identity) ? PEER_RULE_UNKNOWN
                                                                            : PEER_RULE_NO;
}

/* ---- words ---- */

/* A text that is being written, cut to its size. */
struct words {
    char *text;
    size_t size, used;
};

__attribute__((format(printf, 2, 3))) static void words_add(struct words *words, const char *format, ...)
{
    size_t space = words->used < words->size ? words->size - words->used : 0;
    va_list arguments;

    va_start(arguments, format);
    words->used += (size_t)vsnprintf(space ? words->text + words->used : NULL, space, format, arguments);
    va_end(arguments);
}

static void name_explain(const struct peer_rule *rule, const struct identity *identity, struct words *words)
{
    const char *kind = peer_rule_kind_name(rule->kind), *match = peer_rule_match(rule, identity);
    const char *and = words->used ? " and " : "";

    if (match && !is_name(rule->kind))
        words_add(words, "%s%s", and, match);
    else if (match)
        words_add(words, "%s%s:%s", and, kind, match);
    else if (!is_name(rule->kind))
        words_add(words, "%sthe peer has %s certificate", and, identity ? "a" : "no");
    else if (other_cn(rule, identity))
        words_add(words, "%scn:%s is not the last CN of the certificate", and, other_cn(rule, identity));
    else if (has_unreadable(rule->kind, identity))
        words_add(words, "%sthe certificate has a name of the kind %s that cannot be read", and, kind);
    else
        words_add(words, "%sno %s matches \"%s\"", and, kind, rule->value);
}

/* Explains the parts that decide: all of them, or the first one with the verdict of the group. */
static void rule_explain(const struct peer_rule *rule, const struct identity *identity, struct words *words)
{
    if (!peer_rule_is_group(rule->kind)) {
        name_explain(rule, identity, words);
        return;
    }
    enum peer_rule_verdict verdict = parts_judge(rule, identity);
    bool needs_all = verdict == (rule->kind == PEER_RULE_ALL_OF ? PEER_RULE_YES : PEER_RULE_NO);
    for (size_t i = 0; i < rule->part_count; i++) {
        bool decides = peer_rule_judge(&rule->parts[i], identity) == verdict;
        if (decides)
            rule_explain(&rule->parts[i], identity, words);
        if (decides && !needs_all)
            return;
    }
}

void peer_rule_explain(const struct peer_rule *rule, const struct identity *identity, char *text, size_t size)
{
    struct words words = { text, size, 0 };

    *text = '\0';
    rule_explain(rule, identity, &words);
}

const char *peer_rule_kind_name(enum peer_rule_kind kind)
{
    static const char *const names[] = {
        [PEER_RULE_ANY] = "any",       [PEER_RULE_VERIFIED] = "any",  [PEER_RULE_ANONYMOUS] = "anonymous",
        [PEER_RULE_CN] = "cn",         [PEER_RULE_DNS] = "dns",       [PEER_RULE_URI] = "uri",
        [PEER_RULE_OU] = "ou",         [PEER_RULE_SPKI] = "spki",     [PEER_RULE_O] = "o",
        [PEER_RULE_EMAIL] = "email",   [PEER_RULE_ISSUER] = "issuer", [PEER_RULE_ANY_OF] = "any_of",
        [PEER_RULE_ALL_OF] = "all_of", [PEER_RULE_NOT] = "not",
    };

    return names[kind];
}
