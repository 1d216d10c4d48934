/* The settings for keys in PKCS#11 tokens: rows of the table in config/schema.c, whose macros they use. */
#ifndef HUSK_CONFIG_SCHEMA_TOKEN_H
#define HUSK_CONFIG_SCHEMA_TOKEN_H

/* clang-format off */
/* Of one side. */
#define TOKEN_ROW(USER, side, section)                                                                       \
    { USER(TLS, "key-sessions", section "key_sessions", SETTING_COUNT, tls[side].key_sessions),              \
      .value_name = "N", .fallback = "4", .min = 1, .max = 64,                                               \
      .help = "how many signatures a PKCS#11 token makes for husk at the same time; husk opens up to as many " \
              "sessions with the token" }

#define TOKEN_PROCESS_ROW                                                                                    \
    { PROCESS(OPERATIONS, "token-timeout", "token.timeout", SETTING_DURATION, token_timeout_ms),             \
      .fallback = "5s", .min = 50, .max = 60000, .value_name = "D",                                          \
      .help = "how long a PKCS#11 token may take to open a key; while it opens one, husk reloads and probes " \
              "nothing else" }
/* clang-format on */

#endif
