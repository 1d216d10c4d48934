#include "config/schema_parts.h"

#include "config/config.h"
#include "trust/peer_policy.h"

#define PART(item, part_name, key, part_type, field)                                                         \
    .name = part_name, .path = key, .type = part_type, .offset = offsetof(struct item, field)
#define PARTS(item, of_rows, named_from, separates)                                                          \
    {                                                                                                        \
        .table = { .rows = of_rows,                                                                          \
                   .count = sizeof of_rows / sizeof of_rows[0],                                              \
                   .sources = offsetof(struct item, sources) },                                              \
        .size = sizeof(struct item), .positionals = named_from, .separator = separates,                      \
    }
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

static const struct setting rule_rows[] = {
    { PART(config_rule, "any", "any", SETTING_LIST, who), .kind = PEER_RULE_ANY,
      .help = "the rule is for every agent" },
    { PART(config_rule, "cn", "cn", SETTING_LIST, who), .kind = PEER_RULE_CN, .value_name = "VALUE",
      .help = "for agents whose certificate has this common name" },
    { PART(config_rule, "dns", "dns", SETTING_LIST, who), .kind = PEER_RULE_DNS, .value_name = "VALUE",
      .help = "for agents whose certificate has this DNS name" },
    { PART(config_rule, "uri", "uri", SETTING_LIST, who), .kind = PEER_RULE_URI, .value_name = "VALUE",
      .help = "for agents whose certificate has this URI" },
    { PART(config_rule, "ou", "ou", SETTING_LIST, who), .kind = PEER_RULE_OU, .value_name = "VALUE",
      .help = "for agents whose certificate has this organizational unit" },
    { PART(config_rule, "spki", "spki", SETTING_LIST, who), .kind = PEER_RULE_SPKI, .value_name = "HEX",
      .help = "for agents whose certificate has this public key" },
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
                   offsetof(struct config_rule, sources) > 0 && offsetof(struct config_user, sources) > 0,
               "the sources are not the first field");
_Static_assert((int)(sizeof rule_rows / sizeof rule_rows[0]) <= (int)CONFIG_PARTS_MAX,
               "a source for each part");

const struct setting_parts config_listen_parts = PARTS(config_listen, listen_rows, 1, ',');
const struct setting_parts config_upstream_parts = PARTS(config_upstream, upstream_rows, 1, ',');
const struct setting_parts config_rule_parts = PARTS(config_rule, rule_rows, 0, ' ');
const struct setting_parts config_user_parts = PARTS(config_user, user_rows, 2, '=');
