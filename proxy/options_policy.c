#include "options_policy.h"

#include "base/utf8.h"
#include "config/schema_parts.h"
#include "options_match.h"
#include "runtime/route.h"
#include "trust/credentials_options.h"
#include "trust/peer_rule_value.h"

#include <stdio.h>
#include <string.h>

/* ---- who may connect ---- */

/* The settings that admit peers. */
static struct config_name allow_name(const struct config_check *check, enum peer_rule_kind kind)
{
    return config_name(check->config, CONFIG_FIELD(allow), kind);
}

static void nobody_check(const struct config_check *check)
{
    if (!check->config->allow.count && !config_is_wrong(check->config, CONFIG_FIELD(allow)))
        config_wrong(check, check->config->mode == CONFIG_FILE ? CONFIG_FIELD(allow) : CONFIG_NONE,
                     "nobody is allowed to connect: set %s, or %s to admit every certificate of the CA",
                     config_names(check->config, CONFIG_FIELD(allow)).text,
                     allow_name(check, PEER_RULE_VERIFIED).text);
}

/* The items of the list at `field` that are about certificates, when clients show none. */
static void names_refuse(const struct config_check *check, size_t field)
{
    const struct setting_list *list = (const void *)((const char *)check->config + field);

    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].kind != PEER_RULE_ANONYMOUS)
            config_wrong_item(check, field, &list->items[i], CONFIG_NONE,
                              "cannot be combined with %s none: clients show no certificate",
                              config_name(check->config, CONFIG_FIELD(client_certificate), 0).text);
    }
}

/* Clients without certificate need both settings. */
static void anonymous_check(const struct config_check *check)
{
    const struct config *config = check->config;
    const size_t field = CONFIG_FIELD(client_certificate);
    const struct setting_item *anonymous = NULL;

    for (size_t i = 0; !anonymous && i < config->allow.count; i++) {
        if (config->allow.items[i].kind == PEER_RULE_ANONYMOUS)
            anonymous = &config->allow.items[i];
    }
    if (config_is_wrong(config, field) || config_is_wrong(config, CONFIG_FIELD(allow)))
        return;
    if (anonymous && config->client_certificate == CLIENT_CERTIFICATE_REQUIRE)
        config_wrong_item(check, CONFIG_FIELD(allow), anonymous, CONFIG_NONE, "requires %s optional or none",
                          config_name(config, field, 0).text);
    if (!anonymous && config->client_certificate != CLIENT_CERTIFICATE_REQUIRE)
        config_wrong(check, field, "optional and none require %s, which admits clients without certificate",
                     allow_name(check, PEER_RULE_ANONYMOUS).text);
    if (config->client_certificate == CLIENT_CERTIFICATE_NONE) {
        names_refuse(check, CONFIG_FIELD(allow));
        names_refuse(check, CONFIG_FIELD(deny));
    }
}

/* A list of rules about names. */
struct names_setting {
    size_t field;     /* of struct config */
    const char *path; /* in a file, of the map that has the list */
    struct peer_rule *(*add)(struct peer_policy *policy, enum peer_rule_kind kind, const char *value,
                             struct fault *fault);
};

/* The `origin` of a rule is the index of its item; of a group, the index of the first item. */
static void names_set(struct peer_policy *policy, const struct names_setting *setting,
                      const struct config_check *check)
{
    const struct setting_list *list = (const void *)((const char *)check->config + setting->field);
    struct fault fault;

    for (size_t i = 0; i < list->count; i++) {
        const struct setting_item *item = &list->items[i];
        if (options_match_is_begun(list, i))
            continue;
        struct peer_rule *rule =
            peer_rule_value_can_match(item->kind, item->value, &fault)
                ? setting->add(policy, item->kind, item->parts ? NULL : item->value, &fault)
                : NULL;
        if (!rule) {
            config_wrong_item_value(check, setting->field, item, CONFIG_NONE, fault.text);
            continue;
        }
        rule->origin = i;
        if (item->parts)
            options_match_fill(rule, list, check, setting->path);
    }
}

void options_policy_set_peers(struct peer_policy *policy, const struct config_check *check)
{
    static const struct names_setting allow = { CONFIG_FIELD(allow), "allow", peer_policy_add },
                                      deny = { CONFIG_FIELD(deny), "deny", peer_policy_deny };

    nobody_check(check);
    anonymous_check(check);
    names_set(policy, &allow, check);
    names_set(policy, &deny, check);
}

void options_policy_set_servers(struct peer_policy *policy, const struct config_check *check)
{
    static const struct names_setting servers = { CONFIG_FIELD(allow_server), "tls.upstream.allow",
                                                  peer_policy_add };
    const struct config *config = check->config;
    const size_t ignore = CONFIG_FIELD(ignore_server_name);

    names_set(policy, &servers, check);
    if (config->allow_server.count && config->tls[SIDE_UPSTREAM].insecure)
        config_wrong_item(check, CONFIG_FIELD(allow_server), &config->allow_server.items[0], CONFIG_NONE,
                          "cannot be combined with %s, which verifies no server",
                          config_name(config, CONFIG_FIELD(tls[SIDE_UPSTREAM].insecure), 0).text);
    if (!config->ignore_server_name || config->tls[SIDE_UPSTREAM].insecure) /* options_tls refuses both */
        return;
    if (!config->allow_server.count && !config_is_wrong(config, CONFIG_FIELD(allow_server)))
        config_wrong(check, ignore,
                     "requires %s or another setting that names the servers: every server "
                     "of the CA would be accepted",
                     config_name(config, CONFIG_FIELD(allow_server), PEER_RULE_URI).text);
    if (config->allow_cn_as_name)
        config_wrong(check, ignore, "cannot be combined with %s",
                     config_name(config, CONFIG_FIELD(allow_cn_as_name), 0).text);
}

/* ---- who may write what ---- */

#define PART(field) offsetof(struct config_rule, field)

/* What is wrong with a rule. */
struct rule_check {
    const struct config_check *check;
    const struct setting_item *item;
};

#define rule_wrong_value(check, part, text)                                                                  \
    config_wrong_item_value((check)->check, CONFIG_FIELD(rules), (check)->item, part, text)
#define rule_wrong(check, part, ...)                                                                         \
    config_wrong_item((check)->check, CONFIG_FIELD(rules), (check)->item, part, __VA_ARGS__)

/* A file names the key of the name. */
static void rule_name_wrong(const struct rule_check *check, const struct setting_item *name,
                            const char *fault)
{
    const char *text = name->is_hidden ? "a value from the environment is wrong" : fault;
    char path[64];

    if (check->check->config->mode != CONFIG_FILE) {
        rule_wrong(check, CONFIG_NONE, "%s", text);
        return;
    }
    snprintf(path, sizeof path, "rules[%u].%s[%u]", check->item->index, peer_rule_kind_name(name->kind),
             name->index);
    config_wrong_path(check->check, name->place, path, text);
}

static void rule_set_who(struct message_rule *rule, const struct setting_list *who,
                         const struct rule_check *check)
{
    struct fault fault;
    char path[32];

    if (!who->count && !config_part_is_wrong(&config_rule_parts, check->item, PART(who)))
        rule_wrong(check, CONFIG_NONE, "matches nobody: set any, %s",
                   config_part_names(check->check->config, &config_rule_parts, PART(who)).text);
    snprintf(path, sizeof path, "rules[%u]", check->item->index);
    for (size_t i = 0; i < who->count; i++) {
        const struct setting_item *item = &who->items[i];
        if (options_match_is_begun(who, i))
            continue;
        struct peer_rule *name =
            peer_rule_value_can_match(item->kind, item->value, &fault)
                ? peer_policy_add(&rule->who, item->kind, item->parts ? NULL : item->value, &fault)
                : NULL;
        if (!name)
            rule_name_wrong(check, item, fault.text);
        else if (item->parts)
            options_match_fill(name, who, check->check, path);
    }
}

/* Why agents have no certificate; NULL: they can have one. */
static const char *why_no_certificate(const struct config *config)
{
    if (config_tls_use(config, SIDE_DOWNSTREAM) == CONFIG_TLS_OFF)
        return "agents without TLS have no certificate";
    return config->client_certificate == CLIENT_CERTIFICATE_NONE ? "agents show no certificate" : NULL;
}

/* A rule that needs a certificate would never match. */
static void rule_check_plain(const struct message_rule *rule, const struct rule_check *check, const char *why)
{
    bool is_for_any = true;

    for (size_t i = 0; i < rule->who.count; i++)
        is_for_any = is_for_any && rule->who.rules[i].kind == PEER_RULE_ANY;
    if (!is_for_any)
        rule_wrong(check, CONFIG_NONE, "%s: only \"any\" can match them", why);
    else if (message_rule_needs_identity(rule))
        rule_wrong(check, PART(tag_prefix), "%s to take a name from", why);
}

static void rule_set(struct message_rule *rule, const struct config_rule *config,
                     const struct rule_check *check)
{
    struct fault fault;

    rule_set_who(rule, &config->who, check);
    if (config->tags && !message_rule_set_tags(rule, config->tags, &fault))
        rule_wrong_value(check, PART(tags), fault.text);
    if (config->tag_prefix && !message_rule_set_prefix(rule, config->tag_prefix, &fault))
        rule_wrong_value(check, PART(tag_prefix), fault.text);
    if (config->max_message_bytes > check->check->config->max_message_bytes &&
        !config_is_wrong(check->check->config, CONFIG_FIELD(max_message_bytes)))
        rule_wrong(check, PART(max_message_bytes), "is above %s",
                   config_name(check->check->config, CONFIG_FIELD(max_message_bytes), 0).text);
    rule->bytes_per_second = config->bytes_per_second;
    rule->messages_per_second = config->messages_per_second;
    rule->burst_ms = config->burst_ms;
    rule->message_bytes = config->max_message_bytes;
    const char *why = why_no_certificate(check->check->config);
    if (why)
        rule_check_plain(rule, check, why);
}

void options_policy_set_rules(struct message_policy *policy, const struct config_check *check)
{
    const struct setting_list *list = &check->config->rules;

    if (list->count && check->config->protocol != ROUTE_FORWARD &&
        !config_is_wrong(check->config, CONFIG_FIELD(protocol)))
        config_wrong(check, CONFIG_FIELD(rules), "is for %s forward; tcp has no messages",
                     config_name(check->config, CONFIG_FIELD(protocol), 0).text);
    for (size_t i = 0; i < list->count; i++) {
        const struct setting_item *item = &list->items[i];
        bool is_hidden = config_item_is_hidden(&config_rule_parts, item);
        struct message_rule *rule =
            message_policy_add(policy, is_hidden ? "with a value from the environment" : item->value);
        if (!rule) {
            config_wrong(check, CONFIG_NONE, "out of memory");
            return;
        }
        rule_set(rule, item->parts, &(struct rule_check) { check, item });
    }
}

/* ---- the identity as a field ---- */

/* Why no field can have this name; NULL: it can. */
static const char *field_name_fault(const struct route_identity_fields *fields, const char *name)
{
    if (!name)
        return "is required: the key that the records get";
    if (strlen(name) > RECORD_FIELD_NAME_BYTES_MAX)
        return "is longer than 64 bytes";
    if (!utf8_is_valid(name, strlen(name)))
        return "is not valid UTF-8";
    for (unsigned i = 0; i < fields->count; i++) {
        if (strcmp(fields->items[i].name, name) == 0)
            return "is given twice";
    }
    return NULL;
}

/* Checks whether the other settings allow fields. */
static void fields_check(const struct config_check *check)
{
    const struct config *config = check->config;
    const size_t field = CONFIG_FIELD(add_identity);

    if (config->protocol != ROUTE_FORWARD)
        config_wrong(check, field, "is for %s forward; tcp changes nothing",
                     config_name(config, CONFIG_FIELD(protocol), 0).text);
    else if (config->delivery == ROUTE_PASSTHROUGH)
        config_wrong(check, field, "cannot be combined with %s passthrough, which changes nothing",
                     config_name(config, CONFIG_FIELD(delivery), 0).text);
    else if (config->invalid_events == CONFIG_INVALID_PASS)
        config_wrong(check, field, "cannot be combined with %s pass: an invalid event has no field",
                     config_name(config, CONFIG_FIELD(invalid_events), 0).text);
    if (config->client_certificate == CLIENT_CERTIFICATE_NONE)
        config_wrong(check, field, "cannot be combined with %s none: agents show no certificate",
                     config_name(config, CONFIG_FIELD(client_certificate), 0).text);
    if (config_tls_use(config, SIDE_DOWNSTREAM) == CONFIG_TLS_OFF)
        config_wrong(check, field, "requires %s: agents without TLS have no certificate",
                     config_name(config, CONFIG_FIELD(tls[SIDE_DOWNSTREAM].cert_file), 0).text);
}

void options_policy_set_fields(struct route_identity_fields *fields, const struct config_check *check)
{
    const struct setting_list *list = &check->config->add_identity;

    if (list->count)
        fields_check(check);
    for (size_t i = 0; i < list->count; i++) {
        const struct setting_item *item = &list->items[i];
        const struct config_identity *identity = item->parts;
        if (!identity->field && check->config->mode == CONFIG_FILE)
            continue; /* a mistake that the file has already */
        const char *fault = field_name_fault(fields, identity->field);
        if (fields->count == RECORD_FIELDS_MAX) {
            config_wrong(check, CONFIG_FIELD(add_identity), "given more than %d times", RECORD_FIELDS_MAX);
            return;
        }
        if (fault) {
            config_wrong_item(check, CONFIG_FIELD(add_identity), item,
                              offsetof(struct config_identity, field), "%s", fault);
            continue;
        }
        fields->items[fields->count].name = identity->field;
        fields->items[fields->count++].from = identity->from;
    }
}
