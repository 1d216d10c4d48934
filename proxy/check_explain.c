#include "check_explain.h"

#include "check_words.h"
#include "config/config_check.h"
#include "config/schema_parts.h"
#include "trust/credentials_files.h"
#include "trust/inspection.h"

#include <stdio.h>
#include <string.h>

enum { NAMES_BYTES = 1024 };

static const char hidden_value[] = "(a value from the environment)";

/* A peer and a route. */
struct explanation {
    enum side side; /* UPSTREAM: the peer is a server */
    struct report *report;
    const struct options *options;
    const struct config *config;
    const char *path; /* of the certificate */
    const struct identity *identity;
};

static struct subject subject_of(const struct explanation *explanation, size_t field, size_t at)
{
    return check_words_subject(explanation->report, explanation->config, field, at);
}

static struct subject subject_of_certificate(const struct explanation *explanation)
{
    struct subject subject;

    subject_of_text(&subject, explanation->path);
    return subject;
}

/* ---- the certificate ---- */

/* What the peer can be recognised by. */
static void names_report(const struct explanation *explanation)
{
    const struct subject subject = subject_of_certificate(explanation);
    char names[NAMES_BYTES];

    identity_list_names(explanation->identity, names, sizeof names);
    report_add(explanation->report, FINDING_NOTE, &subject, "names: %s, issuer:%s, spki:%s", names,
               explanation->identity->issuer ? explanation->identity->issuer : "",
               explanation->identity->spki);
}

/* Whether the certificates of the file lead to a CA of the side, and are meant for the role of the peer. */
static bool path_report(const struct explanation *explanation)
{
    const struct subject subject = subject_of_certificate(explanation);
    struct credentials_options peer;
    struct credentials_files files;
    struct inspection inspection;
    struct fault fault;

    if (explanation->options->credentials[explanation->side].svid.socket) {
        report_add(explanation->report, FINDING_NOTE, &subject,
                   "its issuer was not judged: the CAs of the route are from the SPIFFE Workload API");
        explanation->report->is_incomplete = true;
        return true;
    }
    if (!credentials_files_find(&files, &explanation->options->credentials[explanation->side], &fault)) {
        report_add(explanation->report, FINDING_WARNING, &subject, "husk refuses the certificate: %s",
                   fault.text);
        return false;
    }
    peer = files.options;
    peer.keystore = NULL;
    peer.role = explanation->side == SIDE_DOWNSTREAM ? TLS_CLIENT : TLS_SERVER;
    peer.cert_file = peer.key_file = explanation->path; /* what is said about the key is not used */
    peer.passphrase_env = peer.passphrase_file = NULL;
    inspection_init(&inspection, &peer);
    bool is_good = inspection.has_path && inspection.path_reason == END_NONE;
    if (is_good)
        report_add(explanation->report, FINDING_OK, &subject, "is issued by a CA of the route");
    else
        report_add(explanation->report, FINDING_WARNING, &subject, "husk refuses the certificate: %s",
                   inspection.has_path ? inspection.path_detail : "the CA file cannot be read");
    inspection_deinit(&inspection);
    return is_good;
}

/* ---- which peers are accepted ---- */

static const struct peer_policy *policy_of(const struct explanation *explanation)
{
    const struct options *options = explanation->options;

    return explanation->side == SIDE_DOWNSTREAM ? &options->policy : &options->server_policy;
}

static size_t allow_field(const struct explanation *explanation)
{
    return explanation->side == SIDE_DOWNSTREAM ? CONFIG_FIELD(allow) : CONFIG_FIELD(allow_server);
}

/* The field with the items of a rule of the policy. */
static size_t field_of(const struct explanation *explanation, const struct peer_rule *rule)
{
    return rule->effect == PEER_RULE_ALLOWS ? allow_field(explanation) : CONFIG_FIELD(deny);
}

/* The subject of a finding about a rule of the policy. */
static struct subject subject_of_rule(const struct explanation *explanation, const struct peer_rule *rule)
{
    return subject_of(explanation, field_of(explanation, rule), rule->origin);
}

/* Why a rule has its verdict. */
struct why {
    char text[NAMES_BYTES];
};

/* Whether an item of the group has a value from the environment. */
static bool is_group_hidden(const struct peer_rule *rule, const struct setting_list *list)
{
    bool is_hidden = false;

    for (size_t i = 0; peer_rule_is_group(rule->kind) && i < list->count; i++)
        is_hidden = is_hidden || (list->items[i].kind == rule->kind &&
                                  config_item_is_hidden(&config_match_parts, &list->items[i]));
    return is_hidden;
}

/* `list`: has the items of the rule. `lead` stands before the name that a rule matches. */
static struct why why_text(const struct explanation *explanation, const struct peer_rule *rule,
                           const struct setting_list *list, const char *lead)
{
    bool is_name =
        !peer_rule_is_group(rule->kind) && peer_rule_judge(rule, explanation->identity) == PEER_RULE_YES;
    struct why why = { ": " };

    if (is_name)
        snprintf(why.text, sizeof why.text, "%s%s", lead, peer_rule_match(rule, explanation->identity));
    else if (is_group_hidden(rule, list))
        snprintf(why.text, sizeof why.text, ": %s", hidden_value);
    else
        peer_rule_explain(rule, explanation->identity, why.text + 2, sizeof why.text - 2);
    return why;
}

/* The same for a rule of the policy. */
static struct why why_of_policy(const struct explanation *explanation, const struct peer_rule *rule,
                                const char *lead)
{
    const struct setting_list *list =
        (const void *)((const char *)explanation->config + field_of(explanation, rule));

    return why_text(explanation, rule, list, lead);
}

static size_t policy_count(const struct peer_policy *policy, enum peer_rule_effect effect)
{
    size_t count = 0;

    for (size_t i = 0; i < policy->count; i++)
        count += policy->rules[i].effect == effect;
    return count;
}

/* Why the rules that admit by more than one name, or by a name that cannot be read, do not match. */
static void groups_report(const struct explanation *explanation)
{
    const struct peer_policy *policy = policy_of(explanation);

    for (size_t i = 0; i < policy->count; i++) {
        const struct peer_rule *rule = &policy->rules[i];
        if (rule->effect != PEER_RULE_ALLOWS ||
            (!peer_rule_is_group(rule->kind) && peer_rule_judge(rule, explanation->identity) == PEER_RULE_NO))
            continue;
        const struct subject subject = subject_of_rule(explanation, rule);
        report_add(explanation->report, FINDING_NOTE, &subject, "does not match%s",
                   why_of_policy(explanation, rule, "").text);
    }
}

static bool admission_report(const struct explanation *explanation)
{
    const struct peer_policy *policy = policy_of(explanation);
    const struct peer_rule *denier = peer_policy_denier(policy, explanation->identity),
                           *rule = peer_policy_admitter(policy, explanation->identity);

    if (denier) {
        const struct subject subject = subject_of_rule(explanation, denier);
        report_add(explanation->report, FINDING_WARNING, &subject, "refuses the certificate%s",
                   why_of_policy(explanation, denier, ": it matches ").text);
        return false;
    }
    if (!rule) {
        const struct subject subject = subject_of_certificate(explanation);
        report_add(explanation->report, FINDING_WARNING, &subject,
                   "is not admitted: no setting that admits %s matches one of its names; there are %zu",
                   explanation->side == SIDE_DOWNSTREAM ? "agents" : "servers",
                   policy_count(policy, PEER_RULE_ALLOWS));
        groups_report(explanation);
        return false;
    }
    const struct subject subject = subject_of_rule(explanation, rule);
    report_add(explanation->report, FINDING_OK, &subject,
               "admits the certificate: it is the first setting that matches%s",
               why_of_policy(explanation, rule, ", and matches ").text);
    return true;
}

/* ---- who may write what ---- */

static void rule_report(const struct explanation *explanation, const struct message_permit *permit)
{
    size_t at = (size_t)(permit->rule - permit->policy.rules);
    const struct setting_item *item = &explanation->config->rules.items[at];
    const struct config_rule *config = item->parts;
    const struct subject subject = subject_of(explanation, CONFIG_FIELD(rules), at);
    const struct peer_rule *who = peer_policy_admitter(&permit->rule->who, explanation->identity);
    const char *tags = config->tags ? config->tags : "all", *prefix = permit->prefix ? permit->prefix : "";
    int prefix_length = permit->prefix ? (int)permit->prefix_length : 0;

    if (config_part_is_hidden(&config_rule_parts, item, offsetof(struct config_rule, tags)))
        tags = hidden_value;
    if (config_part_is_hidden(&config_rule_parts, item, offsetof(struct config_rule, tag_prefix))) {
        prefix = hidden_value;
        prefix_length = (int)strlen(hidden_value);
    }
    report_add(explanation->report, FINDING_OK, &subject,
               "decides: rule %zu of %zu is the first one that matches%s; tags: %s%s%.*s", at + 1,
               permit->policy.count, why_text(explanation, who, &config->who, ", and matches ").text, tags,
               permit->prefix ? "; prefix: " : "", prefix_length, prefix);
}

static bool permit_report(const struct explanation *explanation, const struct message_permit *permit,
                          enum end_reason reason)
{
    const struct subject subject = subject_of_certificate(explanation);

    if (reason != END_NONE) {
        report_add(explanation->report, FINDING_WARNING, &subject, "is not admitted: %s",
                   message_permit_detail(permit));
        return false;
    }
    if (permit->rule) {
        rule_report(explanation, permit);
        return true;
    }
    if (permit->policy.count)
        report_add(explanation->report, FINDING_WARNING, &subject,
                   "may write nothing: no rule matches one of its names; there are %zu",
                   permit->policy.count);
    else
        report_add(explanation->report, FINDING_OK, &subject, "may write every tag: there are no rules");
    return !permit->policy.count;
}

static void fields_report(const struct explanation *explanation)
{
    const struct setting_list *list = &explanation->config->add_identity;

    for (size_t i = 0; i < list->count; i++) {
        const struct config_identity *field = list->items[i].parts;
        const struct subject subject = subject_of(explanation, CONFIG_FIELD(add_identity), i);
        bool is_hidden = config_part_is_hidden(&config_identity_parts, &list->items[i],
                                               offsetof(struct config_identity, field));
        report_add(explanation->report, FINDING_OK, &subject, "records get %s: %s",
                   is_hidden ? hidden_value : field->field,
                   identity_name(explanation->identity, (enum identity_name)field->from));
    }
}

static bool messages_report(const struct explanation *explanation)
{
    const struct options *options = explanation->options;
    struct message_meters meters = { 0 };
    struct message_permit permit;
    enum end_reason reason = message_permit_open(&permit, &options->rules, &meters, explanation->identity, 0);

    if (reason == END_NONE)
        reason = message_permit_set_fields(&permit, &options->route.identity_fields, explanation->identity);
    bool may_write = permit_report(explanation, &permit, reason);
    if (reason == END_NONE)
        fields_report(explanation);
    message_permit_close(&permit);
    message_meters_deinit(&meters);
    return may_write;
}

/* ---- the sides ---- */

static bool agent_explain(const struct explanation *explanation)
{
    names_report(explanation);
    bool is_admitted = path_report(explanation);
    is_admitted = admission_report(explanation) && is_admitted;
    return is_admitted && messages_report(explanation); /* no rule applies to a refused agent */
}

static bool server_explain(const struct explanation *explanation)
{
    const struct subject subject = subject_of_certificate(explanation);

    names_report(explanation);
    bool is_accepted = path_report(explanation);
    is_accepted = admission_report(explanation) && is_accepted;
    if (!explanation->options->credentials[SIDE_UPSTREAM].ignores_name)
        report_add(explanation->report, FINDING_NOTE, &subject,
                   "husk compares the server name, too, when it connects");
    return is_accepted;
}

bool check_explain(struct report *report, const struct options *options, const struct config *config,
                   const struct explained_certificate *certificate)
{
    struct explanation explanation = { SIDE_DOWNSTREAM,      report, options, config, certificate->path,
                                       certificate->identity };
    const struct subject subject = subject_of_certificate(&explanation);
    struct check_words words;
    bool is_accepted = false;

    report_begin(report, "%s, %s", options->route.name, side_name(SIDE_DOWNSTREAM));
    check_words_use(report, &words, config, SIDE_DOWNSTREAM);
    if (credentials_options_are_set(&options->credentials[SIDE_DOWNSTREAM]))
        is_accepted = agent_explain(&explanation);
    else
        report_add(report, FINDING_NOTE, &subject,
                   "agents of this route show no certificate: the route has no TLS for them");
    report_use_words(report, NULL);
    if (!options->server_policy.count)
        return is_accepted;
    report_begin(report, "%s, %s", options->route.name, side_name(SIDE_UPSTREAM));
    check_words_use(report, &words, config, SIDE_UPSTREAM);
    explanation.side = SIDE_UPSTREAM;
    is_accepted = server_explain(&explanation) || is_accepted;
    report_use_words(report, NULL);
    return is_accepted;
}
