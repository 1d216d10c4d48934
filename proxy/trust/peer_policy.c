#include "trust/peer_policy.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { SPKI_DIGITS = IDENTITY_SPKI_HEX_BYTES - 1 };

void peer_policy_deinit(struct peer_policy *policy)
{
    if (policy->references && atomic_fetch_sub_explicit(policy->references, 1, memory_order_acq_rel) == 1) {
        for (size_t i = 0; i < policy->count; i++)
            free(policy->rules[i].value);
        free(policy->rules);
        free(policy->references);
    }
    *policy = (struct peer_policy) { 0 };
}

struct peer_policy peer_policy_share(const struct peer_policy *policy)
{
    if (policy->references)
        atomic_fetch_add_explicit(policy->references, 1, memory_order_relaxed);
    return *policy;
}

/* ASCII only, independent of the locale. */
static char lower(char byte)
{
    if (byte >= 'A' && byte <= 'Z')
        byte += 'a' - 'A';
    return byte;
}

static bool value_check(enum peer_rule_kind kind, const char *value, struct fault *fault)
{
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

bool peer_policy_add(struct peer_policy *policy, enum peer_rule_kind kind, const char *value,
                     struct fault *fault)
{
    struct peer_rule rule = { .kind = kind };

    if (kind != PEER_RULE_ANY && !value_check(kind, value, fault))
        return false;
    if (!policy->references) {
        policy->references = malloc(sizeof *policy->references);
        if (!policy->references)
            goto fail;
        atomic_init(policy->references, 1);
    }
    struct peer_rule *rules = realloc(policy->rules, (policy->count + 1) * sizeof *rules);
    if (!rules)
        goto fail;
    policy->rules = rules;
    if (kind != PEER_RULE_ANY && !(rule.value = strdup(value)))
        goto fail;
    rules[policy->count++] = rule;
    return true;
fail:
    fault_set(fault, "out of memory");
    return false;
}

struct pattern_style {
    char boundary; /* `*` does not match it; '\0': `*` matches every character */
    bool folds_case;
};

/* Backtracks to the last `*` only, which keeps the cost linear per `*`: the last `*` can match everything
 * that an earlier one could match in addition. A boundary does not change this, because no `*` matches it. */
static bool pattern_matches(const char *pattern, const char *text, struct pattern_style style)
{
    const char *star = NULL, *taken = NULL; /* the last `*`, and the end of the text that it matches */

    while (*text) {
        if (*pattern == '*') {
            star = pattern++;
            taken = text;
        } else if (*pattern == *text || (style.folds_case && lower(*pattern) == lower(*text))) {
            pattern++;
            text++;
        } else if (star && *taken != style.boundary) {
            text = ++taken;
            pattern = star + 1;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

static bool any_name_matches(const char *pattern, const struct identity_names *names,
                             struct pattern_style style)
{
    for (size_t i = 0; i < names->count; i++) {
        if (pattern_matches(pattern, names->values[i], style))
            return true;
    }
    return false;
}

static bool rule_matches(const struct peer_rule *rule, const struct identity *identity)
{
    static const struct pattern_style dns = { .boundary = '.', .folds_case = true };
    static const struct pattern_style uri = { .boundary = '/' };
    static const struct pattern_style plain = { .boundary = '\0' };

    switch (rule->kind) {
    case PEER_RULE_ANY:
        return true;
    case PEER_RULE_CN:
        return identity->cn && pattern_matches(rule->value, identity->cn, plain);
    case PEER_RULE_DNS:
        return any_name_matches(rule->value, &identity->dns, dns);
    case PEER_RULE_URI:
        return any_name_matches(rule->value, &identity->uri, uri);
    case PEER_RULE_OU:
        return any_name_matches(rule->value, &identity->ou, plain);
    case PEER_RULE_SPKI:
        for (size_t i = 0; i < SPKI_DIGITS; i++) {
            if (lower(rule->value[i]) != identity->spki[i])
                return false;
        }
        return true;
    }
    assert(!"rule kind");
    return false;
}

bool peer_policy_allows(const struct peer_policy *policy, const struct identity *identity)
{
    for (size_t i = 0; i < policy->count; i++) {
        if (rule_matches(&policy->rules[i], identity))
            return true;
    }
    return false;
}
