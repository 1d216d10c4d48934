#include "check/subject.h"

#include <stdio.h>
#include <string.h>

void subject_of_file(char subject[SUBJECT_BYTES], const char *setting, const char *path)
{
    snprintf(subject, SUBJECT_BYTES, "--%s %s", setting, path);
}

const char *subject_fault(const struct fault *fault, const char *path)
{
    const char *found = strstr(fault->text, path);

    if (!found || strncmp(found + strlen(path), ": ", 2) != 0)
        return fault->text;
    return found + strlen(path) + 2;
}
