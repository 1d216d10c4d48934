/* Judges when certificates and revocation lists expire. */
#ifndef HUSK_CHECK_EXPIRY_H
#define HUSK_CHECK_EXPIRY_H

#include "check/report.h"
#include "trust/certificate_facts.h"

#include <stdint.h>

/* The last part of the life of a certificate, in which its end is a warning: so many days, and at most a
 * third of its life. A certificate that lives for a day is renewed every day. */
enum { EXPIRY_WARNING_DAYS = 30, EXPIRY_WARNING_SHARE = 3 };

enum expiry { EXPIRY_FUTURE, EXPIRY_GOOD, EXPIRY_SOON, EXPIRY_PAST };

/* All times are in seconds since the epoch. EXPIRY_FUTURE: not valid yet. */
enum expiry expiry_of(int64_t not_before, int64_t not_after, int64_t now);

/* Adds what is to say about the validity of a certificate. `failure`: the level if it is not valid now. */
void expiry_report(struct report *report, const struct subject *subject,
                   const struct certificate_facts *facts, enum finding_level failure, int64_t now);

#endif
