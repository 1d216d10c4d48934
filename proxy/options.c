#include "options.h"

#include <sched.h>
#include <string.h>

static unsigned cpu_count(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    unsigned count = (unsigned)CPU_COUNT(&set);
    return count < WORKERS_MAX ? count : WORKERS_MAX;
}

static bool listen_address(struct socket_address *to, const char *setting, const char *text,
                           struct fault *fault)
{
    struct address address;

    if (!address_parse(&address, text, fault)) {
        fault_wrap(fault, "--%s", setting);
        return false;
    }
    if (!address_to_socket(&address, to)) {
        fault_set(fault, "--%s: \"%s\" is not an IP address, localhost or unix:PATH", setting, address.host);
        return false;
    }
    return true;
}

static bool options_set_addresses(struct options *options, enum config_mode mode, const struct config *config,
                                  struct fault *fault)
{
    if (!listen_address(&options->listen, "listen", config->listen, fault))
        return false;
    if (mode == CONFIG_CLIENT && !config->unsafe_listen && !socket_address_is_local(&options->listen)) {
        fault_set(fault,
                  "--listen: %s can be reached from other machines, and what is accepted there is plaintext: "
                  "listen "
                  "on 127.0.0.1, [::1] or unix:PATH, or say --unsafe-listen",
                  config->listen);
        return false;
    }
    if (!address_parse(&options->upstream.address, config->upstream, fault)) {
        fault_wrap(fault, "--upstream");
        return false;
    }
    if (!options->upstream.address.is_unix && options->upstream.address.port == 0) {
        fault_set(fault, "--upstream: port 0 cannot be dialled");
        return false;
    }
    if (strcmp(options->upstream.address.host, "::") == 0) {
        fault_set(fault, "--upstream: \"%s\" names no host", config->upstream);
        return false;
    }
    options->has_admin = strcmp(config->admin, "off") != 0;
    return !options->has_admin || listen_address(&options->admin.listen, "admin", config->admin, fault);
}

static bool options_set_policy(struct options *options, const struct config *config, struct fault *fault)
{
    static const char *const names[] = {
        [PEER_RULE_ANY] = "allow-any", [PEER_RULE_CN] = "allow-cn", [PEER_RULE_DNS] = "allow-dns",
        [PEER_RULE_URI] = "allow-uri", [PEER_RULE_OU] = "allow-ou", [PEER_RULE_SPKI] = "allow-spki",
    };

    if (!config->allow.count) {
        fault_set(fault,
                  "nobody is allowed to connect: say who may, by --allow-cn, --allow-dns, --allow-uri, "
                  "--allow-ou or --allow-spki, or --allow-any for every certificate of the CA");
        return false;
    }
    for (size_t i = 0; i < config->allow.count; i++) {
        const struct setting_item *item = &config->allow.items[i];
        if (!peer_policy_add(&options->policy, item->kind, item->value, fault)) {
            fault_wrap(fault, "--%s", names[item->kind]);
            return false;
        }
    }
    return true;
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
        fault_set(fault, "--key-passphrase-env: cannot be said together with --key-passphrase-file");
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
        .policy = mode == CONFIG_SERVER ? &options->policy : NULL,
    };
    if (mode == CONFIG_SERVER)
        return options_set_policy(options, config, fault);
    options->route.server_name = config->server_name ? config->server_name : options->upstream.address.host;
    if (!config->server_name && options->upstream.address.is_unix) {
        fault_set(fault, "--server-name: is required when the upstream is a Unix socket");
        return false;
    }
    return true;
}

/* Limits of the process are shared out among the workers. */
static unsigned share(uint64_t total, unsigned workers)
{
    return (unsigned)((total + workers - 1) / workers);
}

static void options_set_limits(struct options *options, enum config_mode mode, const struct config *config)
{
    struct route_options *route = &options->route;

    options->workers = config->workers ? (unsigned)config->workers : cpu_count();
    route->name = mode == CONFIG_CLIENT ? "client" : "server";
    route->protocol = config->protocol;
    route->delivery = config->delivery;
    route->scanner = (struct scanner_limits) {
        .tag_bytes = (uint32_t)config->max_tag_bytes,
        .message_bytes = config->max_message_bytes,
        .depth = (uint32_t)config->max_depth,
    };
    route->retain_bytes = config->retain_bytes / options->workers;
    route->ack_timeout_ms = config->ack_timeout_ms;
    route->delivery_timeout_ms = config->delivery_timeout_ms;
    route->max_carriers = (unsigned)config->max_outlets;
    route->dial_delay_ms = config->dial_delay_ms;
    route->connect_timeout_ms = config->connect_timeout_ms;
    route->handshake_timeout_ms = config->handshake_timeout_ms;
    route->confirm_timeout_ms = config->confirm_timeout_ms;
    route->idle_timeout_ms = config->idle_timeout_ms;
    route->half_close_timeout_ms = config->half_close_timeout_ms;
    route->linger_timeout_ms = config->linger_timeout_ms;
    route->endpoint_rest_ms = config->endpoint_rest_ms;
    route->dead_peer_ms = (unsigned)config->dead_peer_timeout_ms;
    route->buffer_bytes = config->buffer_bytes;
    route->max_connections = share(config->max_connections, options->workers);
    route->max_handshakes = share(config->max_handshakes, options->workers);
    route->log_burst = (uint32_t)config->log_burst;
    options->upstream.resolver = (struct resolver_options) {
        .servers = config->dns_servers,
        .min_ttl_ms = (unsigned)config->dns_min_ttl_ms,
        .max_ttl_ms = (unsigned)config->dns_max_ttl_ms,
        .retry_min_ms = (unsigned)config->dns_retry_min_ms,
        .retry_max_ms = (unsigned)config->dns_retry_max_ms,
    };
    options->admin.max_connections = (unsigned)config->admin_max_connections;
    options->admin.request_timeout_ms = (unsigned)config->admin_request_timeout_ms;
    options->upstream.health = (struct health_options) {
        .interval_ms = config->health_interval_ms,
        .timeout_ms = config->connect_timeout_ms,
        .persistence = mode == CONFIG_CLIENT ? HEALTH_UNTIL_GOOD : HEALTH_ALWAYS,
    };
    options->drain_timeout_ms = config->drain_timeout_ms;
    options->drain_quiet_ms = config->drain_quiet_ms;
    options->reload_interval_ms = config->reload_interval_ms;
    options->log_format = config->log_format;
    options->log_level = config->log_level;
}

bool options_from_config(struct options *options, enum config_mode mode, const struct config *config,
                         struct fault *fault)
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
    options_set_limits(options, mode, config);
    return options_set_addresses(options, mode, config, fault) &&
           options_set_credentials(options, mode, config, fault);
}

void options_deinit(struct options *options)
{
    peer_policy_deinit(&options->policy);
}
