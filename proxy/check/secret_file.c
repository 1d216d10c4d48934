#include "check/secret_file.h"

#include "trust/private_key.h"

void secret_file_check(struct report *report, const struct subject *subject, const char *path)
{
    unsigned mode;

    if (!path || !private_key_is_shared(path, &mode))
        return;
    report_add(report, FINDING_WARNING, subject, "users other than the owner can read the file (mode %04o)",
               mode);
    report_advise(report, "chmod 600, or 640 if husk reads it through its group");
}
