/* Checks the certificate, key and CA files of one side, and says all that is wrong with them.
 *
 * Opens no connection. Never reports a secret. */
#ifndef HUSK_CHECK_TLS_FILES_H
#define HUSK_CHECK_TLS_FILES_H

#include "check/report.h"
#include "trust/certificate_facts.h"
#include "trust/credentials.h"

#include <stdint.h>

/* `now`: seconds since the epoch. `least_life`: how many seconds our certificate, and each intermediate, must
 * be valid after `now` (--min-certificate-life); 0: any. Sets *leaf to what our own certificate says. True:
 * the files have no problem, and *leaf is set. */
bool tls_files_check(struct report *report, const struct credentials_options *options, int64_t now,
                     int64_t least_life, struct certificate_facts *leaf);

#endif
