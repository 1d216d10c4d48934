/* Judges our own certificate and its chain: validity, order, usages, names, strength, and whether the chain
 * leads to a CA of the CA file. Reads no file. */
#ifndef HUSK_CHECK_OWN_CERTIFICATE_H
#define HUSK_CHECK_OWN_CERTIFICATE_H

#include "check/report.h"
#include "trust/credentials_files.h"
#include "trust/inspection.h"

/* `now`: seconds since the epoch. */
void own_certificate_check(struct report *report, const struct credentials_files *files,
                           const struct inspection *inspection, int64_t now);

/* Adds a problem if our certificate, or an intermediate, is valid for less than `least_life` seconds after
 * `now`: /ready would fail (--min-certificate-life). A certificate that has ended has a finding already. */
void own_certificate_check_life(struct report *report, const struct inspection *inspection, int64_t now,
                                int64_t least_life);

#endif
