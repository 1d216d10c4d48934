#include "delivery/message_policy.h"

#include "base/hash.h"
#include "delivery/tag_text.h"
#include "forward/rewriter.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The shortest pause. With a shorter one, many connections that share a rate would all wake for each
 * token. */
enum { PAUSE_MS_MIN = 10 };
enum { DETAIL_BYTES = 448, RULE_SHOWN_BYTES = 120, IDENTITY_BYTES = 2048 };

/* ---- rules ---- */

static void rule_deinit(struct message_rule *rule)
{
    for (size_t i = 0; i < rule->tag_count; i++)
        tag_pattern_deinit(&rule->tags[i]);
    free(rule->tags);
    free(rule->text);
    free(rule->prefix);
    peer_policy_deinit(&rule->who);
}

void message_policy_deinit(struct message_policy *policy)
{
    if (policy->references && atomic_fetch_sub_explicit(policy->references, 1, memory_order_acq_rel) == 1) {
        for (size_t i = 0; i < policy->count; i++)
            rule_deinit(&policy->rules[i]);
        free(policy->rules);
        free(policy->references);
    }
    *policy = (struct message_policy) { 0 };
}

/* Another policy with the same rules, to which none is added any more. From any thread. */
static struct message_policy policy_share(const struct message_policy *policy)
{
    if (policy->references)
        atomic_fetch_add_explicit(policy->references, 1, memory_order_relaxed);
    return *policy;
}

struct message_rule *message_policy_add(struct message_policy *policy, const char *text)
{
    if (!policy->references) {
        policy->references = malloc(sizeof *policy->references);
        if (!policy->references)
            return NULL;
        atomic_init(policy->references, 1);
    }
    struct message_rule *rules = realloc(policy->rules, (policy->count + 1) * sizeof *rules);
    if (!rules)
        return NULL;
    policy->rules = rules;
    struct message_rule *rule = &rules[policy->count];
    *rule = (struct message_rule) { .text = strdup(text) };
    if (!rule->text)
        return NULL;
    policy->count++;
    return rule;
}

/* The number of bytes up to the comma that ends the first pattern of a list, or up to the end. */
static size_t pattern_length(const char *list)
{
    unsigned depth = 0;
    size_t at;

    for (at = 0; list[at] && (list[at] != ',' || depth); at++) {
        if (list[at] == '{')
            depth++;
        else if (list[at] == '}' && depth)
            depth--;
        else if (list[at] == '\\' && list[at + 1])
            at++;
    }
    return at;
}

static bool tags_add(struct message_rule *rule, const char *text, size_t length, struct fault *fault)
{
    struct tag_pattern *tags = realloc(rule->tags, (rule->tag_count + 1) * sizeof *tags);

    if (!tags) {
        fault_set(fault, "out of memory");
        return false;
    }
    rule->tags = tags;
    if (!tag_pattern_init(&tags[rule->tag_count], text, length, fault))
        return false;
    rule->tag_count++;
    return true;
}

bool message_rule_set_tags(struct message_rule *rule, const char *list, struct fault *fault)
{
    for (;;) {
        size_t length = pattern_length(list);
        if (!tags_add(rule, list, length, fault))
            return false;
        if (!list[length])
            return true;
        list += length + 1;
    }
}

/* ---- prefixes ---- */

static const char *const name_texts[IDENTITY_NAME_COUNT] = {
    [IDENTITY_CN] = "{cn}", [IDENTITY_URI] = "{uri}", [IDENTITY_DNS] = "{dns}", [IDENTITY_SPKI] = "{spki8}"
};

/* The name that `text` begins with; IDENTITY_NAME_COUNT: none. */
static unsigned name_at(const char *text)
{
    unsigned name = 0;

    while (name < IDENTITY_NAME_COUNT && strncmp(text, name_texts[name], strlen(name_texts[name])) != 0)
        name++;
    return name;
}

static bool prefix_check(const char *prefix, struct fault *fault)
{
    bool is_open = false; /* after a name, before the dot that must follow */

    for (const char *at = prefix; *at;) {
        unsigned name = *at == '{' || *at == '}' ? name_at(at) : IDENTITY_NAME_COUNT;
        if (name == IDENTITY_NAME_COUNT && (*at == '{' || *at == '}')) {
            fault_set(fault, "\"%s\": braces are only allowed in {cn}, {uri}, {dns} and {spki8}", prefix);
            return false;
        }
        if (name < IDENTITY_NAME_COUNT && is_open)
            break;
        is_open = name < IDENTITY_NAME_COUNT || (is_open && *at != '.');
        at += name < IDENTITY_NAME_COUNT ? strlen(name_texts[name]) : 1;
    }
    if (is_open) {
        fault_set(
            fault,
            "\"%s\": each name must be followed by a dot, before the next name and before the end; otherwise "
            "the tags of one identity could begin like those of another",
            prefix);
        return false;
    }
    if (strlen(prefix) > REWRITE_PREFIX_BYTES_MAX) {
        fault_set(fault, "is longer than %d bytes", REWRITE_PREFIX_BYTES_MAX);
        return false;
    }
    return true;
}

bool message_rule_set_prefix(struct message_rule *rule, const char *prefix, struct fault *fault)
{
    if (!prefix_check(prefix, fault))
        return false;
    rule->prefix = strdup(prefix);
    if (!rule->prefix)
        fault_set(fault, "out of memory");
    return rule->prefix != NULL;
}

bool message_rule_needs_identity(const struct message_rule *rule)
{
    return rule->prefix && strchr(rule->prefix, '{');
}

struct expansion {
    size_t length; /* longer than `bytes`: the prefix is too long */
    char bytes[REWRITE_PREFIX_BYTES_MAX];
};

static void expansion_add(struct expansion *expansion, const char *bytes, size_t length)
{
    if (expansion->length + length <= sizeof expansion->bytes)
        memcpy(expansion->bytes + expansion->length, bytes, length);
    expansion->length += length;
}

/* DNS names are the same in upper and lower case. */
static char dns_lower(char byte)
{
    if (byte >= 'A' && byte <= 'Z')
        byte += 'a' - 'A';
    return byte;
}

static bool is_unescaped(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
           byte == '-' || byte == '_';
}

static void expansion_add_name(struct expansion *expansion, unsigned name, const char *value)
{
    size_t length = name == IDENTITY_SPKI ? 8 : strlen(value);
    char escaped[4];

    for (size_t i = 0; i < length; i++) {
        char byte = value[i];
        if (name == IDENTITY_DNS)
            byte = dns_lower(byte);
        if (is_unescaped(byte)) {
            expansion_add(expansion, &byte, 1);
            continue;
        }
        snprintf(escaped, sizeof escaped, "%%%02X", (unsigned char)byte);
        expansion_add(expansion, escaped, 3);
    }
}

/* ---- details ---- */

/* Sets the detail: "rule 2 (cn=agent tags=app.**): " if a rule matches, then the text. Without a detail when
 * out of memory. */
PRINTF_LIKE(2, 3) static void permit_set_detail(struct message_permit *permit, const char *format, ...)
{
    const struct message_rule *rule = permit->rule;
    size_t used = 0;
    va_list arguments;

    free(permit->detail);
    permit->detail = malloc(DETAIL_BYTES);
    if (!permit->detail)
        return;
    if (rule)
        used = (size_t)snprintf(
            permit->detail, DETAIL_BYTES, "rule %zu (%.*s%s): ", (size_t)(rule - permit->policy.rules) + 1,
            RULE_SHOWN_BYTES, rule->text, strlen(rule->text) > RULE_SHOWN_BYTES ? "..." : "");
    va_start(arguments, format);
    vsnprintf(permit->detail + used, DETAIL_BYTES - used, format, arguments);
    va_end(arguments);
}

const char *message_permit_detail(const struct message_permit *permit)
{
    return permit->detail ? permit->detail : "";
}

/* ---- meters ---- */

static void meter_free(struct message_meter *meter)
{
    message_policy_deinit(&meter->policy);
    free(meter);
}

void message_meters_deinit(struct message_meters *meters)
{
    for (size_t i = 0; meters->heads && i < MESSAGE_METERS_HEADS; i++) {
        while (meters->heads[i]) {
            struct message_meter *meter = meters->heads[i];
            assert(!meter->users);
            meters->heads[i] = meter->next;
            meter_free(meter);
        }
    }
    free(meters->heads);
    meters->heads = NULL;
}

static unsigned head_of(const char *identity)
{
    return hash_bytes(NULL, identity, strlen(identity)) % MESSAGE_METERS_HEADS;
}

static bool is_same_rate(const struct message_rule *a, const struct message_rule *b)
{
    return strcmp(a->text, b->text) == 0 && a->bytes_per_second == b->bytes_per_second &&
           a->messages_per_second == b->messages_per_second && a->burst_ms == b->burst_ms;
}

/* The meter may be from another policy: a new policy with the same rule does not begin a new burst. */
static bool meter_fits(const struct message_meter *meter, const struct message_rule *rule,
                       const char *identity)
{
    return (meter->rule == rule || is_same_rate(meter->rule, rule)) && strcmp(meter->identity, identity) == 0;
}

/* Finds a meter. Frees unused meters with full buckets in the same list, so that there are only meters of
 * identities that were connected recently: a new meter is full too. */
static struct message_meter *meter_find(struct message_meter **link, const struct message_rule *rule,
                                        const char *identity, uint64_t now_ms)
{
    struct message_meter *found = NULL;

    while (*link) {
        struct message_meter *meter = *link;
        if (meter_fits(meter, rule, identity)) {
            found = meter;
        } else if (!meter->users && token_bucket_is_full(&meter->bytes, now_ms) &&
                   token_bucket_is_full(&meter->messages, now_ms)) {
            *link = meter->next;
            meter_free(meter);
            continue;
        }
        link = &meter->next;
    }
    return found;
}

/* The meter of the permit, whose rule is known. NULL when out of memory. */
static struct message_meter *meter_get(struct message_meters *meters, const struct message_permit *permit,
                                       const char *identity, uint64_t now_ms)
{
    const struct message_rule *rule = permit->rule;
    size_t size = strlen(identity) + 1;

    if (!meters->heads && !(meters->heads = calloc(MESSAGE_METERS_HEADS, sizeof(struct message_meter *))))
        return NULL;
    struct message_meter **head = &meters->heads[head_of(identity)];
    struct message_meter *meter = meter_find(head, rule, identity, now_ms);
    if (!meter) {
        meter = malloc(sizeof *meter + size);
        if (!meter)
            return NULL;
        *meter = (struct message_meter) { .next = *head };
        memcpy(meter->identity, identity, size);
        token_bucket_init(&meter->bytes, rule->bytes_per_second, rule->burst_ms, now_ms);
        token_bucket_init(&meter->messages, rule->messages_per_second, rule->burst_ms, now_ms);
        *head = meter;
    }
    if (meter->rule != rule) {
        message_policy_deinit(&meter->policy);
        meter->policy = policy_share(&permit->policy);
        meter->rule = rule;
    }
    return meter;
}

/* ---- permits ---- */

static enum end_reason permit_expand(struct message_permit *permit, const struct identity *identity)
{
    struct expansion expansion = { 0 };

    for (const char *at = permit->rule->prefix; *at;) {
        unsigned name = name_at(at);
        if (name == IDENTITY_NAME_COUNT) {
            expansion_add(&expansion, at++, 1);
            continue;
        }
        const char *value = identity_name(identity, name);
        if (!value) {
            permit_set_detail(permit, "the certificate has no name for %s", name_texts[name]);
            return END_NOT_ALLOWED;
        }
        expansion_add_name(&expansion, name, value);
        at += strlen(name_texts[name]);
    }
    if (expansion.length > sizeof expansion.bytes) {
        permit_set_detail(permit, "the tag prefix becomes %zu bytes long, more than %d", expansion.length,
                          REWRITE_PREFIX_BYTES_MAX);
        return END_NOT_ALLOWED;
    }
    permit->prefix = malloc(expansion.length + 1);
    if (!permit->prefix)
        return END_NO_MEMORY;
    memcpy(permit->prefix, expansion.bytes, expansion.length);
    permit->prefix_length = expansion.length;
    return END_NONE;
}

/* The first rule that matches; NULL: none. A rule that cannot be judged, because a name cannot be read, ends
 * the search: a later rule may allow more. */
static const struct message_rule *rule_find(const struct message_policy *policy,
                                            const struct identity *identity)
{
    enum peer_rule_verdict verdict = PEER_RULE_NO;
    size_t at = 0;

    while (at < policy->count &&
           (verdict = peer_policy_judge(&policy->rules[at].who, identity)) == PEER_RULE_NO)
        at++;
    return verdict == PEER_RULE_YES ? &policy->rules[at] : NULL;
}

enum end_reason message_permit_open(struct message_permit *permit, const struct message_policy *policy,
                                    struct message_meters *meters, const struct identity *identity,
                                    uint64_t now_ms)
{
    static const struct identity nobody;
    char name[IDENTITY_BYTES];

    *permit = (struct message_permit) { 0 };
    if (!policy || !policy->count)
        return END_NONE;
    permit->policy = policy_share(policy);
    permit->rule = rule_find(policy, identity);
    if (!permit->rule)
        return END_NONE;
    if (!identity)
        identity = &nobody;
    if (permit->rule->bytes_per_second || permit->rule->messages_per_second) {
        identity_describe(identity, name, sizeof name);
        permit->meter = meter_get(meters, permit, name, now_ms);
        if (!permit->meter)
            return END_NO_MEMORY;
        permit->meter->users++;
    }
    return permit->rule->prefix ? permit_expand(permit, identity) : END_NONE;
}

void message_permit_close(struct message_permit *permit)
{
    if (permit->meter)
        permit->meter->users--;
    message_policy_deinit(&permit->policy);
    free(permit->prefix);
    record_fields_deinit(&permit->fields);
    free(permit->detail);
    *permit = (struct message_permit) { 0 };
}

enum end_reason message_permit_set_fields(struct message_permit *permit,
                                          const struct route_identity_fields *fields,
                                          const struct identity *identity)
{
    char value[RECORD_FIELD_VALUE_BYTES_MAX + 1];

    for (unsigned i = 0; i < fields->count; i++) {
        const char *field = fields->items[i].name;
        const char *name = identity ? identity_name(identity, fields->items[i].from) : NULL;
        if (!name || strlen(name) > RECORD_FIELD_VALUE_BYTES_MAX) {
            permit_set_detail(permit, "the certificate has no name, or too long a name, for the field \"%s\"",
                              field);
            return END_NOT_ALLOWED;
        }
        memcpy(value, name, strlen(name) + 1);
        for (char *at = value; fields->items[i].from == IDENTITY_DNS && *at; at++)
            *at = dns_lower(*at);
        if (!record_fields_add(&permit->fields, field, value))
            return END_NO_MEMORY;
    }
    return END_NONE;
}

enum end_reason message_permit_judge(struct message_permit *permit, const uint8_t *tag, size_t length)
{
    const struct message_rule *rule = permit->rule;
    char text[TAG_TEXT_BYTES];

    if (!permit->policy.count || (rule && !rule->tag_count))
        return END_NONE;
    for (size_t i = 0; rule && i < rule->tag_count; i++) {
        if (tag_pattern_matches(&rule->tags[i], tag, length))
            return END_NONE;
    }
    tag_text_write(text, tag, length);
    if (rule)
        permit_set_detail(permit, "does not allow the tag \"%s\"", text);
    else
        permit_set_detail(permit, "no rule matches this identity, whose tag is \"%s\"", text);
    return END_TAG_NOT_ALLOWED;
}

uint64_t message_permit_message_bytes(const struct message_permit *permit, uint64_t limit)
{
    uint64_t own = permit->rule ? permit->rule->message_bytes : 0;

    return own && own < limit ? own : limit;
}

void message_permit_note_length(struct message_permit *permit)
{
    if (permit->rule && permit->rule->message_bytes)
        permit_set_detail(permit, "allows %llu bytes", (unsigned long long)permit->rule->message_bytes);
}

uint64_t message_permit_wait_ms(const struct message_permit *permit, uint64_t now_ms)
{
    if (!permit->meter)
        return 0;
    uint64_t bytes = token_bucket_wait_ms(&permit->meter->bytes, now_ms);
    uint64_t messages = token_bucket_wait_ms(&permit->meter->messages, now_ms);
    uint64_t wait_ms = bytes > messages ? bytes : messages;
    return wait_ms && wait_ms < PAUSE_MS_MIN ? PAUSE_MS_MIN : wait_ms;
}

void message_permit_charge(struct message_permit *permit, uint64_t messages, uint64_t bytes, uint64_t now_ms)
{
    if (!permit->meter)
        return;
    token_bucket_take(&permit->meter->bytes, bytes, now_ms);
    token_bucket_take(&permit->meter->messages, messages, now_ms);
}
