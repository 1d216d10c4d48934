#include "options_policy.h"

#include "runtime/route.h"

#include <stdlib.h>
#include <string.h>

/* ---- who may connect ---- */

bool options_policy_set_peers(struct peer_policy *policy, const struct config *config, struct fault *fault)
{
    static const char *const names[] = {
        [PEER_RULE_ANY] = "allow-any", [PEER_RULE_CN] = "allow-cn", [PEER_RULE_DNS] = "allow-dns",
        [PEER_RULE_URI] = "allow-uri", [PEER_RULE_OU] = "allow-ou", [PEER_RULE_SPKI] = "allow-spki",
    };

    if (!config->allow.count) {
        fault_set(fault,
                  "nobody is allowed to connect: set --allow-cn, --allow-dns, --allow-uri, --allow-ou or "
                  "--allow-spki, or --allow-any to admit every certificate of the CA");
        return false;
    }
    for (size_t i = 0; i < config->allow.count; i++) {
        const struct setting_item *item = &config->allow.items[i];
        if (!peer_policy_add(policy, item->kind, item->value, fault)) {
            fault_wrap(fault, "--%s", names[item->kind]);
            return false;
        }
    }
    return true;
}

/* ---- who may write what ---- */

static bool rule_set_who(struct message_rule *rule, const struct config_rule *config, struct fault *fault)
{
    if (!config->who.count) {
        fault_set(fault, "matches nobody: set any, cn=, dns=, uri=, ou= or spki=");
        return false;
    }
    for (size_t i = 0; i < config->who.count; i++) {
        const struct setting_item *item = &config->who.items[i];
        if (!peer_policy_add(&rule->who, item->kind, item->value, fault))
            return false;
    }
    return true;
}

static bool rule_set(struct message_rule *rule, const struct config_rule *config, struct fault *fault)
{
    if (!rule_set_who(rule, config, fault))
        return false;
    if (config->tags && !message_rule_set_tags(rule, config->tags, fault)) {
        fault_wrap(fault, "tags");
        return false;
    }
    if (config->tag_prefix && !message_rule_set_prefix(rule, config->tag_prefix, fault)) {
        fault_wrap(fault, "tag-prefix");
        return false;
    }
    rule->bytes_per_second = config->bytes_per_second;
    rule->messages_per_second = config->messages_per_second;
    rule->burst_ms = config->burst_ms;
    rule->message_bytes = config->max_message_bytes;
    return true;
}

/* Agents of husk client have no certificate: a rule that needs one would never match. */
static bool rule_check_plain(const struct message_rule *rule, struct fault *fault)
{
    bool is_for_any = true;

    for (size_t i = 0; i < rule->who.count; i++)
        is_for_any = is_for_any && rule->who.rules[i].kind == PEER_RULE_ANY;
    if (!is_for_any)
        fault_set(fault, "agents of husk client have no certificate: only \"any\" can match them");
    else if (message_rule_needs_identity(rule))
        fault_set(fault, "tag-prefix: agents of husk client have no certificate to take a name from");
    else
        return true;
    return false;
}

static bool rule_add(struct message_policy *policy, enum config_mode mode, const char *text,
                     struct fault *fault)
{
    struct message_rule *rule = message_policy_add(policy, text);
    struct config_rule config = { 0 };
    char *words = strdup(text);
    const struct settings_table table = config_rule_settings();

    fault_set(fault, "out of memory");
    bool is_good = rule && words && settings_parse_text(&table, &config, words, fault) &&
                   rule_set(rule, &config, fault) && (mode == CONFIG_SERVER || rule_check_plain(rule, fault));
    settings_free(&table, &config);
    free(words);
    return is_good;
}

bool options_policy_set_rules(struct message_policy *policy, enum config_mode mode,
                              const struct config *config, struct fault *fault)
{
    if (config->rules.count && config->protocol != ROUTE_FORWARD) {
        fault_set(fault, "--rule: is for --protocol forward; tcp has no messages");
        return false;
    }
    for (size_t i = 0; i < config->rules.count; i++) {
        const char *text = config->rules.items[i].value;
        if (!rule_add(policy, mode, text, fault)) {
            fault_wrap(fault, "--rule \"%s\"", text);
            return false;
        }
        if (policy->rules[i].message_bytes > config->max_message_bytes) {
            fault_set(fault, "--rule \"%s\": max-message: is above --max-message", text);
            return false;
        }
    }
    return true;
}
