/* The settings as the user gave them: one field per setting, not interpreted.
 *
 * A struct config holds the settings of one route and those of its process. Only config/ and the composition
 * root (proxy/main.c, proxy/daemon.c, proxy/options*.c) include it. */
#ifndef HUSK_CONFIG_CONFIG_H
#define HUSK_CONFIG_CONFIG_H

#include "base/end_reason.h"
#include "config/setting.h"
#include "trust/tls_names.h"

#include <stdbool.h>
#include <stdint.h>

/* Where the settings come from: the options of husk client, those of husk server, or a file. */
enum config_mode { CONFIG_CLIENT, CONFIG_SERVER, CONFIG_FILE };
enum config_invalid_events { CONFIG_INVALID_SKIP, CONFIG_INVALID_PASS };
enum config_when_unhealthy { CONFIG_UNHEALTHY_ACCEPT, CONFIG_UNHEALTHY_REFUSE };

enum {
    CONFIG_WEIGHT_MAX = 1000,
    CONFIG_PARTS_MAX = 24 /* settings of an item of a list */
};

/* An item of `listen`. Each text of an item is NULL if it was not given. */
struct config_listen {
    const char *address, *mode, *group;
    struct setting_source sources[CONFIG_PARTS_MAX];
};

/* An item of `upstream`. */
struct config_upstream {
    const char *address, *server_name;
    uint64_t weight;
    bool is_standby;
    struct setting_source sources[CONFIG_PARTS_MAX];
};

/* An item of `accept_users`. */
struct config_user {
    const char *name, *password_env;
    struct setting_source sources[CONFIG_PARTS_MAX];
};

/* An item of `any_of`, `all_of` or `not`: a certificate that matches at least one of `who`. */
struct config_match {
    struct setting_list who; /* kind: enum peer_rule_kind; groups have parts, others a value */
    struct setting_source sources[CONFIG_PARTS_MAX];
};

/* An item of `rules`. */
struct config_rule {
    struct setting_list who; /* as in config_match */
    const char *tags, *tag_prefix;
    uint64_t bytes_per_second, messages_per_second, burst_ms;
    uint64_t max_message_bytes;
    struct setting_source sources[CONFIG_PARTS_MAX];
};

/* An item of `add_identity`. */
struct config_identity {
    const char *field;
    unsigned from; /* enum identity_name, in the same order */
    struct setting_source sources[CONFIG_PARTS_MAX];
};

/* An item of `certificates`. */
struct config_certificate {
    const char *cert_file, *key_file, *passphrase_env, *passphrase_file;
    struct setting_source sources[CONFIG_PARTS_MAX];
};

/* TLS of one side. All texts NULL: that side is plain. */
struct config_tls {
    const char *directory, *keystore; /* in the place of cert_file and key_file */
    const char *cert_file, *key_file, *ca_file;
    const char *passphrase_env, *passphrase_file;
    struct setting_list certificates; /* struct config_certificate */
    uint64_t key_sessions;
    struct setting_list crl;           /* paths */
    unsigned revocation_policy;        /* enum revocation_policy, in the same order */
    unsigned min_version, max_version; /* enum tls_version */
    const char *names[TLS_NAME_KINDS]; /* ciphers, groups, signatures: lists of names; NULL: the default */
    const char *ticket_keys_file;      /* downstream */
    bool insecure;                     /* upstream */
    const char *sni;                   /* upstream: a name or "off"; NULL: the default */
    bool allow_weak_certificates;
    const char *spiffe_socket, *spiffe_id, *spiffe_hint;
};

struct config {
    enum config_mode mode;
    unsigned index;     /* CONFIG_FILE: of the route in the file, from 0 */
    struct place place; /* CONFIG_FILE: of the route */
    struct setting_source sources[SETTINGS_MAX];
    const char *name;             /* of the route; NULL: as the mode */
    struct setting_list listen;   /* struct config_listen */
    struct setting_list upstream; /* struct config_upstream */
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
    uint64_t max_connection_age_ms, max_downstream_age_ms;
    uint64_t max_upstream_connections, max_exclusive_connections, max_senders, max_attempts, max_ack_timeouts;
    bool shared_key_empty, accept_key_empty;
    const char *shared_key_env, *shared_key_file, *username,
        *password_env;                            /* husk authenticates itself to the aggregator */
    const char *accept_key_env, *accept_key_file; /* agents authenticate themselves to husk */
    struct setting_list accept_users;             /* struct config_user */
    const char *self_hostname;
    uint64_t silence_hint_ms;

    struct config_tls tls[SIDE_COUNT];
    const char *server_name;
    bool allow_cn_as_name, ignore_server_name;
    struct setting_list allow_server; /* as `allow` */
    unsigned client_certificate;      /* enum client_certificate, in the same order */
    struct setting_list allow;        /* as `who` in config_match */
    struct setting_list deny;         /* the same */
    struct setting_list rules;        /* struct config_rule */
    struct setting_list add_identity; /* struct config_identity */

    uint64_t workers; /* 0: one per CPU */
    uint64_t max_connections, max_handshakes, handshake_memory;
    uint64_t buffer_bytes;

    uint64_t dial_delay_ms, connect_timeout_ms, handshake_timeout_ms, crowded_handshake_timeout_ms;
    uint64_t confirm_timeout_ms;
    uint64_t idle_timeout_ms, half_close_timeout_ms, linger_timeout_ms, dead_peer_timeout_ms;
    uint64_t eject_time_ms, eject_time_max_ms, health_interval_ms, min_certificate_life_ms;
    unsigned when_unhealthy;            /* enum config_when_unhealthy */
    uint64_t udp_heartbeats_per_second; /* 0: off */
    uint64_t udp_heartbeats_per_source; /* per second; 0: no limit */
    uint64_t drain_timeout_ms, drain_quiet_ms;
    uint64_t hot_restart_timeout_ms;
    uint64_t reload_interval_ms, reload_settle_timeout_ms, reload_retry_max_ms;
    uint64_t spiffe_timeout_ms, spiffe_answer_timeout_ms, spiffe_max_answer_bytes;
    uint64_t token_timeout_ms;

    const char *dns_servers;
    uint64_t dns_min_ttl_ms, dns_max_ttl_ms, dns_retry_min_ms, dns_retry_max_ms;

    const char *admin; /* address or "off" */
    struct setting_list admin_hosts;
    bool admin_quit;
    uint64_t admin_max_connections, admin_request_timeout_ms;
    unsigned log_format, log_level; /* enum log_format, enum log_level */
    uint64_t log_burst;
};

/* The settings of a mode. */
struct settings_table config_settings(enum config_mode mode);

#endif
