/* Judges the revocation lists of the CAs. Reads no file. */
#ifndef HUSK_CHECK_REVOCATION_LISTS_H
#define HUSK_CHECK_REVOCATION_LISTS_H

#include "check/report.h"
#include "trust/credentials_files.h"
#include "trust/inspection.h"

#include <stdint.h>

/* `now` in seconds since the epoch. */
void revocation_lists_check(struct report *report, const struct credentials_files *files,
                            const struct inspection *inspection, int64_t now);

#endif
