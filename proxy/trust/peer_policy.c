#include "trust/peer_policy.h"

#include <stdlib.h>

void peer_policy_deinit(struct peer_policy *policy)
{
    if (policy->references && atomic_fetch_sub_explicit(policy->references, 1, memory_order_acq_rel) == 1) {
        for (size_t i = 0; i < policy->count; i++)
            peer_rule_deinit(&policy->rules[i]);
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

bool peer_policy_equal(const struct peer_policy *a, const struct peer_policy *b)
{
    bool is_equal = a->count == b->count;

    for (size_t i = 0; is_equal && i < a->count; i++)
        is_equal = peer_rule_equal(&a->rules[i], &b->rules[i]);
    return is_equal;
}

struct peer_rule *peer_policy_add(struct peer_policy *policy, enum peer_rule_kind kind, const char *value,
                                  struct fault *fault)
{
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
    if (!peer_rule_init(&rules[policy->count], kind, value, fault))
        return NULL;
    return &rules[policy->count++];
fail:
    fault_set(fault, "out of memory");
    return NULL;
}

struct peer_rule *peer_policy_deny(struct peer_policy *policy, enum peer_rule_kind kind, const char *value,
                                   struct fault *fault)
{
    struct peer_rule *rule = peer_policy_add(policy, kind, value, fault);

    if (rule)
        rule->effect = PEER_RULE_DENIES;
    return rule;
}

enum peer_rule_verdict peer_policy_judge(const struct peer_policy *policy, const struct identity *identity)
{
    enum peer_rule_verdict verdict = PEER_RULE_NO;

    for (size_t i = 0; i < policy->count; i++) {
        enum peer_rule_verdict one = peer_rule_judge(&policy->rules[i], identity);
        if (policy->rules[i].effect == PEER_RULE_DENIES && one != PEER_RULE_NO)
            return PEER_RULE_NO;
        if (policy->rules[i].effect == PEER_RULE_ALLOWS && one > verdict)
            verdict = one;
    }
    return verdict;
}

/* The first rule with the effect whose verdict is at least `least`. */
static const struct peer_rule *rule_find(const struct peer_policy *policy, const struct identity *identity,
                                         enum peer_rule_effect effect, enum peer_rule_verdict least)
{
    for (size_t i = 0; i < policy->count; i++) {
        if (policy->rules[i].effect == effect && peer_rule_judge(&policy->rules[i], identity) >= least)
            return &policy->rules[i];
    }
    return NULL;
}

const struct peer_rule *peer_policy_admitter(const struct peer_policy *policy,
                                             const struct identity *identity)
{
    return rule_find(policy, identity, PEER_RULE_ALLOWS, PEER_RULE_YES);
}

const struct peer_rule *peer_policy_denier(const struct peer_policy *policy, const struct identity *identity)
{
    return rule_find(policy, identity, PEER_RULE_DENIES, PEER_RULE_UNKNOWN);
}
