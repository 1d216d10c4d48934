#include "options_policy.h"

#include "runtime/route.h"

/* ---- who may connect ---- */

/* The settings that admit peers. */
static struct config_name allow_name(const struct config_check *check, enum peer_rule_kind kind)
{
    return config_name(check->config, CONFIG_FIELD(allow), kind);
}

void options_policy_set_peers(struct peer_policy *policy, const struct config_check *check)
{
    const struct setting_list *list = &check->config->allow;
    struct fault fault;

    if (!list->count)
        config_wrong(
            check, CONFIG_NONE,
            "nobody is allowed to connect: set %s, %s, %s, %s or %s, or %s to admit every certificate "
            "of the CA",
            allow_name(check, PEER_RULE_CN).text, allow_name(check, PEER_RULE_DNS).text,
            allow_name(check, PEER_RULE_URI).text, allow_name(check, PEER_RULE_OU).text,
            allow_name(check, PEER_RULE_SPKI).text, allow_name(check, PEER_RULE_ANY).text);
    for (size_t i = 0; i < list->count; i++) {
        const struct setting_item *item = &list->items[i];
        if (!peer_policy_add(policy, item->kind, item->value, &fault))
            config_wrong_item(check, CONFIG_FIELD(allow), item, CONFIG_NONE, "%s", fault.text);
    }
}

/* ---- who may write what ---- */

#define PART(field) offsetof(struct config_rule, field)

/* What is wrong with a rule. */
struct rule_check {
    const struct config_check *check;
    const struct setting_item *item;
};

#define rule_wrong(check, part, ...)                                                                         \
    config_wrong_item((check)->check, CONFIG_FIELD(rules), (check)->item, part, __VA_ARGS__)

static void rule_set_who(struct message_rule *rule, const struct setting_list *who,
                         const struct rule_check *check)
{
    struct fault fault;

    if (!who->count)
        rule_wrong(check, CONFIG_NONE, "matches nobody: set any, cn, dns, uri, ou or spki");
    for (size_t i = 0; i < who->count; i++) {
        if (!peer_policy_add(&rule->who, who->items[i].kind, who->items[i].value, &fault))
            rule_wrong(check, CONFIG_NONE, "%s", fault.text);
    }
}

/* Agents without TLS have no certificate: a rule that needs one would never match. */
static void rule_check_plain(const struct message_rule *rule, const struct rule_check *check)
{
    bool is_for_any = true;

    for (size_t i = 0; i < rule->who.count; i++)
        is_for_any = is_for_any && rule->who.rules[i].kind == PEER_RULE_ANY;
    if (!is_for_any)
        rule_wrong(check, CONFIG_NONE, "agents without TLS have no certificate: only \"any\" can match them");
    else if (message_rule_needs_identity(rule))
        rule_wrong(check, PART(tag_prefix), "agents without TLS have no certificate to take a name from");
}

static void rule_set(struct message_rule *rule, const struct config_rule *config,
                     const struct rule_check *check)
{
    struct fault fault;

    rule_set_who(rule, &config->who, check);
    if (config->tags && !message_rule_set_tags(rule, config->tags, &fault))
        rule_wrong(check, PART(tags), "%s", fault.text);
    if (config->tag_prefix && !message_rule_set_prefix(rule, config->tag_prefix, &fault))
        rule_wrong(check, PART(tag_prefix), "%s", fault.text);
    if (config->max_message_bytes > check->check->config->max_message_bytes)
        rule_wrong(check, PART(max_message_bytes), "is above %s",
                   config_name(check->check->config, CONFIG_FIELD(max_message_bytes), 0).text);
    rule->bytes_per_second = config->bytes_per_second;
    rule->messages_per_second = config->messages_per_second;
    rule->burst_ms = config->burst_ms;
    rule->message_bytes = config->max_message_bytes;
    if (!config_is_given(check->check->config, CONFIG_FIELD(tls[SIDE_DOWNSTREAM].cert_file)))
        rule_check_plain(rule, check);
}

void options_policy_set_rules(struct message_policy *policy, const struct config_check *check)
{
    const struct setting_list *list = &check->config->rules;

    if (list->count && check->config->protocol != ROUTE_FORWARD)
        config_wrong(check, CONFIG_FIELD(rules), "is for %s forward; tcp has no messages",
                     config_name(check->config, CONFIG_FIELD(protocol), 0).text);
    for (size_t i = 0; i < list->count; i++) {
        const struct setting_item *item = &list->items[i];
        struct message_rule *rule = message_policy_add(policy, item->value);
        if (!rule) {
            config_wrong(check, CONFIG_NONE, "out of memory");
            return;
        }
        rule_set(rule, item->parts, &(struct rule_check) { check, item });
    }
}
