#include "config/schema_parts.h"

#include "config/config.h"
#include "trust/peer_policy.h"

#define PART(item, part_name, key, part_type, field)                                                         \
    .name = part_name, .path = key, .type = part_type, .offset = offsetof(struct item, field)
#define PARTS(item, of_rows, named_from, separates, ...)                                                     \
    { .table = { .rows = of_rows,                                                                            \
                 .count = sizeof of_rows / sizeof of_rows[0],                                                \
                 .sources = offsetof(struct item, sources) },                                                \
      .size = sizeof(struct item),                                                                           \
      .positionals = named_from,                                                                             \
      .separator = separates,                                                                                \
      __VA_ARGS__ }
#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)

/* clang-format off */
static const struct setting listen_rows[] = {
    { PART(config_listen, "address", "address", SETTING_TEXT, address), .required_by = SETTING_REQUIRED,
      .value_name = "ADDR", .help = "host:port, [v6]:port or unix:PATH; port 0: any free port" },
    { PART(config_listen, "mode", "mode", SETTING_TEXT, mode), .value_name = "OCTAL",
      .help = "mode of the file of a Unix socket, in octal; default: 0666" },
    { PART(config_listen, "group", "group", SETTING_TEXT, group), .value_name = "NAME",
      .help = "group of the file of a Unix socket, a name or a number" },
};

static const struct setting upstream_rows[] = {
    { PART(config_upstream, "address", "address", SETTING_TEXT, address), .required_by = SETTING_REQUIRED,
      .value_name = "ADDR", .help = "host:port, [v6]:port, unix:PATH or srv+NAME" },
    { PART(config_upstream, "weight", "weight", SETTING_COUNT, weight), .fallback = "1", .min = 1,
      .max = CONFIG_WEIGHT_MAX, .value_name = "N", .help = "share of the connections" },
    { PART(config_upstream, "server-name", "server_name", SETTING_TEXT, server_name), .value_name = "NAME",
      .help = "name or IP address that the certificate of this upstream must carry, also sent as SNI" },
    { PART(config_upstream, "standby", "standby", SETTING_FLAG, is_standby),
      .help = "used only while no other upstream works" },
};

static const struct setting certificate_rows[] = {
    { PART(config_certificate, "cert", "cert", SETTING_TEXT, cert_file), .required_by = SETTING_REQUIRED,
      .value_name = "FILE", .help = "certificate of husk, PEM, followed by its intermediates" },
    { PART(config_certificate, "key", "key", SETTING_TEXT, key_file), .required_by = SETTING_REQUIRED,
      .value_name = "FILE", .help = "private key of the certificate, PEM, encrypted or not" },
    { PART(config_certificate, "key-passphrase-env", "key_passphrase_env", SETTING_TEXT, passphrase_env),
      .value_name = "VAR", .help = "environment variable with the passphrase of the key" },
    { PART(config_certificate, "key-passphrase-file", "key_passphrase_file", SETTING_TEXT, passphrase_file),
      .value_name = "FILE", .help = "file whose first line is the passphrase of the key" },
};

/* Groups of rules about names. */
#define GROUP_ROWS(item, meaning)                                                                            \
    { PART(item, "any-of", "any_of", SETTING_LIST, who), .kind = PEER_RULE_ANY_OF, .min = 1,                 \
      .parts = &config_match_parts, .value_name = "MATCH",                                                   \
      .help = meaning "at least one of these maps" },                                                        \
    { PART(item, "all-of", "all_of", SETTING_LIST, who), .kind = PEER_RULE_ALL_OF, .min = 1,                 \
      .parts = &config_match_parts, .value_name = "MATCH",                                                   \
      .help = meaning "each of these maps" },                                                                \
    { PART(item, "not", "not", SETTING_LIST, who), .kind = PEER_RULE_NOT, .min = 1,                          \
      .parts = &config_match_parts, .value_name = "MATCH",                                                   \
      .help = meaning "none of these maps" }

#define NAME_ROW(name, rule_kind, value, what)                                                               \
    { PART(config_match, name, name, SETTING_LIST, who), .kind = rule_kind, .value_name = value,             \
      .help = "certificates that have this " what }

static const struct setting match_rows[] = {
    NAME_ROW("cn", PEER_RULE_CN, "VALUE", "common name"),
    NAME_ROW("dns", PEER_RULE_DNS, "VALUE", "DNS name"),
    NAME_ROW("uri", PEER_RULE_URI, "VALUE", "URI"),
    NAME_ROW("email", PEER_RULE_EMAIL, "VALUE", "e-mail address"),
    NAME_ROW("o", PEER_RULE_O, "VALUE", "organization"),
    NAME_ROW("ou", PEER_RULE_OU, "VALUE", "organizational unit"),
    NAME_ROW("issuer", PEER_RULE_ISSUER, "NAME", "issuer"),
    NAME_ROW("spki", PEER_RULE_SPKI, "HEX", "public key"),
    GROUP_ROWS(config_match, "certificates that match "),
};

static const struct setting rule_rows[] = {
    { PART(config_rule, "any", "any", SETTING_LIST, who), .kind = PEER_RULE_ANY,
      .help = "the rule is for every agent" },
    { PART(config_rule, "cn", "cn", SETTING_LIST, who), .kind = PEER_RULE_CN, .value_name = "VALUE",
      .help = "for agents whose certificate has this common name" },
    { PART(config_rule, "dns", "dns", SETTING_LIST, who), .kind = PEER_RULE_DNS, .value_name = "VALUE",
      .help = "for agents whose certificate has this DNS name" },
    { PART(config_rule, "uri", "uri", SETTING_LIST, who), .kind = PEER_RULE_URI, .value_name = "VALUE",
      .help = "for agents whose certificate has this URI" },
    { PART(config_rule, "email", "email", SETTING_LIST, who), .kind = PEER_RULE_EMAIL, .value_name = "VALUE",
      .help = "for agents whose certificate has this e-mail address" },
    { PART(config_rule, "o", "o", SETTING_LIST, who), .kind = PEER_RULE_O, .value_name = "VALUE",
      .help = "for agents whose certificate has this organization" },
    { PART(config_rule, "issuer", "issuer", SETTING_LIST, who), .kind = PEER_RULE_ISSUER, .value_name = "NAME",
      .help = "for agents whose certificate is from the CA with this name" },
    { PART(config_rule, "ou", "ou", SETTING_LIST, who), .kind = PEER_RULE_OU, .value_name = "VALUE",
      .help = "for agents whose certificate has this organizational unit" },
    { PART(config_rule, "spki", "spki", SETTING_LIST, who), .kind = PEER_RULE_SPKI, .value_name = "HEX",
      .help = "for agents whose certificate has this public key" },
    GROUP_ROWS(config_rule, "for agents whose certificate matches "),
    { PART(config_rule, "tags", "tags", SETTING_WORDS, tags), .value_name = "PATTERN,…",
      .help = "tags that the agent may write; default: every tag" },
    { PART(config_rule, "tag-prefix", "tag_prefix", SETTING_TEXT, tag_prefix), .value_name = "PREFIX",
      .help = "text that husk puts in front of the agent's tags" },
    { PART(config_rule, "bytes-per-second", "bytes_per_second", SETTING_BYTES, bytes_per_second), .min = 1,
      .max = MIB * MIB, .value_name = "SIZE", .help = "rate for all connections of the agent" },
    { PART(config_rule, "messages-per-second", "messages_per_second", SETTING_COUNT, messages_per_second),
      .min = 1, .max = 1000000000, .value_name = "N", .help = "rate for all connections of the agent" },
    { PART(config_rule, "burst", "burst", SETTING_DURATION, burst_ms), .fallback = "1s", .min = 20,
      .max = 3600000, .value_name = "D", .help = "an agent may send at once as much as its rates allow in this time" },
    { PART(config_rule, "max-message", "max_message", SETTING_BYTES, max_message_bytes), .min = KIB,
      .max = 4096 * MIB - 1, .value_name = "SIZE", .help = "longest message of the agent" },
};

static const char *const identity_names[] = { "cn", "uri", "dns", "spki", NULL };

static const struct setting identity_rows[] = {
    { PART(config_identity, "field", "field", SETTING_TEXT, field), .required_by = SETTING_REQUIRED,
      .value_name = "NAME", .help = "key that the records of the agent get" },
    { PART(config_identity, "from", "from", SETTING_CHOICE, from), .fallback = "cn", .choices = identity_names,
      .help = "the value: common name, first URI or first DNS name of the agent's certificate, or the hash of "
              "its key" },
};

static const struct setting user_rows[] = {
    { PART(config_user, "name", "name", SETTING_TEXT, name), .required_by = SETTING_REQUIRED,
      .value_name = "NAME", .help = "user name that agents may use" },
    { PART(config_user, "password-env", "password_env", SETTING_TEXT, password_env),
      .required_by = SETTING_REQUIRED, .value_name = "VAR",
      .help = "environment variable with the password of this user" },
};
/* clang-format on */

/* An offset of 0 means that there are no sources. */
_Static_assert(offsetof(struct config_listen, sources) > 0 && offsetof(struct config_upstream, sources) > 0 &&
                   offsetof(struct config_match, sources) > 0 && offsetof(struct config_rule, sources) > 0 &&
                   offsetof(struct config_user, sources) > 0 &&
                   offsetof(struct config_identity, sources) > 0 &&
                   offsetof(struct config_certificate, sources) > 0,
               "the sources are not the first field");
_Static_assert((int)(sizeof rule_rows / sizeof rule_rows[0]) <= (int)CONFIG_PARTS_MAX,
               "a source for each part");

const struct setting_parts config_listen_parts = PARTS(config_listen, listen_rows, 1, ',');
const struct setting_parts config_upstream_parts = PARTS(config_upstream, upstream_rows, 1, ',');
const struct setting_parts config_certificate_parts = PARTS(config_certificate, certificate_rows, 0, ',');
const struct setting_parts config_match_parts = PARTS(config_match, match_rows, 0, ' ', .name = "match");
const struct setting_parts config_rule_parts = PARTS(config_rule, rule_rows, 0, ' ');
const struct setting_parts config_user_parts = PARTS(config_user, user_rows, 2, '=');
const struct setting_parts config_identity_parts = PARTS(config_identity, identity_rows, 0, ',');
