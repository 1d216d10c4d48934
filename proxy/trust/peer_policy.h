/* Decides which identities may connect. Pure: identity in, verdict out.
 *
 * Owns its rules. An identity is allowed when at least one rule matches. An empty policy allows nobody;
 * PEER_RULE_ANY allows everybody. */
#ifndef HUSK_TRUST_PEER_POLICY_H
#define HUSK_TRUST_PEER_POLICY_H

#include "base/fault.h"
#include "trust/identity.h"

#include <stdatomic.h>
#include <stdbool.h>

enum peer_rule_kind {
    PEER_RULE_ANY,
    PEER_RULE_CN,
    PEER_RULE_DNS,
    PEER_RULE_URI,
    PEER_RULE_OU,
    PEER_RULE_SPKI
};

struct peer_rule {
    enum peer_rule_kind kind;
    char *value; /* NULL for PEER_RULE_ANY */
};

/* Policies share their rules: the rules are freed with the last policy that has them. */
struct peer_policy {
    size_t count;
    struct peer_rule *rules;
    atomic_uint *references; /* of the rules; NULL: there are none */
};

/* An empty policy is all zeros. */
void peer_policy_deinit(struct peer_policy *policy);

/* Adds a rule; `value` is copied. In CN and OU values `*` matches any characters, in DNS values any
 * characters but `.`, in URI values any characters but `/`. DNS values ignore ASCII case. An SPKI value is 64
 * hex digits. Fails on an empty value and on a malformed hash. */
MUST_CHECK bool peer_policy_add(struct peer_policy *policy, enum peer_rule_kind kind, const char *value,
                                struct fault *fault);

/* Another policy with the same rules, to which none is added any more. From any thread. */
struct peer_policy peer_policy_share(const struct peer_policy *policy);

bool peer_policy_allows(const struct peer_policy *policy, const struct identity *identity);

#endif
