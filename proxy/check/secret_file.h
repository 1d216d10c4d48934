/* Checks who may read a file that has a secret. */
#ifndef HUSK_CHECK_SECRET_FILE_H
#define HUSK_CHECK_SECRET_FILE_H

#include "check/report.h"

/* Adds a warning if users other than the owner may read the file. NULL: there is none. */
void secret_file_check(struct report *report, const struct subject *subject, const char *path);

#endif
