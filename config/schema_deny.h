/* The settings `deny`: rows of the table in config/schema.c, whose macros they use. */
#ifndef HUSK_CONFIG_SCHEMA_DENY_H
#define HUSK_CONFIG_SCHEMA_DENY_H

#include "config/schema_allow.h"

/* clang-format off */
#define DENY_ROW(name, path, rule_kind, value, what, values)                                                 \
    { SERVER(TLS, name, path, SETTING_LIST, deny), .kind = rule_kind, .value_name = value,                   \
      .help = "refuse clients whose certificate has this " what ", also if another setting admits them" values }

#define DENY_ROWS                                                                                            \
    DENY_ROW("deny-cn", "deny.cn", PEER_RULE_CN, "VALUE",                                                    \
             "common name", " (* matches any text)"), \
    DENY_ROW("deny-dns", "deny.dns", PEER_RULE_DNS, "VALUE",                                                 \
             "DNS name", " (* matches text without dots)"), \
    DENY_ROW("deny-uri", "deny.uri", PEER_RULE_URI, "VALUE",                                                 \
             "URI", " (* matches text without slashes, ** any text)"), \
    DENY_ROW("deny-email", "deny.email", PEER_RULE_EMAIL, "VALUE",                                           \
             "e-mail address", " (* matches text without @)"), \
    DENY_ROW("deny-o", "deny.o", PEER_RULE_O, "VALUE",                                                       \
             "organization", " (* matches any text)"), \
    DENY_ROW("deny-ou", "deny.ou", PEER_RULE_OU, "VALUE",                                                    \
             "organizational unit", " (* matches any text)"), \
    DENY_ROW("deny-issuer", "deny.issuer", PEER_RULE_ISSUER, "NAME",                                         \
             "issuer", ", such as CN=Agents,O=Example (* matches any text)"), \
    DENY_ROW("deny-spki", "deny.spki", PEER_RULE_SPKI, "HEX",                                                \
             "public key", ": SHA-256 of its SubjectPublicKeyInfo"),                                         \
    MATCH_ROWS("deny", "deny", deny, "refuse clients whose certificate matches ")
/* clang-format on */

#endif
