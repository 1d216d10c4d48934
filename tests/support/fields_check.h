/* Compares a message with fields in its records (forward/body_fields.h) with what msgpack-c, zlib and libzstd
 * make of the message without them. For unit tests and fuzzing. */
#ifndef HUSK_TESTS_SUPPORT_FIELDS_CHECK_H
#define HUSK_TESTS_SUPPORT_FIELDS_CHECK_H

#include "forward/record_fields.h"
#include "support/body_check.h"

/* Makes the fields peer=a1, and from `count` 2 on key=0f, key3=x, and key4=x. */
void fields_check_make(struct record_fields *fields, unsigned count);

/* NULL when `after` is `before` with the fields, otherwise the difference. Also NULL when msgpack-c cannot
 * read `before`, which is nested too deeply then. */
const char *fields_check_difference(const struct bytes *before, const struct bytes *after,
                                    const struct record_fields *fields);

#endif
