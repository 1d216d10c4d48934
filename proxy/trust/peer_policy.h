/* Decides which identities may connect. Pure: identity in, verdict out.
 *
 * Owns its rules. An identity is allowed when at least one rule allows it, and no rule denies it. A rule that
 * denies does so also when it cannot be judged. An empty policy allows nobody; PEER_RULE_ANY allows
 * everybody. An identity that is NULL is a peer without certificate. */
#ifndef HUSK_TRUST_PEER_POLICY_H
#define HUSK_TRUST_PEER_POLICY_H

#include "trust/peer_rule.h"

#include <stdatomic.h>
#include <stdbool.h>

/* Policies share their rules: the rules are freed with the last policy that has them. */
struct peer_policy {
    size_t count;
    struct peer_rule *rules;
    atomic_uint *references; /* of the rules; NULL: there are none */
};

/* An empty policy is all zeros. */
void peer_policy_deinit(struct peer_policy *policy);

/* Adds a rule, as peer_rule_init does. Returns the rule, valid until the next one is added. */
MUST_CHECK struct peer_rule *peer_policy_add(struct peer_policy *policy, enum peer_rule_kind kind,
                                             const char *value, struct fault *fault);

/* The same for a rule that denies, whatever the order of the rules. */
MUST_CHECK struct peer_rule *peer_policy_deny(struct peer_policy *policy, enum peer_rule_kind kind,
                                              const char *value, struct fault *fault);

/* Another policy with the same rules, to which none is added any more. From any thread. */
struct peer_policy peer_policy_share(const struct peer_policy *policy);

/* Whether both have the same rules in the same order. */
bool peer_policy_equal(const struct peer_policy *a, const struct peer_policy *b);

/* YES: the identity is allowed. UNKNOWN: a name that cannot be read leaves open whether a rule allows it. */
enum peer_rule_verdict peer_policy_judge(const struct peer_policy *policy, const struct identity *identity);

/* The first rule that admits the identity, whether or not another rule denies it; NULL: none. Borrowed. */
const struct peer_rule *peer_policy_admitter(const struct peer_policy *policy,
                                             const struct identity *identity);
/* The first rule that denies the identity; NULL: none. Also a rule whose verdict is UNKNOWN. Borrowed. */
const struct peer_rule *peer_policy_denier(const struct peer_policy *policy, const struct identity *identity);

#endif
