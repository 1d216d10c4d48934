/* A rule about the names of an identity: one name, or an expression of rules. Pure: identity in, verdict out.
 *
 * Owns its text and its parts. */
#ifndef HUSK_TRUST_PEER_RULE_H
#define HUSK_TRUST_PEER_RULE_H

#include "base/fault.h"
#include "trust/identity.h"

#include <stdbool.h>

enum peer_rule_kind {
    PEER_RULE_VERIFIED,  /* every peer with a certificate */
    PEER_RULE_ANY,       /* every peer */
    PEER_RULE_ANONYMOUS, /* every peer without */
    PEER_RULE_CN,
    PEER_RULE_DNS,
    PEER_RULE_URI,
    PEER_RULE_OU,
    PEER_RULE_SPKI,
    PEER_RULE_O,
    PEER_RULE_EMAIL,
    PEER_RULE_ISSUER,
    PEER_RULE_ANY_OF, /* groups: they have parts */
    PEER_RULE_ALL_OF,
    PEER_RULE_NOT, /* none of its parts matches */
};

enum { PEER_RULE_DEPTH_MAX = 8 }; /* groups in groups that the configuration allows */

enum peer_rule_effect { PEER_RULE_ALLOWS, PEER_RULE_DENIES };

/* UNKNOWN: the certificate has a name of the kind that cannot be read, or a CN in front of the last one
 * matches. Neither a rule nor its `not` matches then. The order matters. */
enum peer_rule_verdict { PEER_RULE_NO, PEER_RULE_UNKNOWN, PEER_RULE_YES };

struct peer_rule {
    enum peer_rule_kind kind;
    enum peer_rule_effect effect; /* of a rule of a policy; a part has none of its own */
    char *value;                  /* of a name; NULL for other kinds */
    struct peer_rule *parts;      /* of a group */
    size_t part_count;
    size_t origin; /* of a rule of a policy: for the caller, which setting the rule is from */
};

/* A new rule; `value` is copied. It is a pattern (trust/name_pattern.h), or 64 hex digits of an SPKI. A final
 * dot of a DNS name is left out. Fails on an empty value and on a malformed hash. */
MUST_CHECK bool peer_rule_init(struct peer_rule *rule, enum peer_rule_kind kind, const char *value,
                               struct fault *fault);
void peer_rule_deinit(struct peer_rule *rule);

/* Adds a part to a group. Returns the part, valid until the next one of the same group is added; NULL: as
 * peer_rule_init. A group without parts matches nothing. */
MUST_CHECK struct peer_rule *peer_rule_add(struct peer_rule *group, enum peer_rule_kind kind,
                                           const char *value, struct fault *fault);

bool peer_rule_is_group(enum peer_rule_kind kind);

/* Whether both match the same peers: all is equal but the effects, and the parts are in the same order. */
bool peer_rule_matches_same(const struct peer_rule *a, const struct peer_rule *b);
/* As peer_rule_matches_same, and the effects are also equal. */
bool peer_rule_equal(const struct peer_rule *a, const struct peer_rule *b);

/* Whether the rule matches the identity. NULL: the peer is anonymous, it has shown no certificate; then a
 * `not` is UNKNOWN. The logic of groups is that of Kleene: `not` of UNKNOWN is UNKNOWN. */
enum peer_rule_verdict peer_rule_judge(const struct peer_rule *rule, const struct identity *identity);

/* The name of the identity that the rule matches, or "any name" or "no certificate"; NULL: the rule does not
 * match. The identity may be NULL as above. Not for groups. */
const char *peer_rule_match(const struct peer_rule *rule, const struct identity *identity);

/* Writes which names decide the verdict, such as `cn:agent and no ou matches "test"`. Terminated, cut to
 * `size`. */
void peer_rule_explain(const struct peer_rule *rule, const struct identity *identity, char *text,
                       size_t size);

/* "cn", "dns", "all_of", …: the last key of the setting in files. */
const char *peer_rule_kind_name(enum peer_rule_kind kind);

#endif
