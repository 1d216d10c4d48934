#include "check_route.h"

#include "base/clock.h"
#include "check/admin_answer.h"
#include "check/listen_address.h"
#include "check/shared_key_source.h"
#include "check/subject.h"
#include "check/tls_files.h"
#include "check/tls_listener.h"
#include "check/upstream.h"
#include "check/workload_source.h"
#include "check_words.h"
#include "config/setting_value.h"

#include <stdlib.h>
#include <string.h>

static bool has_fixed_port(const struct socket_address *address)
{
    return address->storage.ss_family == AF_UNIX || socket_address_port(address) != 0;
}

/* Plaintext tells nothing of the program: a Forward server without a shared key speaks only after a message.
 */
static void plain_report(struct report *report, const struct listen_address *listen)
{
    struct subject subject;

    listen_address_subject(&subject, report, listen);
    report_add(report, FINDING_NOTE, &subject,
               "whether the program that listens there is husk was not tested: without TLS it shows no "
               "certificate");
    report_advise(report, "see the log of husk: a line \"listening\" names each of its addresses");
}

static void listen_check(struct report *report, const struct options *options,
                         const struct listen_address *listen, const struct check_settings *settings)
{
    if (!settings->is_running || !has_fixed_port(listen->address))
        listen_address_check_free(report, listen);
    else if (listen_address_check_running(report, listen) &&
             !credentials_options_are_set(&options->credentials[SIDE_DOWNSTREAM]))
        plain_report(report, listen);
}

static struct listen_address listen_address_of(const struct options *options, unsigned at)
{
    const struct listening_address *address = &options->listen.addresses[at];

    return (struct listen_address) { .setting = "listen",
                                     .index = at,
                                     .address = &address->address,
                                     .access = &address->access,
                                     .takes_heartbeats = options->heartbeats_per_second };
}

/* The listeners of the route as a client sees them. */
static void tls_listener_report(struct report *report, const struct options *options,
                                const struct certificate_facts *leaf, const struct check_settings *settings)
{
    struct listen_address addresses[LISTENER_SOCKETS_MAX];
    struct tls_listener listener = {
        .server = &options->credentials[SIDE_DOWNSTREAM],
        .leaf = leaf,
        .client = &settings->client,
        .addresses = addresses,
        .timeout_ms = options->route.handshake_timeout_ms,
    };

    for (unsigned i = 0; settings->is_running && settings->connects && i < options->listen.count; i++) {
        if (has_fixed_port(&options->listen.addresses[i].address))
            addresses[listener.address_count++] = listen_address_of(options, i);
    }
    tls_listener_check(report, &listener);
}

/* Whether the rule matches every agent. */
static bool matches_all(const struct message_rule *rule)
{
    for (size_t i = 0; i < rule->who.count; i++) {
        if (rule->who.rules[i].kind == PEER_RULE_ANY)
            return true;
    }
    return false;
}

/* The first rule that matches an agent applies. */
static void rules_check(struct report *report, const struct message_policy *policy)
{
    struct subject subject;

    for (size_t i = 0; i + 1 < policy->count; i++) {
        if (!matches_all(&policy->rules[i]))
            continue;
        subject_of_item(&subject, report->words, "rule", i + 1, NULL);
        report_add(report, FINDING_WARNING, &subject,
                   "this rule never applies: the rule before it matches every agent");
        report_advise(report, "put the rule for any agent last");
        return;
    }
}

/* A rule that denies what `rule` allows; NULL: there is none. */
static const struct peer_rule *denier_of(const struct peer_policy *policy, const struct peer_rule *rule)
{
    for (size_t i = 0; i < policy->count; i++) {
        const struct peer_rule *other = &policy->rules[i];
        if (other->effect == PEER_RULE_DENIES && peer_rule_matches_same(other, rule))
            return other;
    }
    return NULL;
}

/* Warns about settings that allow in vain: a setting that denies wins, in any order. */
static void denied_check(struct report *report, const struct peer_policy *policy, const struct config *config)
{
    for (size_t i = 0; i < policy->count; i++) {
        const struct peer_rule *rule = &policy->rules[i];
        const struct peer_rule *denier = rule->effect == PEER_RULE_ALLOWS ? denier_of(policy, rule) : NULL;
        if (!denier)
            continue;
        const struct subject subject = check_words_subject(report, config, CONFIG_FIELD(allow), rule->origin);
        const struct subject winner = check_words_subject(report, config, CONFIG_FIELD(deny), denier->origin);
        report_add(report, FINDING_WARNING, &subject,
                   "this setting has no effect: another one denies the same, and denying wins (%s)",
                   winner.setting);
        report_advise(report, "remove one of them");
    }
}

/* Whether every peer with a certificate of the CA is admitted. */
static bool admits_all(const struct peer_policy *policy)
{
    for (size_t i = 0; i < policy->count; i++) {
        if (policy->rules[i].kind == PEER_RULE_VERIFIED && policy->rules[i].effect == PEER_RULE_ALLOWS)
            return true;
    }
    return false;
}

/* Warns about names beside --allow-any: they look as if they narrowed who is admitted. */
static void any_check(struct report *report, const struct peer_policy *policy, const struct config *config)
{
    for (size_t i = 0; admits_all(policy) && i < policy->count; i++) {
        const struct peer_rule *rule = &policy->rules[i];
        if (rule->effect != PEER_RULE_ALLOWS || rule->kind == PEER_RULE_VERIFIED ||
            rule->kind == PEER_RULE_ANONYMOUS)
            continue;
        const struct subject subject = check_words_subject(report, config, CONFIG_FIELD(allow), rule->origin);
        report_add(report, FINDING_WARNING, &subject,
                   "this setting has no effect: --allow-any admits every certificate of the CA");
        report_advise(report, "remove one of them");
    }
}

/* Whether the setting is about messages alone: its help says so. */
static bool is_for_messages(const struct setting *setting)
{
    return strncmp(setting->help, "forward: ", 9) == 0 && !strstr(setting->help, "tcp: ");
}

/* Whether the route itself gives the setting. The defaults of a file are for all routes. */
static bool is_own(const struct setting_source *own, const struct setting_source *shared)
{
    return own->is_given && !(shared->is_given && shared->place.line == own->place.line &&
                              shared->place.column == own->place.column);
}

/* Warns about settings for messages in a route that carries none. A value that is the default contradicts
 * nothing: an effective configuration has all values. */
static void effect_check(struct report *report, const struct config *config, const struct config *defaults)
{
    const struct settings_table table = config_settings(config->mode);
    struct config *plain = config->protocol == ROUTE_FORWARD ? NULL : calloc(1, sizeof *plain);
    struct subject subject;

    if (plain)
        settings_set_defaults(&table, plain);
    for (size_t i = 0; plain && i < table.count; i++) {
        const struct setting *setting = &table.rows[i];
        if (!is_own(&config->sources[i], &defaults->sources[i]) || !is_for_messages(setting) ||
            setting_value_equal(setting, config, plain))
            continue;
        subject_of_setting(&subject, report->words, setting->name, NULL);
        report_add(report, FINDING_WARNING, &subject,
                   "this setting has no effect: with --protocol tcp husk knows no messages");
        report_advise(report, "remove this setting");
    }
    free(plain);
}

/* The certificate and the shared key of a side. `workload`: all zeros before; the caller closes it. */
static void secrets_check(struct report *report, const struct options *options, enum side side,
                          const struct check_settings *settings, struct workload_source *workload)
{
    const struct credentials_options *credentials = &options->credentials[side];
    struct certificate_facts leaf;

    if (credentials->svid.socket)
        (void)workload_source_check(workload, report, credentials, &settings->workload_api,
                                    clock_wall_seconds());
    else if (credentials_options_are_set(credentials) &&
             tls_files_check(report, credentials, clock_wall_seconds(), options->min_certificate_life,
                             &leaf) &&
             side == SIDE_DOWNSTREAM)
        tls_listener_report(report, options, &leaf, settings);
    if (options->keys.side[side].setting)
        shared_key_source_check(report, &options->keys.side[side]);
}

/* NULL: a message can be sent. */
static const char *why_no_message(const struct options *options, const struct check_settings *settings)
{
    if (settings->sends_nothing)
        return "no message was sent: --no-message";
    if (options->route.delivery == ROUTE_PASSTHROUGH)
        return "no message was sent: with --delivery passthrough husk asks for no acks";
    return NULL;
}

/* ---- the process, a route ---- */

void check_route_process(struct report *report, const struct process_options *options,
                         const struct config *config, const struct check_settings *settings)
{
    struct check_words words;

    if (!options->has_admin)
        return;
    report_begin(report, "process");
    check_words_use(report, &words, config, SIDE_DOWNSTREAM);
    const struct listen_address admin = { .setting = "admin", .address = &options->admin.listen };
    if (!settings->is_running || !has_fixed_port(admin.address))
        listen_address_check_free(report, &admin);
    else if (listen_address_check_running(report, &admin))
        admin_answer_check(report, &admin);
    report_use_words(report, NULL);
}

void check_route(struct report *report, const struct options *options, const struct config *config,
                 const struct check_settings *settings)
{
    struct workload_source downstream_source = { 0 }, upstream_source = { 0 };
    struct check_words words;
    struct upstream_check upstream = {
        .discovery = &options->discovery,
        .route = &options->route,
        .credentials = credentials_options_are_set(&options->credentials[SIDE_UPSTREAM])
                           ? &options->credentials[SIDE_UPSTREAM]
                           : NULL,
        .key = options->keys.side[SIDE_UPSTREAM].setting ? &options->keys.side[SIDE_UPSTREAM] : NULL,
        .connects = settings->connects,
        .tag = settings->tag,
        .no_message = why_no_message(options, settings),
        .answer_ms = settings->answer_ms,
    };

    report_begin(report, "%s, %s", options->route.name, side_name(SIDE_DOWNSTREAM));
    check_words_use(report, &words, config, SIDE_DOWNSTREAM);
    for (unsigned i = 0; i < options->listen.count; i++) {
        const struct listen_address listen = listen_address_of(options, i);
        listen_check(report, options, &listen, settings);
    }
    secrets_check(report, options, SIDE_DOWNSTREAM, settings, &downstream_source);
    denied_check(report, &options->policy, config);
    any_check(report, &options->policy, config);
    rules_check(report, &options->rules);
    effect_check(report, config, settings->defaults);
    report_begin(report, "%s, %s", options->route.name, side_name(SIDE_UPSTREAM));
    check_words_use(report, &words, config, SIDE_UPSTREAM);
    secrets_check(report, options, SIDE_UPSTREAM, settings, &upstream_source);
    upstream.answer = upstream_source.answer.bytes ? &upstream_source.answer : NULL;
    upstream_check(report, &upstream);
    workload_source_close(&downstream_source);
    workload_source_close(&upstream_source);
    report_use_words(report, NULL);
}
