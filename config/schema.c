/* The table of all settings. A new setting is a field of struct config and a row here. */
#include "config/config.h"
#include "config/name_server.h"
#include "config/schema_allow.h"
#include "config/schema_credentials.h"
#include "config/schema_deny.h"
#include "config/schema_lifetime.h"
#include "config/schema_parts.h"
#include "config/schema_spiffe.h"
#include "config/schema_tls.h"
#include "config/schema_token.h"

#include "trust/peer_policy.h"

static const char *const links[] = { "auto", "on", "off", NULL };
static const char *const protocols[] = { "tcp", "forward", NULL };
static const char *const deliveries[] = { "at-least-once", "passthrough", NULL };
static const char *const unhealthy_answers[] = { "accept", "refuse", NULL };
static const char *const no_acks[] = { "continue", "hold", NULL };
static const char *const refusals[] = { "continue", "reset", NULL };
static const char *const invalid_events[] = { "skip", "pass", NULL };
static const char *const compressions[] = { "off", "gzip", "zstd", NULL };
static const char *const revocation_policies[] = { "warn", "require", "ignore", NULL };
static const char *const log_formats[] = { "text", "json", NULL };
static const char *const log_levels[] = { "debug", "info", "warn", "error", NULL };

#define ROW(in_group, setting_name, file_path, setting_type, field)                                          \
    .group = GROUP_##in_group, .name = setting_name, .path = file_path, .type = setting_type,                \
    .offset = offsetof(struct config, field)
#define PROCESS(...) ROW(__VA_ARGS__), .is_for_process = true
#define ROUTE(...)   ROW(__VA_ARGS__)
#define CLIENT(...)  ROW(__VA_ARGS__), .users = FOR_CLIENT | FOR_FILE
#define SERVER(...)  ROW(__VA_ARGS__), .users = FOR_SERVER | FOR_FILE
#define FILES(...)   ROW(__VA_ARGS__), .users = FOR_FILE
#define MINUTE       UINT64_C(60000)
#define HOUR         (60 * MINUTE)
#define KIB          UINT64_C(1024)
#define MIB          (1024 * KIB)

enum user { FOR_CLIENT = 1, FOR_SERVER = 2, FOR_FILE = 4 };

enum group {
    GROUP_FIRST,
    GROUP_CONNECTIONS,
    GROUP_TLS,
    GROUP_AUTHENTICATION,
    GROUP_DELIVERY,
    GROUP_LIMITS,
    GROUP_OPERATIONS
};

static const char *const groups[] = {
    [GROUP_FIRST] = "What every husk needs",
    [GROUP_CONNECTIONS] = "Connections",
    [GROUP_TLS] = "TLS, and who is admitted",
    [GROUP_AUTHENTICATION] = "Shared keys and passwords",
    [GROUP_DELIVERY] = "Delivery",
    [GROUP_LIMITS] = "Limits",
    [GROUP_OPERATIONS] = "Operations",
    NULL,
};

/* clang-format off */
/* TLS of one side. A file can give it on either side; the options of client and server are for one side. A file
 * with the map of a side wants TLS there. */
#define TLS_ROWS(USER, side, section)                                                                        \
    { USER(FIRST, "cert", section "cert", SETTING_TEXT, tls[side].cert_file), .value_name = "FILE",          \
      .map_is_switch = true,                                                                                 \
      .help = "certificate of husk, PEM, followed by its intermediates; none: a client shows no certificate, "\
              "and needs no key" },                                                                          \
    { USER(FIRST, "key", section "key", SETTING_TEXT, tls[side].key_file), .value_name = "FILE",             \
      .help = "private key of the certificate: PEM file, encrypted or not, or pkcs11: URI of a token" },     \
    { USER(FIRST, "ca", section "ca", SETTING_TEXT, tls[side].ca_file), .value_name = "FILE",                \
      .help = "CAs that must have issued the certificates of peers, PEM; system: the CAs of the system "     \
              "(SSL_CERT_FILE, or the usual places)" },                                                      \
    CREDENTIALS_ROWS(USER, side, section),                                                                   \
    { USER(TLS, "key-passphrase-env", section "key_passphrase_env", SETTING_TEXT, tls[side].passphrase_env), \
      .value_name = "VAR",                                                                                   \
      .help = "environment variable with the passphrase of the key or of the PKCS#12 file, or with the PIN " \
              "of the token" },                                                                              \
    { USER(TLS, "key-passphrase-file", section "key_passphrase_file", SETTING_TEXT,                          \
           tls[side].passphrase_file),                                                                       \
      .value_name = "FILE",                                                                                  \
      .help = "file whose first line is the passphrase of the key or of the PKCS#12 file, or the PIN of the " \
              "token" },                                                                                     \
    { USER(TLS, "crl", section "crl", SETTING_LIST, tls[side].crl), .value_name = "PATH",                    \
      .help = "file or directory with revocation lists of the CAs, PEM or DER; can be given up to 16 times" },   \
    { USER(TLS, "revocation-policy", section "revocation_policy", SETTING_CHOICE,                            \
           tls[side].revocation_policy), .fallback = "warn", .choices = revocation_policies,                 \
      .help = "when the list of a CA is missing, stale or not valid yet: warn accepts the certificates of "   \
              "the CA and tells it, require refuses them, ignore accepts them" },                            \
    TLS_PROTOCOL_ROWS(USER, side, section),                                                                  \
    { USER(TLS, "allow-weak-certificates", section "allow_weak_certificates", SETTING_FLAG,                  \
           tls[side].allow_weak_certificates),                                                               \
      .help = "accept peers whose certificates are signed with MD5 or SHA-1, or have RSA keys shorter than " \
              "2048 bits or keys on curves other than P-256, P-384 and P-521" },                              \
    SPIFFE_ROWS(USER, side, section)

static const struct setting settings[] = {
    { ROUTE(OPERATIONS, "name", "name", SETTING_TEXT, name),
      .value_name = "NAME", .required_by = FOR_FILE,
      .help = "name of the route in logs and metrics: letters, digits, -, _ and .; default: client for husk client, "
              "server for husk server" },
    { CLIENT(TLS, "server-name", "tls.upstream.server_name", SETTING_TEXT, server_name),
      .value_name = "NAME",
      .help = "name or IP address that the certificate of every upstream must carry, also sent as SNI; "
              "default: the host of each upstream; for srv+NAME the target from DNS, which DNS can "
              "forge: set the name if DNS is not trusted" },
    { CLIENT(TLS, "allow-cn-as-name", "tls.upstream.allow_cn_as_name", SETTING_FLAG, allow_cn_as_name),
      .help = "compare the name with the CN if a server certificate has no subjectAltName" },
    ALLOW_SERVER_ROWS,
    { CLIENT(CONNECTIONS, "unsafe-listen", "unsafe_listen", SETTING_FLAG, unsafe_listen),
      .help = "allow --listen on an address that other machines can reach; husk accepts plaintext there" },
    { ROUTE(FIRST, "listen", "listen", SETTING_LIST, listen),
      .parts = &config_listen_parts, .value_name = "ADDR[,mode=OCTAL][,group=NAME]", .required_by = SETTING_REQUIRED,
      .help = "address on which husk accepts connections: host:port, [v6]:port or unix:PATH; port 0: "
              "any free port; can be given up to 16 times; mode (default 0666) and group are for the file of "
              "a Unix socket: a user who may write to the file may connect" },
    { ROUTE(FIRST, "upstream", "upstreams", SETTING_LIST, upstream),
      .parts = &config_upstream_parts, .value_name = "ADDR[,weight=N][,server-name=NAME][,standby]", .required_by = SETTING_REQUIRED,
      .help = "address to which husk carries traffic: host:port, [v6]:port, unix:PATH or srv+NAME (SRV "
              "records); can be given several times; connections are shared by weight, 1 to 1000; "
              "server-name: as --server-name, for this address; a standby is used only while no other address "
              "works" },
    { ROUTE(DELIVERY, "protocol", "protocol", SETTING_CHOICE, protocol),
      .fallback = "forward", .choices = protocols,
      .help = "forward: carry messages of many agents over few upstream connections; tcp: carry any "
              "bytes, with one upstream connection for each accepted connection" },
    { ROUTE(DELIVERY, "delivery", "delivery.mode", SETTING_CHOICE, delivery),
      .fallback = "at-least-once", .choices = deliveries,
      .help = "forward: at-least-once requests acks and sends unacknowledged messages again; "
              "passthrough changes nothing and keeps no message" },
    { ROUTE(LIMITS, "retain-bytes", "limits.retain_bytes", SETTING_BYTES, retain_bytes),
      .fallback = "16MiB", .min = 64 * KIB,
      .max = 16384 * MIB, .value_name = "SIZE",
      .help = "forward: memory for unacknowledged messages; while it is full, husk does not read from "
              "agents. tcp: memory for bytes that the other side has not taken; while it is full, husk reads "
              "a connection only when its other side has taken all bytes" },
    { ROUTE(DELIVERY, "cut-through-bytes", "delivery.cut_through_bytes", SETTING_BYTES, cut_through_bytes),
      .fallback = "4MiB", .min = 4 * KIB,
      .max = 4096 * MIB - 1, .value_name = "SIZE",
      .help = "forward: a longer message is sent while it is read, on an upstream connection of its own" },
    { ROUTE(DELIVERY, "batch-bytes", "delivery.batch_bytes", SETTING_BYTES, batch_bytes),
      .fallback = "64KiB", .min = 1, .max = 16 * MIB,
      .zero_word = "off", .value_name = "SIZE",
      .help = "forward: messages that are read together, have the same tag and request no ack are sent as "
              "one message with their events, up to this size; off: each message is sent alone" },
    { ROUTE(DELIVERY, "batch-delay", "delivery.batch_delay", SETTING_DURATION, batch_delay_ms),
      .fallback = "off", .min = 1, .max = 1000,
      .zero_word = "off", .value_name = "D",
      .help = "forward: messages that may be joined (--batch-bytes) wait up to this time for further ones "
              "of their agent, so that the aggregator gets fewer messages; off: only messages that husk reads "
              "together are joined" },
    { ROUTE(DELIVERY, "message-timeout", "delivery.message_timeout", SETTING_DURATION, message_timeout_ms),
      .fallback = "60s", .min = 10, .max = HOUR,
      .zero_word = "off", .value_name = "D",
      .help = "forward: how long an agent may pause in the middle of a message" },
    { ROUTE(DELIVERY, "ack-timeout", "delivery.ack_timeout", SETTING_DURATION, ack_timeout_ms),
      .fallback = "60s", .min = 10, .max = HOUR,
      .value_name = "D",
      .help = "forward: how long to wait for an ack before the connection is closed and its messages "
              "are sent again" },
    { ROUTE(LIMITS, "unread-acks", "limits.unread_acks", SETTING_BYTES, unread_acks_bytes),
      .fallback = "64KiB", .min = KIB,
      .max = 1024 * MIB, .value_name = "SIZE",
      .help = "forward: husk does not read from an agent, or from another husk, while this many bytes of "
              "acks for this peer wait in husk, because the peer does not read them" },
    { ROUTE(DELIVERY, "unread-acks-timeout", "delivery.unread_acks_timeout", SETTING_DURATION, unread_acks_timeout_ms),
      .fallback = "5s", .min = 10,
      .max = HOUR, .zero_word = "off", .value_name = "D",
      .help = "forward: if an agent leaves --unread-acks bytes of acks and takes no ack for this time, husk "
              "reads from the agent again and gives up its acks beyond --unread-acks; off: husk waits for the "
              "agent" },
    { ROUTE(DELIVERY, "delivery-timeout", "delivery.delivery_timeout", SETTING_DURATION, delivery_timeout_ms),
      .fallback = "2m", .min = 10,
      .max = 24 * HOUR, .value_name = "D",
      .help = "forward: how long an agent that waits for an ack is kept while no upstream is available; "
              "then its connection is reset" },
    { ROUTE(DELIVERY, "max-age", "delivery.max_age", SETTING_DURATION, max_age_ms),
      .fallback = "off", .min = 1000, .max = 168 * HOUR,
      .zero_word = "off", .value_name = "D",
      .help = "forward: a message that is not delivered within this time is given up; off: husk keeps "
              "messages, and does not read from agents while the memory for them is full" },
    { ROUTE(LIMITS, "max-upstream-connections", "limits.max_upstream_connections", SETTING_COUNT, max_upstream_connections),
      .fallback = "2", .min = 1,
      .max = 64, .value_name = "N", .help = "forward: shared connections per worker and upstream address" },
    CONNECTION_AGE_ROWS,
    { ROUTE(LIMITS, "max-exclusive-connections", "limits.max_exclusive_connections", SETTING_COUNT, max_exclusive_connections),
      .fallback = "4", .min = 1,
      .max = 64, .value_name = "N",
      .help = "forward: additional upstream connections per worker that carry one message alone: a "
              "message longer than --cut-through-bytes, or one at which a connection has ended" },
    { ROUTE(DELIVERY, "upstream-link", "delivery.upstream_link", SETTING_CHOICE, upstream_link),
      .fallback = "auto", .choices = links,
      .help = "forward: whether the upstream is a husk that speaks the link (docs/link.md). auto: with TLS, "
              "ALPN tells; without TLS, the first ack of a chunk id that husk has made tells. on: as auto, "
              "but without TLS husk speaks the link from the first byte. off: husk sends plain Forward" },
    { ROUTE(LIMITS, "max-senders", "limits.max_senders", SETTING_COUNT, max_senders),
      .fallback = "65536", .min = 1, .max = 16777216,
      .value_name = "N",
      .help = "forward: agents that another husk may name on one connection (docs/link.md); further ones "
              "count as one agent" },
    { ROUTE(DELIVERY, "max-attempts", "delivery.max_attempts", SETTING_COUNT, max_attempts),
      .fallback = "20", .min = 1, .max = 1000000,
      .zero_word = "off", .value_name = "N",
      .help = "forward: a message is dropped after this number of connections has ended at it; off: no "
              "limit" },
    { ROUTE(DELIVERY, "max-ack-timeouts", "delivery.max_ack_timeouts", SETTING_COUNT, max_ack_timeouts),
      .fallback = "5", .min = 1, .max = 1000000,
      .value_name = "N",
      .help = "forward: a message is dropped after this number of ack timeouts during which the aggregator "
              "acknowledged other messages" },
    { ROUTE(DELIVERY, "on-no-acks", "delivery.on_no_acks", SETTING_CHOICE, on_no_acks),
      .fallback = "continue", .choices = no_acks,
      .help = "forward: what husk does if an upstream address reads messages and has never acknowledged one: "
              "continue sends without waiting for acks, until an ack comes from the address, and agents get "
              "no acks; hold keeps the messages and does not read from agents" },
    { ROUTE(DELIVERY, "no-acks-after", "delivery.no_acks_after", SETTING_COUNT, no_acks_after),
      .fallback = "3", .min = 1, .max = 1000000,
      .zero_word = "off", .value_name = "N",
      .help = "forward: how many connections must prove that an upstream address reads messages and does not "
              "acknowledge them (--on-no-acks); off: husk always waits for acks" },
    { ROUTE(DELIVERY, "on-refused", "delivery.on_refused", SETTING_CHOICE, on_refused),
      .fallback = "continue", .choices = refusals,
      .help = "forward: what happens to an agent that asked for no ack when one of its messages is given "
              "up: continue only counts and logs the message; reset also resets the agent's connection. An "
              "agent that asked for the ack is always reset" },
    { ROUTE(DELIVERY, "invalid-events", "delivery.invalid_events", SETTING_CHOICE, invalid_events),
      .fallback = "skip", .choices = invalid_events,
      .help = "forward: what husk does with events that the Forward protocol does not allow (a record that is "
              "no map, a wrong time or entry): skip leaves them out, and acknowledges a message that has no "
              "other event; pass sends their message upstream unchanged and alone; both count and log the "
              "events" },
    { ROUTE(LIMITS, "max-message", "limits.max_message", SETTING_BYTES, max_message_bytes),
      .fallback = "256MiB", .min = KIB,
      .max = 4096 * MIB - 1, .value_name = "SIZE", .help = "forward: longest message that is accepted" },
    { ROUTE(LIMITS, "max-tag", "limits.max_tag", SETTING_BYTES, max_tag_bytes),
      .fallback = "1KiB", .min = 1, .max = 64 * KIB,
      .value_name = "SIZE", .help = "forward: longest tag that is accepted" },
    { ROUTE(LIMITS, "max-depth", "limits.max_depth", SETTING_COUNT, max_depth),
      .fallback = "64", .min = 1, .max = 128, .value_name = "N",
      .help = "forward: deepest nesting of records and options that is accepted" },
    { ROUTE(DELIVERY, "compress", "delivery.compress", SETTING_CHOICE, compress),
      .fallback = "off", .choices = compressions,
      .help = "forward: compress bodies that are not compressed; zstd requires Fluentd 1.19 or later" },
    { ROUTE(DELIVERY, "compress-min", "delivery.compress_min", SETTING_BYTES, compress_min_bytes),
      .fallback = "1KiB", .min = 64,
      .max = 1024 * MIB, .value_name = "SIZE", .help = "forward: shorter bodies are not compressed" },
    { ROUTE(DELIVERY, "strip-metadata", "delivery.strip_metadata", SETTING_FLAG, strip_metadata),
      .help = "forward: remove the metadata that Fluent Bit 5 adds to entries; older Fluentd cannot "
              "read it" },
    { ROUTE(LIMITS, "max-inflated", "limits.max_inflated", SETTING_BYTES, max_inflated_bytes),
      .fallback = "32MiB", .min = KIB,
      .max = 4096 * MIB - 1, .value_name = "SIZE",
      .help = "forward: a compressed body is not inspected if it is longer than this after "
              "decompression" },

    { ROUTE(DELIVERY, "rule", "rules", SETTING_LIST, rules),
      .parts = &config_rule_parts,
      .value_name = "RULE",
      .help = "forward: what an agent may write; the first rule that matches the agent applies; in an option: "
              "any|cn=|dns=|uri=|email=|o=|ou=|issuer=|spki= [tags=] [tag-prefix=] [bytes-per-second=] "
              "[messages-per-second=] [burst=] [max-message=]" },
    { SERVER(DELIVERY, "add-identity", "add_identity", SETTING_LIST, add_identity), .parts = &config_identity_parts,
      .value_name = "field=NAME,from=cn|uri|dns|spki",
      .help = "forward: put a name of the agent's verified certificate into every record, as the value of this "
              "field; a field of this name that the agent has sent is removed; can be given up to 4 times" },

    { ROUTE(AUTHENTICATION, "shared-key-env", "authentication.upstream.shared_key_env", SETTING_TEXT, shared_key_env),
      .value_name = "VAR",
      .help = "forward: environment variable with the shared key of the aggregator; husk authenticates "
              "itself with it" },
    { ROUTE(AUTHENTICATION, "shared-key-file", "authentication.upstream.shared_key_file", SETTING_TEXT, shared_key_file),
      .value_name = "FILE",
      .help = "forward: file whose first line is the shared key of the aggregator" },
    { ROUTE(AUTHENTICATION, "shared-key-empty", "authentication.upstream.shared_key_empty", SETTING_FLAG, shared_key_empty),
      .help = "forward: the shared key of the aggregator is empty: husk authenticates itself with --username "
              "and --password-env alone (Fluent Bit's empty_shared_key)" },
    { ROUTE(AUTHENTICATION, "username", "authentication.upstream.username", SETTING_TEXT, username),
      .value_name = "NAME",
      .help = "forward: user name for the aggregator; requires --password-env" },
    { ROUTE(AUTHENTICATION, "password-env", "authentication.upstream.password_env", SETTING_TEXT, password_env),
      .value_name = "VAR",
      .help = "forward: environment variable with the password of --username" },
    { ROUTE(AUTHENTICATION, "accept-key-env", "authentication.downstream.shared_key_env", SETTING_TEXT, accept_key_env),
      .value_name = "VAR",
      .help = "forward: environment variable with the shared key that agents must know" },
    { ROUTE(AUTHENTICATION, "accept-key-file", "authentication.downstream.shared_key_file", SETTING_TEXT, accept_key_file),
      .value_name = "FILE",
      .help = "forward: file whose first line is the shared key that agents must know" },
    { ROUTE(AUTHENTICATION, "accept-key-empty", "authentication.downstream.shared_key_empty", SETTING_FLAG, accept_key_empty),
      .help = "forward: the shared key of agents is empty: agents authenticate themselves with the user names "
              "and passwords of --accept-user alone (Fluent Bit's empty_shared_key)" },
    { ROUTE(AUTHENTICATION, "accept-user", "authentication.downstream.users", SETTING_LIST, accept_users),
      .parts = &config_user_parts,
      .value_name = "NAME=VAR",
      .help = "forward: user name that agents may use, and the environment variable with its password" },
    { ROUTE(OPERATIONS, "silence-hint", "connections.silence_hint", SETTING_DURATION, silence_hint_ms),
      .fallback = "10s", .min = 10, .max = HOUR,
      .zero_word = "off", .value_name = "D",
      .help = "forward: log a hint, once, if an agent sends nothing for this time: it may be waiting "
              "for shared-key authentication" },
    { ROUTE(AUTHENTICATION, "self-hostname", "authentication.self_hostname", SETTING_TEXT, self_hostname),
      .fallback = "husk", .value_name = "NAME",
      .help = "forward: the name of husk in shared-key authentication; must differ from the name of the "
              "peer" },

    TLS_ROWS(CLIENT, SIDE_UPSTREAM, "tls.upstream."), TOKEN_ROW(CLIENT, SIDE_UPSTREAM, "tls.upstream."),
    TLS_CLIENT_ROWS,
    TLS_ROWS(SERVER, SIDE_DOWNSTREAM, "tls.downstream."), TOKEN_ROW(SERVER, SIDE_DOWNSTREAM, "tls.downstream."),
    TLS_SERVER_ROWS,

    { PROCESS(LIMITS, "workers", "workers", SETTING_COUNT, workers),
      .fallback = "1", .min = 1, .max = 64, .zero_word = "auto",
      .value_name = "N", .help = "worker threads, 1 to 64; auto: one per CPU" },
    { ROUTE(LIMITS, "max-connections", "limits.max_connections", SETTING_COUNT, max_connections),
      .fallback = "10000", .min = 1, .max = 1000000,
      .value_name = "N",
      .help = "accepted connections at a time; more connections wait in the kernel's queue" },
    { ROUTE(LIMITS, "max-handshakes", "limits.max_handshakes", SETTING_COUNT, max_handshakes),
      .fallback = "1024", .min = 1, .max = 100000,
      .value_name = "N",
      .help = "TLS handshakes with peers at a time; more connections wait in the kernel's queue" },
    { ROUTE(LIMITS, "handshake-memory", "limits.handshake_memory", SETTING_BYTES, handshake_memory),
      .fallback = "16MiB", .min = MIB, .max = 1024 * MIB,
      .value_name = "SIZE",
      .help = "memory for unfinished TLS handshakes with peers, at least 16KiB for each; while it is full, more "
              "connections wait in the kernel's queue" },
    { ROUTE(LIMITS, "buffer-bytes", "limits.buffer_bytes", SETTING_BYTES, buffer_bytes),
      .fallback = "256KiB", .min = 64 * KIB,
      .max = 16 * MIB, .value_name = "SIZE",
      .help = "bytes kept per connection and direction while the other side is slow" },

    { ROUTE(CONNECTIONS, "dial-delay", "connections.dial_delay", SETTING_DURATION, dial_delay_ms),
      .fallback = "20ms", .max = MINUTE,
      .value_name = "D",
      .help = "tcp: how long to wait for the first byte of a peer before the upstream is dialled; a "
              "connection that closes earlier costs no dial; 0: husk dials at once" },
    { ROUTE(CONNECTIONS, "connect-timeout", "connections.connect_timeout", SETTING_DURATION, connect_timeout_ms),
      .fallback = "5s", .min = 10,
      .max = 5 * MINUTE, .value_name = "D",
      .help = "how long to wait for a connection to one upstream address, and for its name to resolve" },
    { ROUTE(TLS, "handshake-timeout", "tls.handshake_timeout", SETTING_DURATION, handshake_timeout_ms),
      .fallback = "10s", .min = 10,
      .max = 5 * MINUTE, .value_name = "D", .help = "how long a TLS handshake may take" },
    { ROUTE(TLS, "crowded-handshake-timeout", "tls.crowded_handshake_timeout", SETTING_DURATION, crowded_handshake_timeout_ms),
      .fallback = "1s",
      .min = 10, .max = 5 * MINUTE, .value_name = "D",
      .help = "how long husk waits for a peer in a TLS handshake while --max-handshakes or --handshake-memory "
              "is reached" },
    { ROUTE(TLS, "confirm-timeout", "tls.confirm_timeout", SETTING_DURATION, confirm_timeout_ms),
      .fallback = "1s", .max = MINUTE,
      .value_name = "D",
      .help = "how long to wait for evidence that a TLS 1.3 server accepted the certificate of husk; 0: husk does "
              "not wait" },
    { ROUTE(CONNECTIONS, "idle-timeout", "connections.idle_timeout", SETTING_DURATION, idle_timeout_ms),
      .fallback = "off", .min = 10, .max = 168 * HOUR,
      .zero_word = "off", .value_name = "D",
      .help = "close a connection on which nothing moves for this time" },
    { ROUTE(CONNECTIONS, "half-close-timeout", "connections.half_close_timeout", SETTING_DURATION, half_close_timeout_ms),
      .fallback = "5m", .min = 10,
      .max = 168 * HOUR, .zero_word = "off", .value_name = "D",
      .help = "tcp: close a connection on which nothing moves for this time after one direction has ended" },
    { ROUTE(CONNECTIONS, "linger-timeout", "connections.linger_timeout", SETTING_DURATION, linger_timeout_ms),
      .fallback = "2s", .min = 10, .max = MINUTE,
      .value_name = "D", .help = "how long a peer that husk refuses may take to read the TLS alert; "
                                 "tcp: how long a connection that ends may take to deliver its last bytes; "
                                 "forward: how long husk waits until the peer ends an upstream connection "
                                 "without acks (--no-acks-after), and reads another husk after goaway" },
    { ROUTE(CONNECTIONS, "dead-peer-timeout", "connections.dead_peer_timeout", SETTING_DURATION, dead_peer_timeout_ms),
      .fallback = "2m", .min = 1000,
      .max = HOUR, .zero_word = "off", .value_name = "D",
      .help = "close a connection whose peer does not answer at all for this time; an idle peer that "
              "answers is kept" },
    { ROUTE(CONNECTIONS, "eject-time", "connections.eject_time", SETTING_DURATION, eject_time_ms),
      .fallback = "10s", .max = HOUR, .value_name = "D",
      .help = "how long an upstream address that failed is tried only after the others; doubles with "
              "each failure; 0: the address is tried like the others" },
    { ROUTE(CONNECTIONS, "eject-time-max", "connections.eject_time_max", SETTING_DURATION, eject_time_max_ms),
      .fallback = "2m", .max = HOUR,
      .value_name = "D", .help = "longest time for which a failed address is tried only after the others; 0 "
                                 "requires --eject-time 0" },
    { ROUTE(OPERATIONS, "health-interval", "health.interval", SETTING_DURATION, health_interval_ms),
      .fallback = "10s", .min = 50, .max = HOUR,
      .zero_word = "off", .value_name = "D",
      .help = "how often to probe the upstream by a bare connect, for readiness; sooner after a failed "
              "probe; off: husk neither probes nor connects before the first message" },
    { ROUTE(OPERATIONS, "when-unhealthy", "health.when_unhealthy", SETTING_CHOICE, when_unhealthy),
      .fallback = "accept",
      .choices = unhealthy_answers,
      .help = "new connections while the upstream is known to fail: accept keeps agents waiting; refuse "
              "lets them go to another address" },
    CERTIFICATE_LIFE_ROW,
    { ROUTE(CONNECTIONS, "udp-heartbeats", "heartbeats.per_second", SETTING_COUNT, udp_heartbeats_per_second),
      .fallback = "1000", .min = 1,
      .max = 1000000, .zero_word = "off", .value_name = "N",
      .help = "forward: UDP heartbeats read per second, on the TCP ports of --listen; husk answers them while "
              "the upstream is healthy" },
    { ROUTE(CONNECTIONS, "udp-heartbeats-per-source", "heartbeats.per_source", SETTING_COUNT, udp_heartbeats_per_source),
      .fallback = "5", .min = 1,
      .max = 1000000, .zero_word = "off", .value_name = "N",
      .help = "forward: UDP heartbeats answered per second to one address and port; further heartbeats get no "
              "answer, so that two programs that answer each other stop; off: no limit" },
    { PROCESS(OPERATIONS, "reload-interval", "reload.interval", SETTING_DURATION, reload_interval_ms),
      .fallback = "10s", .min = 50, .max = HOUR, .zero_word = "off", .value_name = "D",
      .help = "how often to look for changes of the certificate, key, CA, passphrase and shared-key files, and of the "
              "file of husk run, where no folder tells of them (inotify); changed files are loaded, as on SIGHUP" },
    { PROCESS(OPERATIONS, "reload-settle-timeout", "reload.settle_timeout", SETTING_DURATION, reload_settle_timeout_ms),
      .fallback = "2s", .min = 50, .max = HOUR, .value_name = "D",
      .help = "files that change are loaded when they stand still, or as they are this long after their first change" },
    SPIFFE_PROCESS_ROWS,
    TOKEN_PROCESS_ROW,
    { PROCESS(OPERATIONS, "reload-retry-max", "reload.retry_max", SETTING_DURATION, reload_retry_max_ms),
      .fallback = "2s", .min = 50, .max = HOUR, .value_name = "D",
      .help = "when changed files cannot be loaded, or the file of husk run cannot be used for a cause that can "
              "pass, husk tries again after 1s, then after twice the pause each time, up to this pause" },
    { PROCESS(OPERATIONS, "drain-timeout", "drain.timeout", SETTING_DURATION, drain_timeout_ms),
      .fallback = "30s", .max = HOUR,
      .value_name = "D",
      .help = "how long connections may go on after SIGTERM; forward: also after a reload whose credentials no "
              "longer admit the peer; 0: they end at once" },
    { PROCESS(OPERATIONS, "drain-quiet", "drain.quiet", SETTING_DURATION, drain_quiet_ms),
      .fallback = "2s", .max = HOUR, .value_name = "D",
      .help = "after SIGTERM, husk ends once nothing has moved for this time; 0: husk ends at once" },

    { PROCESS(OPERATIONS, "hot-restart-timeout", "hot_restart.timeout", SETTING_DURATION, hot_restart_timeout_ms),
      .fallback = "2m", .min = 50, .max = HOUR, .value_name = "D",
      .help = "how long the new program may take to start after SIGUSR2 (docs/supervision.md); then husk ends the "
              "new program and goes on" },
    { ROUTE(CONNECTIONS, "dns-servers", "dns.servers", SETTING_WORDS, dns_servers),
      .is_good = name_server_is_good, .expected = "a name server: expected an address such as 10.0.0.1, "
                                                  "10.0.0.1:53 or [fd00::1]:53",
      .value_name = "LIST",
      .help = "addresses of name servers, comma-separated, such as 10.0.0.1, 10.0.0.1:53 or [fd00::1]:53; default: "
              "the name servers of the system" },
    { ROUTE(CONNECTIONS, "dns-min-ttl", "dns.min_ttl", SETTING_DURATION, dns_min_ttl_ms),
      .fallback = "5s", .min = 10, .max = HOUR,
      .value_name = "D", .help = "shortest time between two look-ups of an upstream name" },
    { ROUTE(CONNECTIONS, "dns-max-ttl", "dns.max_ttl", SETTING_DURATION, dns_max_ttl_ms),
      .fallback = "5m", .min = 10, .max = 24 * HOUR,
      .value_name = "D", .help = "longest time between two look-ups of an upstream name" },
    { ROUTE(CONNECTIONS, "dns-retry-min", "dns.retry_min", SETTING_DURATION, dns_retry_min_ms),
      .fallback = "1s", .min = 10, .max = HOUR,
      .value_name = "D", .help = "delay after the first failed look-up; doubles with each further one" },
    { ROUTE(CONNECTIONS, "dns-retry-max", "dns.retry_max", SETTING_DURATION, dns_retry_max_ms),
      .fallback = "1m", .min = 10, .max = HOUR,
      .value_name = "D", .help = "longest delay after a failed look-up" },

    { PROCESS(OPERATIONS, "admin", "admin.listen", SETTING_TEXT, admin),
      .fallback = "127.0.0.1:9901", .zero_word = "off", .value_name = "ADDR|off",
      .help = "address that serves /startup, /live, /ready and /metrics" },
    { PROCESS(OPERATIONS, "admin-quit", "admin.quit", SETTING_FLAG, admin_quit),
      .help = "let a POST of /quit from this host end husk as SIGTERM does; \"husk quit\" sends it" },
    { PROCESS(OPERATIONS, "admin-host", "admin.hosts", SETTING_LIST, admin_hosts),
      .value_name = "NAME",
      .help = "host name under which clients reach --admin, such as the name of a Service, without the port; can "
              "be given up to 16 times; IP addresses and localhost need none, and requests for other names are "
              "refused, because a web page could have sent them" },
    { PROCESS(OPERATIONS, "admin-max-connections", "admin.max_connections", SETTING_COUNT, admin_max_connections),
      .fallback = "32", .min = 1,
      .max = 1000, .value_name = "N",
      .help = "admin connections at a time; a further connection takes the place of one that has asked nothing, is "
              "idle or is slow" },
    { PROCESS(OPERATIONS, "admin-request-timeout", "admin.request_timeout", SETTING_DURATION, admin_request_timeout_ms),
      .fallback = "10s", .min = 10,
      .max = HOUR, .value_name = "D", .help = "how long an admin request may take to arrive" },
    { PROCESS(OPERATIONS, "log-format", "log.format", SETTING_CHOICE, log_format),
      .fallback = "text", .choices = log_formats,
      .help = "format of the log lines on stderr" },
    { PROCESS(OPERATIONS, "log-level", "log.level", SETTING_CHOICE, log_level),
      .fallback = "info", .choices = log_levels,
      .help = "lowest level that is logged; debug logs every connection" },
    { PROCESS(OPERATIONS, "log-burst", "log.burst", SETTING_COUNT, log_burst),
      .fallback = "20", .min = 1, .max = 1000000,
      .zero_word = "off", .value_name = "N",
      .help = "log lines per reason, worker and ten seconds; further lines are only counted, and so are "
              "failures that repeat at an upstream address; off: no limit" },

    ALLOW_ROWS,
    DENY_ROWS,
};

/* clang-format on */

enum { SETTINGS_COUNT = sizeof settings / sizeof settings[0] };

_Static_assert((int)SETTINGS_COUNT <= (int)SETTINGS_MAX, "a source for each setting");

struct settings_table config_settings(enum config_mode mode)
{
    static const enum user users[] = {
        [CONFIG_CLIENT] = FOR_CLIENT, [CONFIG_SERVER] = FOR_SERVER, [CONFIG_FILE] = FOR_FILE
    };

    return (struct settings_table) { .rows = settings,
                                     .count = SETTINGS_COUNT,
                                     .groups = groups,
                                     .user = users[mode],
                                     .sources = offsetof(struct config, sources) };
}
