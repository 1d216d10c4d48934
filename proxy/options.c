#include "options.h"

#include "options_listen.h"
#include "options_policy.h"
#include "options_upstream.h"
#include "trust/server_name.h"

#include <sched.h>
#include <string.h>

static unsigned cpu_count(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    unsigned count = (unsigned)CPU_COUNT(&set);
    return count < WORKER_GROUP_MAX ? count : WORKER_GROUP_MAX;
}

/* Whether the addresses go together with the other settings. */
static bool listen_check(const struct options *options, enum config_mode mode, const struct config *config,
                         struct fault *fault)
{
    for (unsigned i = 0; i < options->listen.count; i++) {
        const struct socket_address *address = &options->listen.addresses[i].address;
        const char *text = config->listen.items[i].value;
        if (mode == CONFIG_CLIENT && !config->unsafe_listen && !socket_address_is_local(address)) {
            fault_set(fault,
                      "--listen: other machines can reach %s, and husk accepts plaintext there: listen on "
                      "127.0.0.1, [::1] or unix:PATH, or set --unsafe-listen",
                      text);
            return false;
        }
        /* Refusing needs a port that can be bound again: a Unix path has none, and the kernel chooses another
         * port for port 0. */
        if (options->refuses_unhealthy && !socket_address_port(address)) {
            fault_set(fault, "--when-unhealthy: refuse requires a fixed TCP port, and %s has none", text);
            return false;
        }
    }
    return true;
}

static bool admin_hosts_set(struct http_host_names *hosts, const struct setting_list *names,
                            struct fault *fault)
{
    if (names->count > HTTP_HOST_NAMES_MAX) {
        fault_set(fault, "--admin-host: given more than %d times", HTTP_HOST_NAMES_MAX);
        return false;
    }
    for (size_t i = 0; i < names->count; i++) {
        if (!server_name_check(names->items[i].value, fault)) {
            fault_wrap(fault, "--admin-host");
            return false;
        }
        hosts->items[hosts->count++] = names->items[i].value;
    }
    return true;
}

static bool options_set_addresses(struct options *options, enum config_mode mode, const struct config *config,
                                  struct fault *fault)
{
    options->refuses_unhealthy = config->when_unhealthy == CONFIG_UNHEALTHY_REFUSE;
    return options_listen_set(&options->listen, &config->listen, fault) &&
           listen_check(options, mode, config, fault);
}

static bool options_set_credentials(struct options *options, enum config_mode mode,
                                    const struct config *config, struct fault *fault)
{
    enum side side = mode == CONFIG_CLIENT ? SIDE_UPSTREAM : SIDE_DOWNSTREAM;

    if (config->tls_min > config->tls_max) {
        fault_set(fault, "--tls-min: is above --tls-max");
        return false;
    }
    if (config->key_passphrase_env && config->key_passphrase_file) {
        fault_set(fault, "--key-passphrase-env: cannot be combined with --key-passphrase-file");
        return false;
    }
    options->credentials[side] = (struct credentials_options) {
        .role = mode == CONFIG_CLIENT ? TLS_CLIENT : TLS_SERVER,
        .cert_file = config->cert_file,
        .key_file = config->key_file,
        .ca_file = config->ca_file,
        .passphrase_env = config->key_passphrase_env,
        .passphrase_file = config->key_passphrase_file,
        .min_version = config->tls_min,
        .max_version = config->tls_max,
        .allow_cn_as_name = config->allow_cn_as_name,
        .allow_weak = config->allow_weak_certificates,
        .speaks_link = options->route.protocol == ROUTE_FORWARD &&
                       (mode == CONFIG_SERVER || options->route.upstream_link != ROUTE_LINK_OFF),
        .policy = mode == CONFIG_SERVER ? &options->policy : NULL,
    };
    if (mode == CONFIG_SERVER)
        return options_policy_set_peers(&options->policy, config, fault);
    options->route.server_name = config->server_name;
    /* A CN can be any text. */
    if (config->server_name && !config->allow_cn_as_name && !server_name_check(config->server_name, fault)) {
        fault_wrap(fault, "--server-name");
        return false;
    }
    for (size_t i = 0; !config->server_name && i < options->discovery.target_count; i++) {
        if (options->discovery.targets[i].address.is_unix) {
            fault_set(fault, "--server-name: is required when the upstream is a Unix socket");
            return false;
        }
    }
    return true;
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
static void options_set_control(struct options *options, enum config_mode mode, const struct config *config)
{
    options->discovery.resolver = (struct resolver_options) {
        .hosts = mode == CONFIG_CLIENT && !config->server_name ? RESOLVER_KEEP_HOSTS : RESOLVER_DROP_HOSTS,
        .servers = config->dns_servers,
        .min_ttl_ms = (unsigned)config->dns_min_ttl_ms,
        .max_ttl_ms = (unsigned)config->dns_max_ttl_ms,
        .retry_min_ms = (unsigned)config->dns_retry_min_ms,
        .retry_max_ms = (unsigned)config->dns_retry_max_ms,
    };
    options->discovery.health = (struct health_options) {
        .interval_ms = config->health_interval_ms,
        .timeout_ms = config->connect_timeout_ms,
        .persistence = mode == CONFIG_CLIENT ? HEALTH_UNTIL_GOOD : HEALTH_ALWAYS,
    };
    options->heartbeats_per_second =
        config->protocol == ROUTE_FORWARD ? (uint32_t)config->udp_heartbeats_per_second : 0;
    options->heartbeats_per_source = (uint32_t)config->udp_heartbeats_per_source;
}

static void options_set_limits(struct options *options, enum config_mode mode, const struct config *config,
                               unsigned workers)
{
    struct route_options *route = &options->route;

    route->name = mode == CONFIG_CLIENT ? "client" : "server";
    route->protocol = config->protocol;
    route->delivery = config->delivery;
    options_set_messages(route, config, workers);
    options_set_connections(route, config, workers);
    options_set_control(options, mode, config);
}

static bool options_set_rules(struct options *options, enum config_mode mode, const struct config *config,
                              struct fault *fault)
{
    if (!options_policy_set_rules(&options->rules, mode, config, fault))
        return false;
    options->route.policy = options->rules.count ? &options->rules : NULL;
    return true;
}

/* Whether the other settings allow changing bodies. */
static bool options_check_bodies(const struct options *options, struct fault *fault)
{
    const struct route_options *route = &options->route;
    const char *setting = route->body.compress         ? "compress"
                          : route->body.strip_metadata ? "strip-metadata"
                                                       : NULL;

    if (!setting)
        return true;
    if (route->protocol != ROUTE_FORWARD) {
        fault_set(fault, "--%s: is for --protocol forward; tcp changes nothing", setting);
        return false;
    }
    if (route->delivery == ROUTE_PASSTHROUGH) {
        fault_set(fault, "--%s: cannot be combined with --delivery passthrough, which changes nothing",
                  setting);
        return false;
    }
    return true;
}

bool process_options_from_config(struct process_options *options, const struct config *config,
                                 struct fault *fault)
{
    *options = (struct process_options) {
        .admin = { .max_connections = (unsigned)config->admin_max_connections,
                   .request_timeout_ms = (unsigned)config->admin_request_timeout_ms },
        .has_admin = strcmp(config->admin, "off") != 0,
        .workers = config->workers ? (unsigned)config->workers : cpu_count(),
        .drain_timeout_ms = config->drain_timeout_ms,
        .drain_quiet_ms = config->drain_quiet_ms,
        .reload_interval_ms = config->reload_interval_ms,
        .reload_retry_max_ms = config->reload_retry_max_ms,
        .log_format = config->log_format,
        .log_level = config->log_level,
    };
    if (!admin_hosts_set(&options->admin.hosts, &config->admin_hosts, fault))
        return false;
    if (!options->has_admin || options_listen_parse(&options->admin.listen, config->admin, fault))
        return true;
    fault_wrap(fault, "--admin");
    return false;
}

bool options_from_config(struct options *options, enum config_mode mode, const struct config *config,
                         unsigned workers, struct fault *fault)
{
    *options = (struct options) { 0 };
    if (config->dns_min_ttl_ms > config->dns_max_ttl_ms) {
        fault_set(fault, "--dns-min-ttl: is above --dns-max-ttl");
        return false;
    }
    if (config->dns_retry_min_ms > config->dns_retry_max_ms) {
        fault_set(fault, "--dns-retry-min: is above --dns-retry-max");
        return false;
    }
    if (config->eject_time_ms > config->eject_time_max_ms) {
        fault_set(fault, "--eject-time: is above --eject-time-max");
        return false;
    }
    options_set_limits(options, mode, config, workers);
    return options_check_bodies(options, fault) && options_set_addresses(options, mode, config, fault) &&
           options_upstream_set(&options->discovery, &config->upstream, fault) &&
           options_upstream_check_loop(&options->discovery, &options->listen, fault) &&
           options_set_credentials(options, mode, config, fault) &&
           options_keys_set(&options->keys, config, fault) && options_set_rules(options, mode, config, fault);
}

void options_deinit(struct options *options)
{
    options_keys_deinit(&options->keys);
    options_upstream_deinit(&options->discovery);
    peer_policy_deinit(&options->policy);
    message_policy_deinit(&options->rules);
}
