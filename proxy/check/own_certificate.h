/* Judges our own certificate and its chain: validity, order, usages, names, strength, and whether the chain
 * leads to a CA of the CA file. Reads no file. */
#ifndef HUSK_CHECK_OWN_CERTIFICATE_H
#define HUSK_CHECK_OWN_CERTIFICATE_H

#include "check/report.h"
#include "trust/inspection.h"

/* `now`: seconds since the epoch. */
void own_certificate_check(struct report *report, const struct credentials_options *options,
                           const struct inspection *inspection, int64_t now);

#endif
