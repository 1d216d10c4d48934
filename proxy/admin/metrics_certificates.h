/* The series of certificates and revocation lists for /metrics. */
#ifndef HUSK_ADMIN_METRICS_CERTIFICATES_H
#define HUSK_ADMIN_METRICS_CERTIFICATES_H

#include "base/metrics.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* When something of each side ends, in seconds since the epoch; 0: the side has no series. */
void metrics_certificates_write_ends(FILE *out, const char *family, const struct metrics_route *route,
                                     const int64_t ends[SIDE_COUNT]);

/* A time of each certificate of husk: the int64_t at `offset` in struct metrics_certificate. Several
 * certificates of a side have their numbers as the label. */
void metrics_certificates_write_own(FILE *out, const char *family, const struct metrics_route *route,
                                    size_t offset);

/* When newer revocation lists are due. */
void metrics_certificates_write_crls(FILE *out, const char *family, const struct metrics_route *route);

#endif
