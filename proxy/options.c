#include "options.h"

#include "config/schema_parts.h"
#include "options_listen.h"
#include "options_policy.h"
#include "options_spiffe.h"
#include "options_tls.h"
#include "options_upstream.h"
#include "trust/server_name.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

enum { NAME_BYTES_MAX = 63 };

static const char name_letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

static unsigned cpu_count(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    unsigned count = (unsigned)CPU_COUNT(&set);
    return count < WORKER_GROUP_MAX ? count : WORKER_GROUP_MAX;
}

static void admin_hosts_set(struct http_host_names *hosts, const struct config_check *check)
{
    const struct setting_list *names = &check->config->admin_hosts;
    struct fault fault;

    if (names->count > HTTP_HOST_NAMES_MAX) {
        config_wrong(check, CONFIG_FIELD(admin_hosts), "given more than %d times", HTTP_HOST_NAMES_MAX);
        return;
    }
    for (size_t i = 0; i < names->count; i++) {
        if (!server_name_check(names->items[i].value, &fault))
            config_wrong_item_value(check, CONFIG_FIELD(admin_hosts), &names->items[i], CONFIG_NONE,
                                    fault.text);
        hosts->items[hosts->count++] = names->items[i].value;
    }
}

#define TLS_FIELD(side, field)                                                                               \
    (CONFIG_FIELD(tls) + (side) * sizeof(struct config_tls) + offsetof(struct config_tls, field))

/* Checks whether the addresses go together with the other settings. */
static void listen_check(const struct listening_options *listen, const struct config_check *check)
{
    const struct config *config = check->config;
    const size_t part = offsetof(struct config_listen, address);
    bool is_unsafe = config_tls_use(config, SIDE_DOWNSTREAM) == CONFIG_TLS_OFF && !config->unsafe_listen &&
                     !config_is_wrong(config, CONFIG_FIELD(unsafe_listen));

    for (unsigned i = 0; i < listen->count; i++) {
        const struct socket_address *address = &listen->addresses[i].address;
        const struct setting_item *item = &config->listen.items[i];
        const char *text = config_part_is_hidden(&config_listen_parts, item, part)
                               ? "this address"
                               : ((const struct config_listen *)item->parts)->address;
        if (!address->length)
            continue;
        if (is_unsafe && !socket_address_is_local(address))
            config_wrong_item(check, CONFIG_FIELD(listen), item, part,
                              "other machines can reach %s, and husk accepts plaintext there: listen on "
                              "127.0.0.1, [::1] or unix:PATH, or set %s",
                              text, config_name(config, CONFIG_FIELD(unsafe_listen), 0).text);
        /* Refusing needs a port that can be bound again: a Unix path has none, and the kernel chooses another
         * port for port 0. */
        if (config->when_unhealthy == CONFIG_UNHEALTHY_REFUSE && !socket_address_port(address))
            config_wrong(check, CONFIG_FIELD(when_unhealthy),
                         "refuse requires a fixed TCP port, and %s has none", text);
    }
}

/* Whether a setting is wrong that could replace this file: then nobody knows whether the file is needed. */
static bool is_need_hidden(const struct config *config, enum side side, size_t file)
{
    if (file == TLS_FIELD(side, ca_file))
        return config_is_wrong(config, TLS_FIELD(side, insecure));
    return config_is_wrong(config, TLS_FIELD(side, certificates)) ||
           (side == SIDE_UPSTREAM && config_is_wrong(config, TLS_FIELD(side, cert_file))); /* perhaps none */
}

/* Certificate and key come from --cert and --key, from --credentials, from --keystore, or from
 * --spiffe-socket. A directory may have the CAs, too. */
static void tls_files_check(enum side side, const struct config_check *check)
{
    const struct config *config = check->config;
    const struct config_tls *tls = &config->tls[side];
    const size_t directory = TLS_FIELD(side, directory), keystore = TLS_FIELD(side, keystore),
                 files[] = { TLS_FIELD(side, cert_file), TLS_FIELD(side, key_file),
                             TLS_FIELD(side, ca_file) };
    size_t instead = tls->directory ? directory : tls->keystore ? keystore : CONFIG_NONE;
    unsigned required = tls->directory ? 3 : tls->keystore ? 2 : 0; /* the first file that is required */

    if (config_tls_use(config, side) != CONFIG_TLS_ON || config_is_wrong(config, directory) ||
        config_is_wrong(config, keystore) || config_is_given(config, TLS_FIELD(side, spiffe_socket)))
        return;
    for (unsigned i = required; i < sizeof files / sizeof files[0]; i++) {
        bool is_replaced =
            files[i] == TLS_FIELD(side, ca_file)
                ? tls->insecure
                : options_tls_lists_all(config, side) ||
                      (files[i] == TLS_FIELD(side, key_file) && options_tls_shows_nothing(config, side));
        if (!is_replaced && !config_is_given(config, files[i]) && !is_need_hidden(config, side, files[i]))
            config_wrong(check, files[i], "is required: TLS needs a certificate, its key and a CA file");
    }
    for (unsigned i = 0; instead != CONFIG_NONE && i < 2; i++) {
        if (config_is_given(config, files[i]))
            config_wrong(check, files[i], "cannot be combined with %s", config_name(config, instead, 0).text);
    }
    if (tls->directory && tls->keystore)
        config_wrong(check, keystore, "cannot be combined with %s", config_name(config, directory, 0).text);
}

static void tls_check(enum side side, const struct config_check *check)
{
    const struct config *config = check->config;
    const struct config_tls *tls = &config->tls[side];

    tls_files_check(side, check);
    if (tls->min_version > tls->max_version && !config_is_wrong(config, TLS_FIELD(side, max_version)))
        config_wrong(check, TLS_FIELD(side, min_version), "is above %s",
                     config_name(config, TLS_FIELD(side, max_version), 0).text);
    if (tls->passphrase_env && tls->passphrase_file)
        config_wrong(check, TLS_FIELD(side, passphrase_env), "cannot be combined with %s",
                     config_name(config, TLS_FIELD(side, passphrase_file), 0).text);
}

static void revocation_set(struct revocation_options *revocation, enum side side,
                           const struct config_check *check)
{
    const struct setting_list *paths = &check->config->tls[side].crl;

    revocation->policy = (enum revocation_policy)check->config->tls[side].revocation_policy;
    revocation->strength =
        check->config->tls[side].allow_weak_certificates ? STRENGTH_NOT_DEMANDED : STRENGTH_DEMANDED;
    if (paths->count > REVOCATION_PATHS_MAX) {
        config_wrong(check, TLS_FIELD(side, crl), "given more than %d times", REVOCATION_PATHS_MAX);
        return;
    }
    for (size_t i = 0; i < paths->count; i++)
        revocation->paths[revocation->count++] = paths->items[i].value;
}

static void server_name_set(struct options *options, const struct config_check *check)
{
    const struct config *config = check->config;
    struct fault fault;

    options->route.server_name = config->server_name;
    /* A CN can be any text. */
    if (config->server_name && !config->allow_cn_as_name &&
        !config_is_wrong(config, CONFIG_FIELD(allow_cn_as_name)) &&
        !server_name_check(config->server_name, &fault))
        config_wrong_value(check, CONFIG_FIELD(server_name), fault.text);
    if (config->server_name || config->ignore_server_name || config->tls[SIDE_UPSTREAM].insecure ||
        config_is_wrong(config, CONFIG_FIELD(ignore_server_name)) ||
        config_is_wrong(config, TLS_FIELD(SIDE_UPSTREAM, insecure)) ||
        config_is_given(config, TLS_FIELD(SIDE_UPSTREAM, spiffe_socket)))
        return;
    for (size_t i = 0; i < options->discovery.target_count; i++) {
        const struct discovery_target *target = &options->discovery.targets[i];
        if (target->address.is_unix && !target->server_name) {
            config_wrong(check, CONFIG_FIELD(server_name), "is required when the upstream is a Unix socket");
            return;
        }
    }
}

/* How the server of an upstream is recognised. */
static void server_set(struct options *options, const struct config_check *check)
{
    options_policy_set_servers(&options->server_policy, check);
    server_name_set(options, check);
}

static void credentials_set(struct options *options, enum side side, const struct config_check *check)
{
    const struct config *config = check->config;
    const struct config_tls *tls = &config->tls[side];
    bool is_server = side == SIDE_DOWNSTREAM;

    tls_check(side, check);
    options->credentials[side] = (struct credentials_options) {
        .role = is_server ? TLS_SERVER : TLS_CLIENT,
        .directory = tls->directory,
        .keystore = tls->keystore,
        .cert_file = tls->cert_file,
        .key_file = tls->key_file,
        .key_sessions = (unsigned)tls->key_sessions,
        .ca_file = tls->ca_file,
        .passphrase_env = tls->passphrase_env,
        .passphrase_file = tls->passphrase_file,
        .min_version = tls->min_version,
        .max_version = tls->max_version,
        .allow_cn_as_name = !is_server && config->allow_cn_as_name,
        .allow_weak = tls->allow_weak_certificates,
        .client_certificate = is_server ? config->client_certificate : CLIENT_CERTIFICATE_REQUIRE,
        .speaks_link = options->route.protocol == ROUTE_FORWARD &&
                       (is_server || options->route.upstream_link != ROUTE_LINK_OFF),
        .ignores_name = !is_server && config->ignore_server_name,
        .policy = is_server                    ? &options->policy
                  : config->allow_server.count ? &options->server_policy
                                               : NULL,
    };
    options_spiffe_set(&options->credentials[side].svid, side, check);
    revocation_set(&options->credentials[side].revocation, side, check);
    options_tls_set(&options->credentials[side], side, check);
}

/* The list at `field` admits or refuses peers by their certificates. */
static void plain_rule_refuse(const struct config_check *check, size_t field)
{
    const struct setting_list *list = (const void *)((const char *)check->config + field);

    config_wrong_item(check, field, &list->items[0], CONFIG_NONE,
                      "requires %s: agents without TLS have no certificate",
                      config_name(check->config, TLS_FIELD(SIDE_DOWNSTREAM, cert_file), 0).text);
}

static void options_set_credentials(struct options *options, const struct config_check *check)
{
    const struct config *config = check->config;

    for (enum side side = 0; side < SIDE_COUNT; side++)
        credentials_set(options, side, check);
    if (config_tls_use(config, SIDE_DOWNSTREAM) == CONFIG_TLS_ON)
        options_policy_set_peers(&options->policy, check);
    else if (config_tls_use(config, SIDE_DOWNSTREAM) == CONFIG_TLS_OFF &&
             (config->allow.count || config->deny.count))
        plain_rule_refuse(check, config->allow.count ? CONFIG_FIELD(allow) : CONFIG_FIELD(deny));
    if (config_tls_use(config, SIDE_UPSTREAM) == CONFIG_TLS_ON)
        server_set(options, check);
}

/* The share of one worker in a limit of the process. */
static unsigned share(uint64_t total, unsigned workers)
{
    return (unsigned)((total + workers - 1) / workers);
}

static void options_set_messages(struct route_options *route, const struct config *config, unsigned workers)
{
    route->scanner = (struct scanner_limits) {
        .tag_bytes = (uint32_t)config->max_tag_bytes,
        .message_bytes = config->max_message_bytes,
        .depth = (uint32_t)config->max_depth,
    };
    route->body = (struct body_options) {
        .compress = config->compress,
        .compress_min = config->compress_min_bytes,
        .strip_metadata = config->strip_metadata,
        .skip_invalid = config->invalid_events == CONFIG_INVALID_SKIP,
        .inflated_max = config->max_inflated_bytes,
    };
    route->retain_bytes = config->retain_bytes / workers;
    route->cut_through_bytes = config->cut_through_bytes;
    route->batch_bytes = config->batch_bytes;
    route->batch_delay_ms = config->delivery == ROUTE_PASSTHROUGH ? 0 : config->batch_delay_ms;
    route->unread_acks_bytes = config->unread_acks_bytes;
    route->unread_acks_timeout_ms = config->unread_acks_timeout_ms;
    route->message_timeout_ms = config->message_timeout_ms;
    route->ack_timeout_ms = config->ack_timeout_ms;
    route->delivery_timeout_ms = config->delivery_timeout_ms;
    route->max_age_ms = config->max_age_ms;
    route->max_attempts = (unsigned)config->max_attempts;
    route->max_ack_timeouts = (unsigned)config->max_ack_timeouts;
    route->on_no_acks = (enum route_on_no_acks)config->on_no_acks;
    route->no_acks_after = (unsigned)config->no_acks_after;
    route->on_refused = (enum route_on_refused)config->on_refused;
}

static void options_set_connections(struct route_options *route, const struct config *config,
                                    unsigned workers)
{
    route->max_upstream_connections = (unsigned)config->max_upstream_connections;
    route->max_exclusive_connections = (unsigned)config->max_exclusive_connections;
    route->upstream_link = config->upstream_link;
    route->max_senders = (unsigned)config->max_senders;
    route->max_connection_age_ms = config->max_connection_age_ms;
    route->max_downstream_age_ms = config->max_downstream_age_ms;
    route->dial_delay_ms = config->dial_delay_ms;
    route->connect_timeout_ms = config->connect_timeout_ms;
    route->handshake_timeout_ms = config->handshake_timeout_ms;
    route->confirm_timeout_ms = config->confirm_timeout_ms;
    route->silence_hint_ms = config->silence_hint_ms;
    route->idle_timeout_ms = config->idle_timeout_ms;
    route->half_close_timeout_ms = config->half_close_timeout_ms;
    route->linger_timeout_ms = config->linger_timeout_ms;
    route->drain_timeout_ms = config->drain_timeout_ms;
    route->eject_time_ms = config->eject_time_ms;
    route->eject_time_max_ms = config->eject_time_max_ms;
    route->dead_peer_ms = (unsigned)config->dead_peer_timeout_ms;
    route->buffer_bytes = config->buffer_bytes;
    route->max_connections = share(config->max_connections, workers);
    route->max_handshakes = share(config->max_handshakes, workers);
    route->handshake_memory_bytes = share(config->handshake_memory, workers);
    route->crowded_handshake_timeout_ms = config->crowded_handshake_timeout_ms;
    route->log_burst = (uint32_t)config->log_burst;
}

/* What the control thread needs. */
static void options_set_control(struct options *options, const struct config *config)
{
    bool has_tls = config_tls_use(config, SIDE_UPSTREAM) == CONFIG_TLS_ON;

    options->discovery.has_tls = has_tls;
    options->discovery.resolver = (struct resolver_options) {
        .hosts = has_tls && !config->server_name ? RESOLVER_KEEP_HOSTS : RESOLVER_DROP_HOSTS,
        .servers = config->dns_servers,
        .min_ttl_ms = (unsigned)config->dns_min_ttl_ms,
        .max_ttl_ms = (unsigned)config->dns_max_ttl_ms,
        .retry_min_ms = (unsigned)config->dns_retry_min_ms,
        .retry_max_ms = (unsigned)config->dns_retry_max_ms,
    };
    options->discovery.health = (struct health_options) {
        .interval_ms = config->health_interval_ms,
        .timeout_ms = config->connect_timeout_ms,
        .persistence = has_tls ? HEALTH_UNTIL_GOOD : HEALTH_ALWAYS,
    };
    options->heartbeats_per_second =
        config->protocol == ROUTE_FORWARD ? (uint32_t)config->udp_heartbeats_per_second : 0;
    options->heartbeats_per_source = (uint32_t)config->udp_heartbeats_per_source;
}

static void options_set_limits(struct options *options, const struct config *config, unsigned workers)
{
    struct route_options *route = &options->route;

    route->name = config->name;
    if (!route->name)
        route->name = config->mode == CONFIG_CLIENT ? "client" : "server";
    route->protocol = config->protocol;
    route->delivery = config->delivery;
    options_set_messages(route, config, workers);
    options_set_connections(route, config, workers);
    options_set_control(options, config);
    route->opens_first = config->protocol == ROUTE_FORWARD && options->discovery.has_tls &&
                         options->discovery.health.interval_ms;
    options->min_certificate_life = (int64_t)(config->min_certificate_life_ms / 1000);
    options->refuses_unhealthy = config->when_unhealthy == CONFIG_UNHEALTHY_REFUSE;
}

/* A setting that changes bodies: checks whether the other settings allow this. */
static void body_check(const struct config_check *check, size_t field)
{
    const struct config *config = check->config;

    if (config->protocol != ROUTE_FORWARD)
        config_wrong(check, field, "is for %s forward; tcp changes nothing",
                     config_name(config, CONFIG_FIELD(protocol), 0).text);
    else if (config->delivery == ROUTE_PASSTHROUGH)
        config_wrong(check, field, "cannot be combined with %s passthrough, which changes nothing",
                     config_name(config, CONFIG_FIELD(delivery), 0).text);
}

static void bodies_check(const struct config_check *check)
{
    const struct config *config = check->config;

    if (config_is_wrong(config, CONFIG_FIELD(protocol)) || config_is_wrong(config, CONFIG_FIELD(delivery)))
        return;
    if (config->compress)
        body_check(check, CONFIG_FIELD(compress));
    if (config->strip_metadata)
        body_check(check, CONFIG_FIELD(strip_metadata));
}

static void not_above_check(const struct config_check *check, size_t low, size_t high)
{
    const char *config = (const char *)check->config;

    if (*(const uint64_t *)(config + low) > *(const uint64_t *)(config + high) &&
        !config_is_wrong(check->config, high))
        config_wrong(check, low, "is above %s", config_name(check->config, high, 0).text);
}

static void name_check(const struct config_check *check)
{
    const char *name = check->config->name;
    struct fault fault;

    if (!name || (strlen(name) <= NAME_BYTES_MAX && !name[strspn(name, name_letters)]))
        return;
    fault_set(&fault, "\"%.80s\" is not a name: expected at most %d letters, digits, - _ and .", name,
              NAME_BYTES_MAX);
    config_wrong_value(check, CONFIG_FIELD(name), fault.text);
}

bool process_options_from_config(struct process_options *options, const struct config *config,
                                 struct mistakes *mistakes)
{
    const struct config_check check = { config, mistakes };
    size_t before = mistakes->count;
    char text[FAULT_TEXT_BYTES + sizeof ", or the word off"];
    struct fault fault;

    *options = (struct process_options) {
        .admin = { .max_connections = (unsigned)config->admin_max_connections,
                   .request_timeout_ms = (unsigned)config->admin_request_timeout_ms,
                   .has_quit = config->admin_quit },
        .has_admin = strcmp(config->admin, "off") != 0,
        .workers = config->workers ? (unsigned)config->workers : cpu_count(),
        .drain_timeout_ms = config->drain_timeout_ms,
        .drain_quiet_ms = config->drain_quiet_ms,
        .hot_restart_timeout_ms = config->hot_restart_timeout_ms,
        .reload_interval_ms = config->reload_interval_ms,
        .reload_settle_timeout_ms = config->reload_settle_timeout_ms,
        .reload_retry_max_ms = config->reload_retry_max_ms,
        .workload_api = { .answer_ms = config->spiffe_answer_timeout_ms,
                          .message_bytes = config->spiffe_max_answer_bytes,
                          .retry_max_ms = config->reload_retry_max_ms },
        .spiffe_timeout_ms = config->spiffe_timeout_ms,
        .token_timeout_ms = config->token_timeout_ms,
        .log_format = config->log_format,
        .log_level = config->log_level,
    };
    admin_hosts_set(&options->admin.hosts, &check);
    if (options->has_admin && !options_listen_parse(&options->admin.listen, config->admin, &fault)) {
        bool is_word = !strchr(config->admin, ':'); /* perhaps another word for off */
        snprintf(text, sizeof text, "%s%s", fault.text, is_word ? ", or the word off" : "");
        config_wrong_value(&check, CONFIG_FIELD(admin), text);
    }
    return mistakes->count == before;
}

bool options_from_config(struct options *options, const struct config *config, unsigned workers,
                         struct mistakes *mistakes)
{
    const struct config_check check = { config, mistakes };
    size_t before = mistakes->count;

    *options = (struct options) { 0 };
    name_check(&check);
    not_above_check(&check, CONFIG_FIELD(dns_min_ttl_ms), CONFIG_FIELD(dns_max_ttl_ms));
    not_above_check(&check, CONFIG_FIELD(dns_retry_min_ms), CONFIG_FIELD(dns_retry_max_ms));
    not_above_check(&check, CONFIG_FIELD(eject_time_ms), CONFIG_FIELD(eject_time_max_ms));
    bodies_check(&check);
    options_set_limits(options, config, workers);
    options_listen_set(&options->listen, &check);
    listen_check(&options->listen, &check);
    options_upstream_set(&options->discovery, &options->listen, &check);
    options_set_credentials(options, &check);
    options_keys_set(&options->keys, &check);
    options_policy_set_rules(&options->rules, &check);
    options_policy_set_fields(&options->route.identity_fields, &check);
    options->route.policy = options->rules.count ? &options->rules : NULL;
    return mistakes->count == before;
}

void options_deinit(struct options *options)
{
    options_listen_deinit(&options->listen);
    options_keys_deinit(&options->keys);
    options_upstream_deinit(&options->discovery);
    peer_policy_deinit(&options->policy);
    peer_policy_deinit(&options->server_policy);
    message_policy_deinit(&options->rules);
}
