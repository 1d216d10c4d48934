/* Judges the CAs that peers are verified with. Reads no file. */
#ifndef HUSK_CHECK_AUTHORITIES_H
#define HUSK_CHECK_AUTHORITIES_H

#include "check/report.h"
#include "trust/credentials_files.h"
#include "trust/inspection.h"

/* `now`: seconds since the epoch. */
void authorities_check(struct report *report, const struct credentials_files *files,
                       const struct inspection *inspection, int64_t now);

#endif
