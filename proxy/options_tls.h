/* The settings of TLS itself, checked: ciphers, groups, signatures, SNI. */
#ifndef HUSK_OPTIONS_TLS_H
#define HUSK_OPTIONS_TLS_H

#include "base/end_reason.h"
#include "config/config_check.h"
#include "trust/credentials_options.h"

#include <stdbool.h>

/* Whether all certificates of the side are in the list `certificates`: the first of them stands for --cert.
 */
bool options_tls_lists_all(const struct config *config, enum side side);

/* Checks the settings of one side and sets the fields of `options` that belong to them. The options point
 * into the settings. */
void options_tls_set(struct credentials_options *options, enum side side, const struct config_check *check);

/* Whether husk shows no certificate on the side: `--cert none`. */
bool options_tls_shows_nothing(const struct config *config, enum side side);

#endif
