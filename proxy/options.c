#include "options.h"

#include "trust/digest.h"
#include "trust/passphrase.h"

#include <assert.h>
#include <sched.h>
#include <stdlib.h>
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
    /* A Unix path cannot be refused without being lost, nor a port without number be found again. */
    options->refuses_unhealthy = config->when_unhealthy == CONFIG_UNHEALTHY_REFUSE;
    if (options->refuses_unhealthy && !socket_address_port(&options->listen)) {
        fault_set(fault, "--when-unhealthy: refuse needs a port of its own to listen on, and %s has none",
                  config->listen);
        return false;
    }
    options->has_admin = strcmp(config->admin, "off") != 0;
    return !options->has_admin || listen_address(&options->admin.listen, "admin", config->admin, fault);
}

/* ---- upstreams ---- */

/* One word behind an address. */
static bool place_set(struct discovery_target *place, const char *word, const char *text, struct fault *fault)
{
    static const char weight[] = "weight=";
    char *end;

    if (strcmp(word, "standby") == 0) {
        place->is_standby = true;
        return true;
    }
    if (strncmp(word, weight, sizeof weight - 1) != 0) {
        fault_set(fault, "\"%.160s\": \"%.80s\" is neither weight=N nor standby", text, word);
        return false;
    }
    const char *digits = word + sizeof weight - 1;
    unsigned long value = strtoul(digits, &end, 10);
    if (*digits < '0' || *digits > '9' || *end || value < 1 || value > DISCOVERY_WEIGHT_MAX) {
        fault_set(fault, "\"%.160s\": weight \"%.80s\" is not 1 to %d", text, digits, DISCOVERY_WEIGHT_MAX);
        return false;
    }
    place->weight = (unsigned)value;
    return true;
}

static bool place_check(const struct discovery_target *place, const char *text, struct fault *fault)
{
    const struct address *address = &place->address;

    if (!address->is_unix && !address->is_srv && address->port == 0) {
        fault_set(fault, "\"%s\": port 0 cannot be dialled", text);
        return false;
    }
    if (strcmp(address->host, "::") == 0) {
        fault_set(fault, "\"%s\" names no host", text);
        return false;
    }
    return true;
}

/* ADDR[,weight=N][,standby]. A Unix path may have commas of its own. */
static bool place_parse(struct discovery_target *place, const char *text, struct fault *fault)
{
    char *address = strdup(text), *comma;
    bool ok = address;

    *place = (struct discovery_target) { .weight = 1 };
    if (!address)
        fault_set(fault, "out of memory");
    while (ok && (comma = strrchr(address, ','))) {
        bool is_word = strcmp(comma + 1, "standby") == 0 || strncmp(comma + 1, "weight=", 7) == 0;
        if (!is_word && strncmp(address, "unix:", 5) == 0)
            break;
        ok = place_set(place, comma + 1, text, fault);
        *comma = '\0';
    }
    ok = ok && address_parse_upstream(&place->address, address, fault) && place_check(place, address, fault);
    free(address);
    return ok;
}

static bool address_is_same(const struct address *a, const struct address *b)
{
    return a->is_unix == b->is_unix && a->is_srv == b->is_srv && a->port == b->port &&
           strcmp(a->host, b->host) == 0;
}

static bool options_set_upstreams(struct options *options, const struct config *config, struct fault *fault)
{
    struct discovery_target *places = calloc(config->upstream.count, sizeof *places);

    options->upstream.places = places;
    options->upstream.place_count = config->upstream.count;
    if (!places || config->upstream.count > DISCOVERY_TARGETS_MAX) {
        if (!places)
            fault_set(fault, "out of memory");
        else
            fault_set(fault, "--upstream: said more than %d times", DISCOVERY_TARGETS_MAX);
        return false;
    }
    for (size_t i = 0; i < config->upstream.count; i++) {
        const char *text = config->upstream.items[i].value;
        if (!place_parse(&places[i], text, fault)) {
            fault_wrap(fault, "--upstream");
            return false;
        }
        for (size_t k = 0; k < i; k++) {
            if (address_is_same(&places[k].address, &places[i].address)) {
                fault_set(fault, "--upstream: \"%s\": this address has been said before", text);
                return false;
            }
        }
    }
    return true;
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
    options->route.server_name = config->server_name;
    for (size_t i = 0; !config->server_name && i < options->upstream.place_count; i++) {
        if (options->upstream.places[i].address.is_unix) {
            fault_set(fault, "--server-name: is required when the upstream is a Unix socket");
            return false;
        }
    }
    return true;
}

/* ---- shared keys ---- */

static void on_sha512(const struct handshake_piece *pieces, size_t count,
                      uint8_t digest[HANDSHAKE_DIGEST_BYTES])
{
    struct iovec vectors[8];

    assert(count <= sizeof vectors / sizeof vectors[0]);
    for (size_t i = 0; i < count; i++)
        vectors[i] = (struct iovec) { (void *)(uintptr_t)pieces[i].bytes, pieces[i].length };
    digest_sha512(vectors, count, digest);
}

/* A secret from a variable or a file, as a string the caller owns; NULL and a fault when there is none to be
 * had. */
static char *secret_load(const char *setting, const char *env, const char *file, struct fault *fault)
{
    struct passphrase secret;
    char *text = NULL;

    if (passphrase_load(&secret, env, file, fault)) {
        text = strndup(secret.bytes, secret.length);
        if (!text)
            fault_set(fault, "out of memory");
    }
    passphrase_wipe(&secret);
    if (!text)
        fault_wrap(fault, "--%s", setting);
    return text;
}

static void secret_free(const char *secret)
{
    char *text = (char *)(uintptr_t)secret;

    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

static bool options_set_users(struct options *options, const struct config *config, struct fault *fault)
{
    struct handshake_options *key = &options->key[SIDE_DOWNSTREAM];

    options->users = calloc(config->accept_users.count + 1, sizeof *options->users);
    if (!options->users) {
        fault_set(fault, "out of memory");
        return false;
    }
    key->users = options->users;
    for (size_t i = 0; i < config->accept_users.count; i++) {
        const char *text = config->accept_users.items[i].value, *equals = strchr(text, '=');
        struct handshake_user *user = &options->users[i];
        if (!equals || equals == text || (size_t)(equals - text) > HANDSHAKE_NAME_BYTES_MAX) {
            fault_set(fault, "--accept-user: \"%s\" is not NAME=VAR", text);
            return false;
        }
        key->user_count++;
        user->name = strndup(text, (size_t)(equals - text));
        user->password = secret_load("accept-user", equals + 1, NULL, fault);
        if (!user->password)
            return false;
    }
    return true;
}

static bool options_set_keys(struct options *options, const struct config *config, struct fault *fault)
{
    bool dials = config->shared_key_env || config->shared_key_file;
    bool accepts = config->accept_key_env || config->accept_key_file;

    if (!dials && (config->username || config->password_env)) {
        fault_set(fault, "--%s: goes with --shared-key-env or --shared-key-file",
                  config->username ? "username" : "password-env");
        return false;
    }
    if (!config->username != !config->password_env) {
        fault_set(fault, "--username: and --password-env go together");
        return false;
    }
    if (!accepts && config->accept_users.count) {
        fault_set(fault, "--accept-user: goes with --accept-key-env or --accept-key-file");
        return false;
    }
    if ((dials || accepts) && options->route.protocol != ROUTE_FORWARD) {
        fault_set(fault, "--%s: is for --protocol forward; tcp passes the handshake through",
                  dials ? "shared-key-env" : "accept-key-env");
        return false;
    }
    if (strlen(config->self_hostname) > HANDSHAKE_NAME_BYTES_MAX ||
        (config->username && strlen(config->username) > HANDSHAKE_NAME_BYTES_MAX)) {
        fault_set(fault, "--self-hostname, --username: longer than %d bytes", HANDSHAKE_NAME_BYTES_MAX);
        return false;
    }
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        struct handshake_options *key = &options->key[side];
        bool is_dialled = side == SIDE_UPSTREAM;
        if (!(is_dialled ? dials : accepts))
            continue;
        key->hostname = config->self_hostname;
        key->sha512 = on_sha512;
        key->shared_key =
            is_dialled ? secret_load("shared-key", config->shared_key_env, config->shared_key_file, fault)
                       : secret_load("accept-key", config->accept_key_env, config->accept_key_file, fault);
        if (!key->shared_key)
            return false;
        options->route.key[side] = key;
    }
    options->key[SIDE_UPSTREAM].username = config->username;
    if (config->password_env) {
        options->key[SIDE_UPSTREAM].password = secret_load("password-env", config->password_env, NULL, fault);
        if (!options->key[SIDE_UPSTREAM].password)
            return false;
    }
    return options_set_users(options, config, fault);
}

/* ---- who may write what ---- */

static bool rule_set_who(struct message_rule *rule, const struct config_rule *config, struct fault *fault)
{
    if (!config->who.count) {
        fault_set(fault, "says nobody: any, cn=, dns=, uri=, ou= or spki=");
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

/* Where agents have no certificate, a rule that asks for one would never be right. */
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

static bool rule_add(struct options *options, enum config_mode mode, const char *text, struct fault *fault)
{
    struct message_rule *rule = message_policy_add(&options->rules, text);
    struct config_rule config = { 0 };
    char *words = strdup(text);
    size_t count;
    const struct setting *table = config_rule_settings(&count);

    fault_set(fault, "out of memory");
    bool is_good = rule && words && settings_parse_text(table, count, &config, words, fault) &&
                   rule_set(rule, &config, fault) && (mode == CONFIG_SERVER || rule_check_plain(rule, fault));
    settings_free(table, count, &config);
    free(words);
    return is_good;
}

static bool options_set_rules(struct options *options, enum config_mode mode, const struct config *config,
                              struct fault *fault)
{
    if (config->rules.count && config->protocol != ROUTE_FORWARD) {
        fault_set(fault, "--rule: is for --protocol forward; tcp does not know messages");
        return false;
    }
    for (size_t i = 0; i < config->rules.count; i++) {
        const char *text = config->rules.items[i].value;
        if (!rule_add(options, mode, text, fault)) {
            fault_wrap(fault, "--rule \"%s\"", text);
            return false;
        }
        uint64_t bytes = options->rules.rules[i].message_bytes;
        if (bytes > config->max_message_bytes) {
            fault_set(fault, "--rule \"%s\": max-message: is above --max-message", text);
            return false;
        }
    }
    options->route.policy = options->rules.count ? &options->rules : NULL;
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
    route->body = (struct body_options) {
        .compress = config->compress,
        .compress_min = config->compress_min_bytes,
        .strip_metadata = config->strip_metadata,
        .inflated_max = config->max_inflated_bytes,
    };
    route->retain_bytes = config->retain_bytes / options->workers;
    route->cut_through_bytes = config->cut_through_bytes;
    route->batch_bytes = config->batch_bytes;
    route->message_timeout_ms = config->message_timeout_ms;
    route->ack_timeout_ms = config->ack_timeout_ms;
    route->delivery_timeout_ms = config->delivery_timeout_ms;
    route->max_upstream_connections = (unsigned)config->max_upstream_connections;
    route->max_connection_age_ms = config->max_connection_age_ms;
    route->max_exclusive_connections = (unsigned)config->max_exclusive_connections;
    route->max_attempts = (unsigned)config->max_attempts;
    route->max_ack_timeouts = (unsigned)config->max_ack_timeouts;
    route->dial_delay_ms = config->dial_delay_ms;
    route->connect_timeout_ms = config->connect_timeout_ms;
    route->handshake_timeout_ms = config->handshake_timeout_ms;
    route->confirm_timeout_ms = config->confirm_timeout_ms;
    route->silence_hint_ms = config->silence_hint_ms;
    route->idle_timeout_ms = config->idle_timeout_ms;
    route->half_close_timeout_ms = config->half_close_timeout_ms;
    route->linger_timeout_ms = config->linger_timeout_ms;
    route->eject_time_ms = config->eject_time_ms;
    route->eject_time_max_ms = config->eject_time_max_ms;
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
    options->heartbeats_per_second =
        config->protocol == ROUTE_FORWARD ? (uint32_t)config->udp_heartbeats_per_second : 0;
    options->drain_timeout_ms = config->drain_timeout_ms;
    options->drain_quiet_ms = config->drain_quiet_ms;
    options->reload_interval_ms = config->reload_interval_ms;
    options->log_format = config->log_format;
    options->log_level = config->log_level;
}

/* What changes bodies has to go with what is asked otherwise. */
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
        fault_set(fault, "--%s: cannot be said together with --delivery passthrough, which changes nothing",
                  setting);
        return false;
    }
    return true;
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
    if (config->eject_time_ms > config->eject_time_max_ms) {
        fault_set(fault, "--eject-time: is above --eject-time-max");
        return false;
    }
    options_set_limits(options, mode, config);
    return options_check_bodies(options, fault) && options_set_addresses(options, mode, config, fault) &&
           options_set_upstreams(options, config, fault) &&
           options_set_credentials(options, mode, config, fault) &&
           options_set_keys(options, config, fault) && options_set_rules(options, mode, config, fault);
}

void options_deinit(struct options *options)
{
    for (size_t i = 0; i < options->key[SIDE_DOWNSTREAM].user_count; i++) {
        free((char *)(uintptr_t)options->users[i].name);
        secret_free(options->users[i].password);
    }
    free(options->users);
    free((struct discovery_target *)(uintptr_t)options->upstream.places);
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        secret_free(options->key[side].shared_key);
        secret_free(options->key[side].password);
    }
    peer_policy_deinit(&options->policy);
    message_policy_deinit(&options->rules);
}
