/* The settings of the SPIFFE Workload API: rows of the table in config/schema.c, whose macros they use. */
#ifndef HUSK_CONFIG_SCHEMA_SPIFFE_H
#define HUSK_CONFIG_SCHEMA_SPIFFE_H

/* clang-format off */
/* Of one side. */
#define SPIFFE_ROWS(USER, side, section)                                                                     \
    { USER(TLS, "spiffe-socket", section "spiffe_socket", SETTING_TEXT, tls[side].spiffe_socket),            \
      .value_name = "ADDR",                                                                                  \
      .help = "SPIFFE Workload API that gives husk its certificate, key and CAs, in place of files: "        \
              "unix:PATH, tcp://IP:PORT, or env for the address in SPIFFE_ENDPOINT_SOCKET" },                \
    { USER(TLS, "spiffe-id", section "spiffe_id", SETTING_TEXT, tls[side].spiffe_id),                        \
      .value_name = "ID",                                                                                    \
      .help = "which certificate husk takes if the Workload API gives several, by SPIFFE ID; default: the "  \
              "first" },                                                                                     \
    { USER(TLS, "spiffe-hint", section "spiffe_hint", SETTING_TEXT, tls[side].spiffe_hint),                  \
      .value_name = "TEXT",                                                                                  \
      .help = "the same by the hint that the Workload API gives with a certificate" }

#define SPIFFE_PROCESS_ROWS                                                                                  \
    { PROCESS(OPERATIONS, "spiffe-timeout", "spiffe.timeout", SETTING_DURATION, spiffe_timeout_ms),          \
      .fallback = "1m", .min = 50, .max = 24 * HOUR, .zero_word = "off", .value_name = "D",                  \
      .help = "how long husk, when it starts, waits for the first answer of the Workload API before it "     \
              "ends; off: no limit" },                                                                       \
    { PROCESS(OPERATIONS, "spiffe-answer-timeout", "spiffe.answer_timeout", SETTING_DURATION,                \
              spiffe_answer_timeout_ms),                                                                     \
      .fallback = "10s", .min = 50, .max = HOUR, .value_name = "D",                                          \
      .help = "how long the Workload API may take to accept a connection and to send its first answer; "     \
              "then husk tries again" },                                                                     \
    { PROCESS(OPERATIONS, "spiffe-max-answer", "spiffe.max_answer", SETTING_BYTES,                           \
              spiffe_max_answer_bytes),                                                                      \
      .fallback = "4MiB", .min = 4 * KIB, .max = 256 * MIB, .value_name = "SIZE",                            \
      .help = "longest answer of the Workload API, with all certificates, bundles and revocation lists; "    \
              "husk keeps the last answer when a longer one comes" }
/* clang-format on */

#endif
