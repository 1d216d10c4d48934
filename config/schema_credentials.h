/* Where own certificate and key come from, if not from two files. Rows of the table in config/schema.c, whose
 * macros they use. */
#ifndef HUSK_CONFIG_SCHEMA_CREDENTIALS_H
#define HUSK_CONFIG_SCHEMA_CREDENTIALS_H

/* clang-format off */
#define CREDENTIALS_ROWS(USER, side, section)                                                                \
    { USER(TLS, "credentials", section "credentials", SETTING_TEXT, tls[side].directory),                    \
      .value_name = "DIR",                                                                                   \
      .help = "directory with certificate, key and CAs under the names of kubernetes.io/tls, cert-manager, " \
              "spiffe-helper or husk pki; in the place of --cert, --key and --ca" },                         \
    { USER(TLS, "keystore", section "keystore", SETTING_TEXT, tls[side].keystore),                           \
      .value_name = "FILE",                                                                                  \
      .help = "PKCS#12 file with the key, its certificate and the intermediates; in the place of --cert "    \
              "and --key" }
/* clang-format on */

#endif
