/* The rules of --rule: which tags an identity may write, with which prefix, rates and message sizes.
 *
 * The first rule that matches an identity applies. If there are rules and none of them matches, the identity
 * may write nothing. A policy does not change after its rules have been added. The state of the rate limits
 * (meters) belongs to one worker, a permit to one connection of that worker. Knows nothing of connections:
 * identity, tags, sizes and the time go in, verdicts come out.
 *
 * Each worker counts a rate per rule and identity, for all connections of the identity together: a limit per
 * connection would not limit an agent that opens a connection for each message. A rule with the same text
 * and rates in another policy goes on with the same meters. Two identities are the same if the log gives them
 * the same name (first URI, else first DNS name, else CN, else key). */
#ifndef HUSK_DELIVERY_MESSAGE_POLICY_H
#define HUSK_DELIVERY_MESSAGE_POLICY_H

#include "base/end_reason.h"
#include "base/fault.h"
#include "base/token_bucket.h"
#include "forward/record_fields.h"
#include "forward/tag_pattern.h"
#include "runtime/route.h"
#include "trust/identity.h"
#include "trust/peer_policy.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct message_rule {
    char *text;             /* owned: the rule as written in the setting, for the log */
    struct peer_policy who; /* owned: the identities that match */
    size_t tag_count;       /* 0: every tag is allowed */
    struct tag_pattern *tags;
    char *prefix;                 /* owned: put in front of tags; NULL: none */
    uint64_t bytes_per_second;    /* 0: no limit; at most TOKEN_BUCKET_RATE_MAX */
    uint64_t messages_per_second; /* the same */
    uint64_t burst_ms;      /* for both rates: saved up while unused; at most TOKEN_BUCKET_BURST_MS_MAX */
    uint64_t message_bytes; /* longest message; 0: only the limit of the route */
};

/* An empty policy is all zeros. Policies share their rules: the rules are freed with the last policy that has
 * them. */
struct message_policy {
    size_t count;
    struct message_rule *rules;
    atomic_uint *references; /* of the rules; NULL: there are none */
};

void message_policy_deinit(struct message_policy *policy);

/* Appends a rule that matches nobody yet, and returns it. The next call can move the rule in memory. NULL
 * when out of memory. */
struct message_rule *message_policy_add(struct message_policy *policy, const char *text);

/* Sets the tags that the rule allows. `list`: patterns (forward/tag_pattern.h) separated by commas; a comma
 * within braces or after a backslash is part of a pattern. The patterns are compared with the tag that the
 * agent sent, without the prefix. */
MUST_CHECK bool message_rule_set_tags(struct message_rule *rule, const char *list, struct fault *fault);

/* Sets the text that is put in front of tags. It may contain {cn}, {uri}, {dns} (the first one of the
 * certificate, in lower case) and {spki8} (the first 8 digits of the key's hash). Such a name becomes one
 * part of the tag: letters, digits, - and _ stay, any other byte becomes %XX. A dot must follow each name,
 * before the next name and before the end, so that no identity can imitate another. At most
 * REWRITE_PREFIX_BYTES_MAX, also when expanded. */
MUST_CHECK bool message_rule_set_prefix(struct message_rule *rule, const char *prefix, struct fault *fault);
/* Whether the prefix contains a name of the certificate. */
bool message_rule_needs_identity(const struct message_rule *rule);

/* ---- the state of the rate limits ---- */

enum { MESSAGE_METERS_HEADS = 64 };

/* The rate limits of one rule and identity. A meter stays after its last connection until its buckets are
 * full again. */
struct message_meter {
    struct message_meter *next;
    struct message_policy policy;    /* shared: has the rule */
    const struct message_rule *rule; /* borrowed */
    unsigned users;                  /* connections */
    struct token_bucket bytes, messages;
    char identity[];
};

/* The meters of one route on one worker; owns them. Zero-initialise. */
struct message_meters {
    struct message_meter **heads; /* MESSAGE_METERS_HEADS lists, by hash of the identity; NULL: no meter */
};

/* Close every permit before. */
void message_meters_deinit(struct message_meters *meters);

/* ---- one connection ---- */

/* What one connection may write. All zeros: anything. */
struct message_permit {
    struct message_policy policy;    /* shared; empty: no rules */
    const struct message_rule *rule; /* borrowed; NULL: no rule matches */
    struct message_meter *meter;     /* borrowed; NULL: no rate limit */
    char *prefix;                    /* owned, not terminated; NULL: none */
    size_t prefix_length;
    struct record_fields fields; /* that the records of the connection get */
    char *detail;                /* owned: why a message or the connection was refused */
};

/* Determines what `identity` may write on a new connection. `identity` is NULL for an agent without a
 * certificate, which only rules for anybody match. Shares the rules of `policy` and borrows `meters`; a
 * policy that is NULL or empty has no rules. Returns END_NONE; END_NOT_ALLOWED when the prefix cannot be made
 * (the certificate lacks a name, or the prefix is too long); or END_NO_MEMORY. Call message_permit_close
 * after every result. */
enum end_reason message_permit_open(struct message_permit *permit, const struct message_policy *policy,
                                    struct message_meters *meters, const struct identity *identity,
                                    uint64_t now_ms);
void message_permit_close(struct message_permit *permit);

/* Sets the fields with the names of `identity`, which is NULL for an agent without a certificate. END_NONE;
 * END_NOT_ALLOWED when the identity lacks a name, or the name is longer than RECORD_FIELD_VALUE_BYTES_MAX; or
 * END_NO_MEMORY. */
enum end_reason message_permit_set_fields(struct message_permit *permit,
                                          const struct route_identity_fields *fields,
                                          const struct identity *identity);

/* Whether a message with this tag may be written: END_NONE or END_TAG_NOT_ALLOWED. */
enum end_reason message_permit_judge(struct message_permit *permit, const uint8_t *tag, size_t length);

/* The length of the longest message that the permit allows, at most `limit`. */
uint64_t message_permit_message_bytes(const struct message_permit *permit, uint64_t limit);
/* Sets the detail for a message longer than message_permit_message_bytes. */
void message_permit_note_length(struct message_permit *permit);

/* Why something was refused, in one line without control characters from the peer; empty: nothing was
 * refused. */
const char *message_permit_detail(const struct message_permit *permit);

/* How long the next message must wait, in ms; 0: not at all. No message is refused because of a rate: a
 * message that has begun is read to its end, and its excess is charged to the next message. */
uint64_t message_permit_wait_ms(const struct message_permit *permit, uint64_t now_ms);
/* Charges `messages` messages, with `bytes` bytes in total, that were read. */
void message_permit_charge(struct message_permit *permit, uint64_t messages, uint64_t bytes, uint64_t now_ms);

#endif
