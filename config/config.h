/* The settings as the user gave them: one field per setting, not interpreted.
 *
 * Only config/ and the composition root (proxy/main.c, proxy/daemon.c, proxy/options*.c) include it. */
#ifndef HUSK_CONFIG_CONFIG_H
#define HUSK_CONFIG_CONFIG_H

#include "config/settings.h"

#include <stdbool.h>
#include <stdint.h>

enum config_mode { CONFIG_CLIENT, CONFIG_SERVER };
enum config_invalid_events { CONFIG_INVALID_SKIP, CONFIG_INVALID_PASS };
enum config_when_unhealthy { CONFIG_UNHEALTHY_ACCEPT, CONFIG_UNHEALTHY_REFUSE };

struct config {
    struct setting_list listen;   /* ADDR[,mode=OCTAL][,group=NAME] */
    struct setting_list upstream; /* ADDR[,weight=N][,standby] */
    bool unsafe_listen;
    unsigned protocol;      /* enum route_protocol, in the same order */
    unsigned upstream_link; /* enum route_link, in the same order */
    unsigned delivery;      /* enum route_delivery, in the same order */
    uint64_t retain_bytes, cut_through_bytes, batch_bytes, max_message_bytes, max_inflated_bytes,
        max_tag_bytes, max_depth, unread_acks_bytes;
    uint64_t batch_delay_ms, ack_timeout_ms, delivery_timeout_ms, message_timeout_ms, max_age_ms,
        unread_acks_timeout_ms;
    unsigned on_no_acks; /* enum route_on_no_acks, in the same order */
    uint64_t no_acks_after;
    unsigned on_refused;     /* enum route_on_refused, in the same order */
    unsigned invalid_events; /* enum config_invalid_events */
    unsigned compress;       /* enum compression, in the same order */
    uint64_t compress_min_bytes;
    bool strip_metadata;
    uint64_t max_connection_age_ms;
    uint64_t max_upstream_connections, max_exclusive_connections, max_senders, max_attempts, max_ack_timeouts;
    bool shared_key_empty, accept_key_empty;
    const char *shared_key_env, *shared_key_file, *username,
        *password_env;                            /* husk authenticates itself to the aggregator */
    const char *accept_key_env, *accept_key_file; /* agents authenticate themselves to husk */
    struct setting_list accept_users;             /* NAME=VAR */
    const char *self_hostname;
    uint64_t silence_hint_ms;

    const char *cert_file, *key_file, *ca_file;
    const char *key_passphrase_env, *key_passphrase_file;
    unsigned tls_min, tls_max; /* enum tls_version */
    bool allow_weak_certificates;
    const char *server_name;
    bool allow_cn_as_name;
    struct setting_list allow; /* kind: enum peer_rule_kind */
    struct setting_list rules; /* texts, parsed into struct config_rule */

    uint64_t workers; /* 0: one per CPU */
    uint64_t max_connections, max_handshakes, handshake_memory;
    uint64_t buffer_bytes;

    uint64_t dial_delay_ms, connect_timeout_ms, handshake_timeout_ms, crowded_handshake_timeout_ms;
    uint64_t confirm_timeout_ms;
    uint64_t idle_timeout_ms, half_close_timeout_ms, linger_timeout_ms, dead_peer_timeout_ms;
    uint64_t eject_time_ms, eject_time_max_ms, health_interval_ms;
    unsigned when_unhealthy;            /* enum config_when_unhealthy */
    uint64_t udp_heartbeats_per_second; /* 0: off */
    uint64_t udp_heartbeats_per_source; /* per second; 0: no limit */
    uint64_t drain_timeout_ms, drain_quiet_ms;
    uint64_t reload_interval_ms, reload_retry_max_ms;

    const char *dns_servers;
    uint64_t dns_min_ttl_ms, dns_max_ttl_ms, dns_retry_min_ms, dns_retry_max_ms;

    const char *admin; /* address or "off" */
    struct setting_list admin_hosts;
    uint64_t admin_max_connections, admin_request_timeout_ms;
    unsigned log_format, log_level; /* enum log_format, enum log_level */
    uint64_t log_burst;
};

/* The parts of one --rule. */
struct config_rule {
    struct setting_list who; /* kind: enum peer_rule_kind */
    const char *tags, *tag_prefix;
    uint64_t bytes_per_second, messages_per_second, burst_ms;
    uint64_t max_message_bytes;
};

/* The parts of a rule: the table for settings_parse_text. */
struct settings_table config_rule_settings(void);

/* The settings of a mode: the table for settings_parse and its help. */
struct settings_table config_settings(enum config_mode mode);

#endif
