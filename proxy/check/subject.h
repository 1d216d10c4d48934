/* How a finding names what it is about. */
#ifndef HUSK_CHECK_SUBJECT_H
#define HUSK_CHECK_SUBJECT_H

#include "base/fault.h"

enum { SUBJECT_BYTES = 512 };

/* "--setting path" */
void subject_of_file(char subject[SUBJECT_BYTES], const char *setting, const char *path);

/* The text of a fault without the path in front, which the subject names. Borrowed from the fault. */
const char *subject_fault(const struct fault *fault, const char *path);

#endif
