/* Checks that the shared key of one side, and the passwords that belong to it, can be loaded. Reports no
 * secret. */
#ifndef HUSK_CHECK_SHARED_KEY_SOURCE_H
#define HUSK_CHECK_SHARED_KEY_SOURCE_H

#include "check/report.h"
#include "link/shared_key.h"

void shared_key_source_check(struct report *report, const struct shared_key_options *options);

#endif
