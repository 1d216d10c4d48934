/* The one table of settings. A new setting is a field of struct config and a row here. */
#include "config/config.h"

#include "trust/peer_policy.h"

static const char *const protocols[] = { "tcp", "forward", NULL };
static const char *const deliveries[] = { "at-least-once", "passthrough", NULL };
static const char *const unhealthy_answers[] = { "accept", "refuse", NULL };
static const char *const compressions[] = { "off", "gzip", "zstd", NULL };
static const char *const tls_versions[] = { "1.2", "1.3", NULL };
static const char *const log_formats[] = { "text", "json", NULL };
static const char *const log_levels[] = { "debug", "info", "warn", "error", NULL };

#define ROW(setting_name, setting_type, field)                                                               \
    .name = setting_name, .type = setting_type, .offset = offsetof(struct config, field)
#define MINUTE UINT64_C(60000)
#define HOUR   (60 * MINUTE)
#define KIB    UINT64_C(1024)
#define MIB    (1024 * KIB)

/* clang-format off: one setting, one paragraph. */
/* Client settings first, server settings last, what both have between them: each mode is one slice. */
static const struct setting settings[] = {
    { ROW("server-name", SETTING_TEXT, server_name), .value_name = "NAME",
      .help = "name or IP address every upstream's certificate must carry, and SNI; default: each one's own "
              "host, "
              "for srv+NAME the target that DNS tells: trust DNS then, or say the name here" },
    { ROW("allow-cn-as-name", SETTING_FLAG, allow_cn_as_name),
      .help = "match the name with the CN where a server certificate has no subjectAltName" },
    { ROW("unsafe-listen", SETTING_FLAG, unsafe_listen),
      .help = "listen on an address that other machines can reach, in plaintext" },
#define CLIENT_ONLY 3

    { ROW("listen", SETTING_TEXT, listen), .value_name = "ADDR", .required = true,
      .help = "where connections are accepted: host:port, [v6]:port or unix:PATH; port 0: any free one" },
    { ROW("upstream", SETTING_LIST, upstream), .value_name = "ADDR[,weight=N][,standby]", .required = true,
      .help = "where they are carried to: host:port, [v6]:port, unix:PATH or srv+NAME (SRV records); each "
              "address gets its share by weight, 1 to 1000; a standby is used when no other works" },
    { ROW("protocol", SETTING_CHOICE, protocol), .fallback = "forward", .choices = protocols,
      .help = "forward: messages of many agents over few upstream connections; tcp: anything, byte for byte, "
              "one upstream connection for each accepted one" },
    { ROW("delivery", SETTING_CHOICE, delivery), .fallback = "at-least-once", .choices = deliveries,
      .help = "forward: at-least-once asks for acks and sends again; passthrough changes and keeps nothing" },
    { ROW("retain-bytes", SETTING_BYTES, retain_bytes), .fallback = "16MiB", .min = 64 * KIB,
      .max = 16384 * MIB, .value_name = "SIZE",
      .help = "forward: memory for messages until they are acknowledged; when it is full agents are not "
              "read" },
    { ROW("cut-through-bytes", SETTING_BYTES, cut_through_bytes), .fallback = "4MiB", .min = 4 * KIB,
      .max = 4096 * MIB - 1, .value_name = "SIZE",
      .help = "forward: a longer message goes upstream while it is read, on a connection of its own" },
    { ROW("batch-bytes", SETTING_BYTES, batch_bytes), .fallback = "64KiB", .max = 16 * MIB,
      .zero_word = "off", .value_name = "SIZE",
      .help = "forward: messages without acks of their own that come together share one; off: none do" },
    { ROW("message-timeout", SETTING_DURATION, message_timeout_ms), .fallback = "60s", .min = 10, .max = HOUR,
      .zero_word = "off", .value_name = "D",
      .help = "forward: for an agent that has stopped in the middle of a message to go on" },
    { ROW("ack-timeout", SETTING_DURATION, ack_timeout_ms), .fallback = "60s", .min = 10, .max = HOUR,
      .value_name = "D",
      .help = "forward: for an ack, before the connection is given up and messages sent again" },
    { ROW("delivery-timeout", SETTING_DURATION, delivery_timeout_ms), .fallback = "2m", .min = 10,
      .max = 24 * HOUR, .value_name = "D",
      .help = "forward: an agent that waits for an ack is reset after so long without an upstream" },
    { ROW("max-upstream-connections", SETTING_COUNT, max_upstream_connections), .fallback = "2", .min = 1,
      .max = 64, .value_name = "N", .help = "forward: connections per worker and upstream address" },
    { ROW("max-connection-age", SETTING_DURATION, max_connection_age_ms), .fallback = "10m", .min = 100,
      .max = 168 * HOUR, .zero_word = "off", .value_name = "D",
      .help = "forward: upstream connections are made anew after about so long, between two messages" },
    { ROW("max-exclusive-connections", SETTING_COUNT, max_exclusive_connections), .fallback = "4", .min = 1,
      .max = 64, .value_name = "N",
      .help =
          "forward: further ones for what has one alone: messages beyond --cut-through-bytes, and those at "
          "which one has ended" },
    { ROW("max-attempts", SETTING_COUNT, max_attempts), .fallback = "20", .min = 1, .max = 1000000,
      .zero_word = "off", .value_name = "N",
      .help = "forward: connections that may break at the same message before it is dropped; off: no limit" },
    { ROW("max-ack-timeouts", SETTING_COUNT, max_ack_timeouts), .fallback = "5", .min = 1, .max = 1000000,
      .value_name = "N", .help = "forward: ack timeouts of the same message before it is dropped" },
    { ROW("max-message", SETTING_BYTES, max_message_bytes), .fallback = "256MiB", .min = KIB,
      .max = 4096 * MIB - 1, .value_name = "SIZE", .help = "forward: longest message" },
    { ROW("max-tag", SETTING_BYTES, max_tag_bytes), .fallback = "1KiB", .min = 1, .max = 64 * KIB,
      .value_name = "SIZE", .help = "forward: longest tag" },
    { ROW("max-depth", SETTING_COUNT, max_depth), .fallback = "64", .min = 1, .max = 128, .value_name = "N",
      .help = "forward: deepest nesting of records and options" },
    { ROW("compress", SETTING_CHOICE, compress), .fallback = "off", .choices = compressions,
      .help = "forward: compresses bodies that are not; zstd needs Fluentd 1.19" },
    { ROW("compress-min", SETTING_BYTES, compress_min_bytes), .fallback = "1KiB", .min = 64,
      .max = 1024 * MIB, .value_name = "SIZE", .help = "forward: shorter bodies are not compressed" },
    { ROW("strip-metadata", SETTING_FLAG, strip_metadata),
      .help = "forward: takes out the metadata Fluent Bit 5 writes into entries, which older Fluentd cannot "
              "read" },
    { ROW("max-inflated", SETTING_BYTES, max_inflated_bytes), .fallback = "32MiB", .min = KIB,
      .max = 4096 * MIB - 1, .value_name = "SIZE",
      .help = "forward: compressed bodies that are longer inside are not looked into" },

    { ROW("rule", SETTING_LIST, rules), .value_name = "RULE",
      .help = "forward: who may write what, the first rule that matches: any|cn=|dns=|uri=|ou=|spki= "
              "[tags=] [tag-prefix=] [bytes-per-second=] [messages-per-second=] [burst=] [max-message=]" },

    { ROW("shared-key-env", SETTING_TEXT, shared_key_env), .value_name = "VAR",
      .help = "forward: variable with the shared key the aggregator asks for; husk speaks its handshake" },
    { ROW("shared-key-file", SETTING_TEXT, shared_key_file), .value_name = "FILE",
      .help = "or the file whose first line it is" },
    { ROW("username", SETTING_TEXT, username), .value_name = "NAME",
      .help = "forward: user the aggregator asks for, with --password-env" },
    { ROW("password-env", SETTING_TEXT, password_env), .value_name = "VAR",
      .help = "variable with that user's password" },
    { ROW("accept-key-env", SETTING_TEXT, accept_key_env), .value_name = "VAR",
      .help = "forward: variable with the shared key that agents must know; husk asks for it" },
    { ROW("accept-key-file", SETTING_TEXT, accept_key_file), .value_name = "FILE",
      .help = "or the file whose first line it is" },
    { ROW("accept-user", SETTING_LIST, accept_users), .value_name = "NAME=VAR",
      .help = "forward: a user that agents may be, and the variable with the password" },
    { ROW("silence-hint", SETTING_DURATION, silence_hint_ms), .fallback = "10s", .min = 10, .max = HOUR,
      .zero_word = "off", .value_name = "D",
      .help =
          "forward: an agent that says nothing for so long may be waiting for a shared-key handshake; told "
          "once" },
    { ROW("self-hostname", SETTING_TEXT, self_hostname), .fallback = "husk", .value_name = "NAME",
      .help =
          "forward: what husk calls itself in the shared-key handshake; must differ from the peer's name" },

    { ROW("cert", SETTING_TEXT, cert_file), .value_name = "FILE", .required = true,
      .help = "own certificate, PEM, followed by its intermediates" },
    { ROW("key", SETTING_TEXT, key_file), .value_name = "FILE", .required = true,
      .help = "its private key, PEM, encrypted or not" },
    { ROW("ca", SETTING_TEXT, ca_file), .value_name = "FILE", .required = true,
      .help = "the CAs whose certificates peers must present, PEM" },
    { ROW("key-passphrase-env", SETTING_TEXT, key_passphrase_env), .value_name = "VAR",
      .help = "environment variable that holds the key's passphrase" },
    { ROW("key-passphrase-file", SETTING_TEXT, key_passphrase_file), .value_name = "FILE",
      .help = "file whose first line is the key's passphrase" },
    { ROW("tls-min", SETTING_CHOICE, tls_min), .fallback = "1.2", .choices = tls_versions,
      .help = "oldest TLS version spoken" },
    { ROW("tls-max", SETTING_CHOICE, tls_max), .fallback = "1.3", .choices = tls_versions,
      .help = "newest TLS version spoken" },

    { ROW("workers", SETTING_COUNT, workers), .fallback = "1", .min = 1, .max = 64, .zero_word = "auto",
      .value_name = "N", .help = "worker threads, 1 to 64; auto: one per CPU" },
    { ROW("max-connections", SETTING_COUNT, max_connections), .fallback = "10000", .min = 1, .max = 1000000,
      .value_name = "N", .help = "connections accepted at a time; further ones wait in the kernel's queue" },
    { ROW("max-handshakes", SETTING_COUNT, max_handshakes), .fallback = "1024", .min = 1, .max = 100000,
      .value_name = "N",
      .help = "TLS handshakes with peers under way at a time; further peers wait likewise" },
    { ROW("buffer-bytes", SETTING_BYTES, buffer_bytes), .fallback = "256KiB", .min = 64 * KIB,
      .max = 16 * MIB, .value_name = "SIZE",
      .help = "bytes kept per connection and direction while the other side is slow" },

    { ROW("dial-delay", SETTING_DURATION, dial_delay_ms), .fallback = "20ms", .max = MINUTE,
      .value_name = "D",
      .help =
          "tcp: how long a silent peer is waited for before the upstream is dialled for it; probes cost no "
          "dial" },
    { ROW("connect-timeout", SETTING_DURATION, connect_timeout_ms), .fallback = "5s", .min = 10,
      .max = 5 * MINUTE, .value_name = "D",
      .help = "for connecting to one upstream address, and for its name to resolve" },
    { ROW("handshake-timeout", SETTING_DURATION, handshake_timeout_ms), .fallback = "10s", .min = 10,
      .max = 5 * MINUTE, .value_name = "D", .help = "for a whole TLS handshake" },
    { ROW("confirm-timeout", SETTING_DURATION, confirm_timeout_ms), .fallback = "1s", .max = MINUTE,
      .value_name = "D", .help = "for a TLS 1.3 server's first sign that it accepted our certificate" },
    { ROW("idle-timeout", SETTING_DURATION, idle_timeout_ms), .fallback = "off", .min = 10, .max = 168 * HOUR,
      .zero_word = "off", .value_name = "D", .help = "ends connections on which nothing moves for so long" },
    { ROW("half-close-timeout", SETTING_DURATION, half_close_timeout_ms), .fallback = "5m", .min = 10,
      .max = 168 * HOUR, .zero_word = "off", .value_name = "D",
      .help = "tcp: the same once one direction has ended" },
    { ROW("linger-timeout", SETTING_DURATION, linger_timeout_ms), .fallback = "2s", .min = 10, .max = MINUTE,
      .value_name = "D", .help = "tcp: for last words to be delivered on a connection that ends" },
    { ROW("dead-peer-timeout", SETTING_DURATION, dead_peer_timeout_ms), .fallback = "2m", .min = 1000,
      .max = HOUR, .zero_word = "off", .value_name = "D",
      .help = "gives up peers that do not answer at all, however silent they are otherwise" },
    { ROW("eject-time", SETTING_DURATION, eject_time_ms), .fallback = "10s", .max = HOUR, .value_name = "D",
      .help = "an upstream address that failed is tried last for so long; doubles with each failure" },
    { ROW("eject-time-max", SETTING_DURATION, eject_time_max_ms), .fallback = "2m", .max = HOUR,
      .value_name = "D", .help = "longest time for which it is" },
    { ROW("health-interval", SETTING_DURATION, health_interval_ms), .fallback = "10s", .min = 50, .max = HOUR,
      .zero_word = "off", .value_name = "D",
      .help = "how often readiness probes the upstream by a bare connect" },
    { ROW("when-unhealthy", SETTING_CHOICE, when_unhealthy), .fallback = "accept",
      .choices = unhealthy_answers,
      .help = "new connections while the upstream is known to fail: accept holds what agents send; refuse "
              "sends them elsewhere" },
    { ROW("udp-heartbeats", SETTING_COUNT, udp_heartbeats_per_second), .fallback = "1000", .min = 1,
      .max = 1000000, .zero_word = "off", .value_name = "N",
      .help =
          "forward: UDP heartbeats taken per second, on the port of --listen; answered while the upstream "
          "is healthy" },
    { ROW("reload-interval", SETTING_DURATION, reload_interval_ms), .fallback = "10s", .min = 50, .max = HOUR,
      .zero_word = "off", .value_name = "D",
      .help =
          "how often certificate, key and CA files are looked at; what has changed is loaded, as on SIGHUP" },
    { ROW("drain-timeout", SETTING_DURATION, drain_timeout_ms), .fallback = "30s", .max = HOUR,
      .value_name = "D", .help = "after SIGTERM, the longest time connections may go on" },
    { ROW("drain-quiet", SETTING_DURATION, drain_quiet_ms), .fallback = "2s", .max = HOUR, .value_name = "D",
      .help = "after SIGTERM, husk ends once nothing has moved for so long" },

    { ROW("dns-servers", SETTING_TEXT, dns_servers), .value_name = "LIST",
      .help = "name servers, comma-separated, host or host:port; default: the system's" },
    { ROW("dns-min-ttl", SETTING_DURATION, dns_min_ttl_ms), .fallback = "5s", .min = 10, .max = HOUR,
      .value_name = "D", .help = "upstream names are not looked up more often than this" },
    { ROW("dns-max-ttl", SETTING_DURATION, dns_max_ttl_ms), .fallback = "5m", .min = 10, .max = 24 * HOUR,
      .value_name = "D", .help = "nor less often than this" },
    { ROW("dns-retry-min", SETTING_DURATION, dns_retry_min_ms), .fallback = "1s", .min = 10, .max = HOUR,
      .value_name = "D", .help = "first delay after a failed look-up; doubles with each" },
    { ROW("dns-retry-max", SETTING_DURATION, dns_retry_max_ms), .fallback = "1m", .min = 10, .max = HOUR,
      .value_name = "D", .help = "longest delay after failed look-ups" },

    { ROW("admin", SETTING_TEXT, admin), .fallback = "127.0.0.1:9901", .value_name = "ADDR|off",
      .help = "where /live, /ready and /metrics are served" },
    { ROW("admin-max-connections", SETTING_COUNT, admin_max_connections), .fallback = "32", .min = 1,
      .max = 1000, .value_name = "N", .help = "admin connections at a time; further ones are closed" },
    { ROW("admin-request-timeout", SETTING_DURATION, admin_request_timeout_ms), .fallback = "10s", .min = 10,
      .max = HOUR, .value_name = "D", .help = "for an admin request to arrive" },
    { ROW("log-format", SETTING_CHOICE, log_format), .fallback = "text", .choices = log_formats,
      .help = "how lines on stderr are written" },
    { ROW("log-level", SETTING_CHOICE, log_level), .fallback = "info", .choices = log_levels,
      .help = "lines below it are left out; debug tells of every connection" },
    { ROW("log-burst", SETTING_COUNT, log_burst), .fallback = "20", .min = 1, .max = 1000000,
      .zero_word = "off", .value_name = "N",
      .help = "lines per reason, worker and ten seconds; the rest is counted. off: no limit" },

#define SERVER_ONLY 6
    { ROW("allow-cn", SETTING_LIST, allow), .kind = PEER_RULE_CN, .value_name = "VALUE",
      .help = "admit clients whose certificate has this common name (* stands for any text)" },
    { ROW("allow-dns", SETTING_LIST, allow), .kind = PEER_RULE_DNS, .value_name = "VALUE",
      .help = "or this DNS name (* stands for text without dots)" },
    { ROW("allow-uri", SETTING_LIST, allow), .kind = PEER_RULE_URI, .value_name = "VALUE",
      .help = "or this URI, such as a SPIFFE ID (* stands for text without slashes)" },
    { ROW("allow-ou", SETTING_LIST, allow), .kind = PEER_RULE_OU, .value_name = "VALUE",
      .help = "or this organizational unit" },
    { ROW("allow-spki", SETTING_LIST, allow), .kind = PEER_RULE_SPKI, .value_name = "HEX",
      .help = "or this public key: SHA-256 of its SubjectPublicKeyInfo" },
    { ROW("allow-any", SETTING_LIST, allow), .kind = PEER_RULE_ANY,
      .help = "admit every client whose certificate the CA has signed" },
};

/* clang-format on */

enum { SETTINGS_COUNT = sizeof settings / sizeof settings[0] };

#define PART(setting_name, setting_type, field)                                                              \
    .name = setting_name, .type = setting_type, .offset = offsetof(struct config_rule, field)

/* clang-format off */
static const struct setting rule_settings[] = {
    { PART("any", SETTING_LIST, who), .kind = PEER_RULE_ANY },
    { PART("cn", SETTING_LIST, who), .kind = PEER_RULE_CN, .value_name = "VALUE" },
    { PART("dns", SETTING_LIST, who), .kind = PEER_RULE_DNS, .value_name = "VALUE" },
    { PART("uri", SETTING_LIST, who), .kind = PEER_RULE_URI, .value_name = "VALUE" },
    { PART("ou", SETTING_LIST, who), .kind = PEER_RULE_OU, .value_name = "VALUE" },
    { PART("spki", SETTING_LIST, who), .kind = PEER_RULE_SPKI, .value_name = "HEX" },
    { PART("tags", SETTING_TEXT, tags), .value_name = "PATTERN,…" },
    { PART("tag-prefix", SETTING_TEXT, tag_prefix), .value_name = "PREFIX" },
    { PART("bytes-per-second", SETTING_BYTES, bytes_per_second), .min = 1, .max = MIB * MIB,
      .value_name = "SIZE" },
    { PART("messages-per-second", SETTING_COUNT, messages_per_second), .min = 1, .max = 1000000000,
      .value_name = "N" },
    { PART("burst", SETTING_DURATION, burst_ms), .fallback = "1s", .min = 20, .max = HOUR,
      .value_name = "D" },
    { PART("max-message", SETTING_BYTES, max_message_bytes), .min = KIB, .max = 4096 * MIB - 1,
      .value_name = "SIZE" },
};
/* clang-format on */

struct settings_table config_rule_settings(void)
{
    return (struct settings_table) { rule_settings, sizeof rule_settings / sizeof rule_settings[0] };
}

struct settings_table config_settings(enum config_mode mode)
{
    if (mode == CONFIG_CLIENT)
        return (struct settings_table) { settings, SETTINGS_COUNT - SERVER_ONLY };
    return (struct settings_table) { settings + CLIENT_ONLY, SETTINGS_COUNT - CLIENT_ONLY };
}
