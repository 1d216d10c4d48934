/* The settings of TLS itself, for one side: versions, ciphers, groups, signatures. Rows of the table in
 * config/schema.c, whose macros they use. */
#ifndef HUSK_CONFIG_SCHEMA_TLS_H
#define HUSK_CONFIG_SCHEMA_TLS_H

static const char *const tls_versions[] = { "1.2", "1.3", NULL };

/* clang-format off */
#define TLS_PROTOCOL_ROWS(USER, side, section)                                                               \
    { USER(TLS, "more-cert", section "certificates", SETTING_LIST, tls[side].certificates),                \
      .parts = &config_certificate_parts,                                                                    \
      .value_name = "cert=FILE,key=FILE[,key-passphrase-env=VAR][,key-passphrase-file=FILE]",                \
      .help = "further certificate of husk; can be given up to 7 times; a peer gets the first certificate "  \
              "that it can verify, a server looks first for the name that the client asks for (SNI)" },      \
    { USER(TLS, "tls-min", section "min_version", SETTING_CHOICE, tls[side].min_version),                    \
      .fallback = "1.2", .choices = tls_versions,                                                            \
      .help = "oldest TLS version that is accepted" },                                                       \
    { USER(TLS, "tls-max", section "max_version", SETTING_CHOICE, tls[side].max_version),                    \
      .fallback = "1.3", .choices = tls_versions,                                                            \
      .help = "newest TLS version that is accepted" },                                                       \
    { USER(TLS, "tls-ciphers", section "ciphers", SETTING_WORDS, tls[side].names[TLS_CIPHERS]),              \
      .fallback = "ECDHE-ECDSA-AES128-GCM-SHA256,ECDHE-RSA-AES128-GCM-SHA256,"                               \
                  "ECDHE-ECDSA-AES256-GCM-SHA384,ECDHE-RSA-AES256-GCM-SHA384,"                               \
                  "ECDHE-ECDSA-CHACHA20-POLY1305,ECDHE-RSA-CHACHA20-POLY1305",                               \
      .value_name = "LIST",                                                                                  \
      .help = "ciphers of TLS 1.2, comma-separated, best first, by their names in OpenSSL or IANA; TLS 1.3 " \
              "has ciphers of its own, which no setting changes" },                                          \
    { USER(TLS, "tls-groups", section "groups", SETTING_WORDS, tls[side].names[TLS_GROUPS]),                 \
      .value_name = "LIST",                                                                                  \
      .help = "groups of the key exchange, comma-separated, best first; default: X25519MLKEM768 if the TLS " \
              "library has it (husk version), X25519, P-256, P-384, P-521" },                                \
    { USER(TLS, "tls-signature-algorithms", section "signature_algorithms", SETTING_WORDS, tls[side].names[TLS_SIGNATURES]),     \
      .fallback = "ecdsa_secp256r1_sha256,ed25519,rsa_pss_rsae_sha256,rsa_pkcs1_sha256,"                     \
                  "ecdsa_secp384r1_sha384,rsa_pss_rsae_sha384,rsa_pkcs1_sha384,rsa_pss_rsae_sha512,"         \
                  "rsa_pkcs1_sha512,ecdsa_secp521r1_sha512",                                                 \
      .value_name = "LIST",                                                                                  \
      .help = "signature algorithms of handshakes, comma-separated, best first, by their names in IANA or "  \
              "OpenSSL; the key of husk must fit one of them" }

#define TLS_CLIENT_ROWS                                                                                      \
    { CLIENT(TLS, "insecure", "tls.upstream.insecure", SETTING_FLAG, tls[SIDE_UPSTREAM].insecure),           \
      .help = "accept every server, and verify no certificate: whoever is on the way can read and change "   \
              "all messages; only for tests" },                                                              \
    { CLIENT(TLS, "sni", "tls.upstream.sni", SETTING_TEXT, tls[SIDE_UPSTREAM].sni),                          \
      .zero_word = "off", .value_name = "NAME|off",                                                          \
      .help = "DNS name that husk sends as SNI to every upstream, for a proxy that chooses by it; off: husk " \
              "sends none; default: the name that the certificate must carry" }

#define TLS_SERVER_ROWS                                                                                      \
    { SERVER(TLS, "ticket-keys", "tls.downstream.ticket_keys", SETTING_TEXT,                                 \
             tls[SIDE_DOWNSTREAM].ticket_keys_file), .value_name = "FILE",                                   \
      .help = "keys for session tickets, so that several servers with this file resume each other's "        \
              "sessions: up to 16 keys of 48 or 80 bytes, as bytes or one in base64 on each line; the first " \
              "encrypts, the others only decrypt; default: keys of this process, replaced every two days" }
/* clang-format on */

#endif
