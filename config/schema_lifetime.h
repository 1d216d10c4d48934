/* The settings that limit how long connections live, and tell that certificates end: rows of the table in
 * config/schema.c, whose macros they use. */
#ifndef HUSK_CONFIG_SCHEMA_LIFETIME_H
#define HUSK_CONFIG_SCHEMA_LIFETIME_H

/* clang-format off */
#define CONNECTION_AGE_ROWS                                                                                  \
    { ROUTE(CONNECTIONS, "max-connection-age", "connections.max_connection_age", SETTING_DURATION, max_connection_age_ms), \
      .fallback = "10m", .min = 100,                                                                         \
      .max = 168 * HOUR, .zero_word = "off", .value_name = "D",                                              \
      .help = "forward: an upstream connection is replaced at about this age, between two messages" },       \
    { ROUTE(CONNECTIONS, "max-downstream-age", "connections.max_downstream_age", SETTING_DURATION, max_downstream_age_ms), \
      .fallback = "off", .min = 100,                                                                         \
      .max = 168 * HOUR, .zero_word = "off", .value_name = "D",                                              \
      .help = "forward: husk ends the connection of an agent at about this age, between two messages; the "  \
              "agent connects again" }

#define CERTIFICATE_LIFE_ROW                                                                                 \
    { ROUTE(OPERATIONS, "min-certificate-life", "health.min_certificate_life", SETTING_DURATION, min_certificate_life_ms), \
      .fallback = "off", .min = 1000,                                                                        \
      .max = 8760 * HOUR, .zero_word = "off", .value_name = "D",                                             \
      .help = "/ready fails when husk's own certificate, or an intermediate of it, ends within this time; "  \
              "off: when it has ended" }
/* clang-format on */

#endif
