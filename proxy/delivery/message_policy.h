/* Who may write what: rules by identity, for tags, their prefix, rates and sizes of messages.
 *
 * The first rule that matches an identity is the one that counts. Where there are rules and none matches,
 * nothing may be written. The policy is never changed once its rules are in; the state of the rate limits
 * (meters) belongs to one worker, a permit to one connection of it. Knows nothing of connections: identity,
 * tags, sizes and the time go in, verdicts come out.
 *
 * A rate is kept for each rule and identity in each worker, however many connections the identity opens: a
 * limit per connection would be none for agents that open one for each message. Identities are told apart as
 * the log names them (first URI, else first DNS name, else CN, else key). */
#ifndef HUSK_DELIVERY_MESSAGE_POLICY_H
#define HUSK_DELIVERY_MESSAGE_POLICY_H

#include "base/end_reason.h"
#include "base/fault.h"
#include "base/token_bucket.h"
#include "forward/tag_pattern.h"
#include "trust/identity.h"
#include "trust/peer_policy.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct message_rule {
    char *text;             /* owned: as it was written, for the log */
    struct peer_policy who; /* owned: whom it is about */
    size_t tag_count;       /* 0: every tag is allowed */
    struct tag_pattern *tags;
    char *prefix;                 /* owned; NULL: none */
    uint64_t bytes_per_second;    /* 0: no limit; at most TOKEN_BUCKET_RATE_MAX */
    uint64_t messages_per_second; /* likewise */
    uint64_t burst_ms;            /* of either, saved up while it is not used; at most
                                     TOKEN_BUCKET_BURST_MS_MAX */
    uint64_t message_bytes;       /* longest message; 0: the route's limit alone */
};

/* An empty policy is all zeros. */
struct message_policy {
    size_t count;
    struct message_rule *rules;
};

void message_policy_deinit(struct message_policy *policy);

/* A new rule behind the others, about nobody yet; it may move with the next one. NULL when out of memory. */
struct message_rule *message_policy_add(struct message_policy *policy, const char *text);

/* `list`: patterns (forward/tag_pattern.h) separated by commas; commas within braces or behind a backslash
 * are part of a pattern. They are held against the agent's own tag, before the prefix. */
MUST_CHECK bool message_rule_set_tags(struct message_rule *rule, const char *list, struct fault *fault);

/* What is put in front of tags: text with {cn}, {uri}, {dns} (the certificate's first one, in lower case) and
 * {spki8} (the first 8 digits of the key's hash). A name becomes one tag part and cannot be taken for
 * another's: letters, digits, - and _ stay, any other byte becomes %XX; and a dot must follow, before the
 * next name and before the end. At most REWRITE_PREFIX_BYTES_MAX, also when expanded. */
MUST_CHECK bool message_rule_set_prefix(struct message_rule *rule, const char *prefix, struct fault *fault);
/* Whether the prefix is made from a certificate. */
bool message_rule_needs_identity(const struct message_rule *rule);

/* ---- the state of the rate limits ---- */

enum { MESSAGE_METERS_HEADS = 64 };

/* Of one rule and identity. It outlives its connections until what they took has come again. */
struct message_meter {
    struct message_meter *next;
    const struct message_rule *rule; /* borrowed */
    unsigned users;                  /* connections */
    struct token_bucket bytes, messages;
    char identity[];
};

/* One worker's; zero-initialise. Owns them. */
struct message_meters {
    struct message_meter *heads[MESSAGE_METERS_HEADS]; /* by identity */
};

/* Every permit must be closed by then. */
void message_meters_deinit(struct message_meters *meters);

/* ---- one connection ---- */

/* All zeros: anything may be written. */
struct message_permit {
    const struct message_policy *policy; /* borrowed */
    const struct message_rule *rule;     /* borrowed; NULL: no rule matches */
    struct message_meter *meter;         /* borrowed; NULL: no rate limit */
    char *prefix;                        /* owned, not terminated; NULL: none */
    size_t prefix_length;
    char *detail; /* owned: why something was refused */
};

/* What `identity` (NULL: an agent without certificate, which only rules for anybody match) may write on a new
 * connection. `policy` and `meters` are borrowed; `policy` may be NULL or empty: no rules. END_NONE,
 * END_NOT_ALLOWED when the prefix cannot be made (a name that the certificate does not have, or too long), or
 * END_NO_MEMORY. Close it with message_permit_close, whatever came of it. */
enum end_reason message_permit_open(struct message_permit *permit, const struct message_policy *policy,
                                    struct message_meters *meters, const struct identity *identity,
                                    uint64_t now_ms);
void message_permit_close(struct message_permit *permit);

/* The verdict about a message with this tag: END_NONE or END_TAG_NOT_ALLOWED. */
enum end_reason message_permit_judge(struct message_permit *permit, const uint8_t *tag, size_t length);

/* The longest message it allows, of at most `limit`. */
uint64_t message_permit_message_bytes(const struct message_permit *permit, uint64_t limit);
/* A message was longer than message_permit_message_bytes: the detail will tell. */
void message_permit_note_length(struct message_permit *permit);

/* Why something was refused, in one line without the peer's own control characters; empty: nothing was. */
const char *message_permit_detail(const struct message_permit *permit);

/* How long the next message must wait, in ms; 0: not at all. Messages are never refused for a rate: one that
 * has begun is read to its end, and what it was too long is waited for after it. */
uint64_t message_permit_wait_ms(const struct message_permit *permit, uint64_t now_ms);
/* A message of so many bytes has been read. */
void message_permit_charge(struct message_permit *permit, uint64_t bytes, uint64_t now_ms);

#endif
