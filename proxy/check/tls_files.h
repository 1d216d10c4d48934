/* Checks the certificate, key and CA files of one side, and says all that is wrong with them.
 *
 * Opens no connection. Never reports a secret. */
#ifndef HUSK_CHECK_TLS_FILES_H
#define HUSK_CHECK_TLS_FILES_H

#include "check/report.h"
#include "trust/credentials.h"

#include <stdint.h>

/* `now`: seconds since the epoch. */
void tls_files_check(struct report *report, const struct credentials_options *options, int64_t now);

#endif
