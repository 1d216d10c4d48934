/* Checks the file of a Unix socket to which husk is to connect. Makes no connection. */
#ifndef HUSK_CHECK_UNIX_UPSTREAM_H
#define HUSK_CHECK_UNIX_UPSTREAM_H

#include "check/report.h"
#include "wire/address.h"

/* `address`: a Unix address. An abstract name has no file: it is only reported. */
void unix_upstream_check(struct report *report, const struct subject *subject, const struct address *address);

#endif
