/* The settings `allow` and `tls.upstream.allow`: rows of the table in config/schema.c, whose macros they use.
 */
#ifndef HUSK_CONFIG_SCHEMA_ALLOW_H
#define HUSK_CONFIG_SCHEMA_ALLOW_H

/* clang-format off */
/* Groups of rules about names. Options have none. */
#define MATCH_ROW(name, path, field, rule_kind, meaning)                                                     \
    { FILES(TLS, name, path, SETTING_LIST, field), .kind = rule_kind, .parts = &config_match_parts,          \
      .min = 1, .value_name = "MATCH",                                                                       \
      .help = meaning " of these maps, which have the keys cn, dns, uri, email, o, ou, issuer, spki, any_of, " \
              "all_of and not; up to 8 groups stand in each other" }
#define MATCH_ROWS(name, section, field, meaning)                                                            \
    MATCH_ROW(name "-any-of", section ".any_of", field, PEER_RULE_ANY_OF, meaning "at least one"),           \
    MATCH_ROW(name "-all-of", section ".all_of", field, PEER_RULE_ALL_OF, meaning "each"),                   \
    MATCH_ROW(name "-not", section ".not", field, PEER_RULE_NOT, meaning "none")

/* The server of a client. */
#define SERVER_NAME_ROW(name, rule_kind, value, what)                                                        \
    { CLIENT(TLS, "allow-server-" name, "tls.upstream.allow." name, SETTING_LIST, allow_server),             \
      .kind = rule_kind, .value_name = value,                                                                \
      .help = "accept only servers whose certificate has this " what }

#define ALLOW_SERVER_ROWS                                                                                    \
    { CLIENT(TLS, "ignore-server-name", "tls.upstream.ignore_server_name", SETTING_FLAG, ignore_server_name),\
      .help = "do not compare the server name with the certificate, as for SPIFFE servers, which have no DNS name; "\
              "requires --allow-server-uri, or another setting that names the servers" },                    \
    SERVER_NAME_ROW("cn", PEER_RULE_CN, "VALUE",                                                             \
                    "common name (* matches any text)"),                                                     \
    SERVER_NAME_ROW("dns", PEER_RULE_DNS, "VALUE",                                                           \
                    "DNS name (* matches text without dots)"),                                               \
    SERVER_NAME_ROW("uri", PEER_RULE_URI, "VALUE",                                                           \
                    "URI, such as a SPIFFE ID (* matches text without slashes, ** any text)"),               \
    SERVER_NAME_ROW("email", PEER_RULE_EMAIL, "VALUE",                                                       \
                    "e-mail address (* matches text without @)"),                                            \
    SERVER_NAME_ROW("o", PEER_RULE_O, "VALUE",                                                               \
                    "organization (* matches any text)"),                                                    \
    SERVER_NAME_ROW("ou", PEER_RULE_OU, "VALUE",                                                             \
                    "organizational unit (* matches any text)"),                                             \
    SERVER_NAME_ROW("issuer", PEER_RULE_ISSUER, "NAME",                                                      \
                    "issuer, such as CN=Servers,O=Example (* matches any text)"),                            \
    SERVER_NAME_ROW("spki", PEER_RULE_SPKI, "HEX",                                                           \
                    "public key: SHA-256 of its SubjectPublicKeyInfo"),                                      \
    MATCH_ROWS("allow-server", "tls.upstream.allow", allow_server, "accept servers whose certificate matches ")

static const char *const client_certificates[] = { "require", "optional", "none", NULL };

#define ALLOW_ROWS                                                                                           \
    { SERVER(TLS, "allow-cn", "allow.cn", SETTING_LIST, allow), .kind = PEER_RULE_CN, .value_name = "VALUE", \
      .help = "admit clients whose certificate has this common name (* matches any text)" },                 \
    { SERVER(TLS, "allow-dns", "allow.dns", SETTING_LIST, allow), .kind = PEER_RULE_DNS, .value_name = "VALUE", \
      .help = "admit clients whose certificate has this DNS name (* matches text without dots)" },           \
    { SERVER(TLS, "allow-uri", "allow.uri", SETTING_LIST, allow), .kind = PEER_RULE_URI, .value_name = "VALUE", \
      .help = "admit clients whose certificate has this URI, such as a SPIFFE ID (* matches text without slashes, ** any text)" }, \
    { SERVER(TLS, "allow-email", "allow.email", SETTING_LIST, allow), .kind = PEER_RULE_EMAIL, .value_name = "VALUE", \
      .help = "admit clients whose certificate has this e-mail address (* matches text without @)" },        \
    { SERVER(TLS, "allow-o", "allow.o", SETTING_LIST, allow), .kind = PEER_RULE_O, .value_name = "VALUE", .help = "admit clients whose certificate has this organization" }, \
    { SERVER(TLS, "allow-ou", "allow.ou", SETTING_LIST, allow), .kind = PEER_RULE_OU, .value_name = "VALUE", \
      .help = "admit clients whose certificate has this organizational unit" },                              \
    { SERVER(TLS, "allow-issuer", "allow.issuer", SETTING_LIST, allow), .kind = PEER_RULE_ISSUER, .value_name = "NAME", \
      .help = "admit clients whose certificate is from the CA with this name, such as CN=Agents,O=Example (* matches any text)" }, \
    { SERVER(TLS, "allow-spki", "allow.spki", SETTING_LIST, allow), .kind = PEER_RULE_SPKI, .value_name = "HEX", \
      .help = "admit clients whose certificate has this public key: SHA-256 of its SubjectPublicKeyInfo" },  \
    MATCH_ROWS("allow", "allow", allow, "admit clients whose certificate matches "),                         \
    { SERVER(TLS, "client-certificate", "tls.downstream.client_certificate", SETTING_CHOICE, client_certificate),\
      .fallback = "require", .choices = client_certificates,                                                 \
      .help = "whether clients must show a certificate: require; optional: a client may show none, but a certificate "\
              "that it shows must be good; none: husk asks for no certificate. optional and none require "   \
              "--allow-anonymous" },                                                                         \
    { SERVER(TLS, "allow-anonymous", "allow.anonymous", SETTING_LIST, allow), .kind = PEER_RULE_ANONYMOUS,   \
      .help = "admit clients that show no certificate; requires --client-certificate optional or none" },    \
    { SERVER(TLS, "allow-any", "allow.any", SETTING_LIST, allow), .kind = PEER_RULE_VERIFIED, .help = "admit every client whose certificate is issued by the CA" }
/* clang-format on */

#endif
