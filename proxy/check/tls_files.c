#include "check/tls_files.h"

#include "check/authorities.h"
#include "check/own_certificate.h"
#include "check/private_key_file.h"

void tls_files_check(struct report *report, const struct credentials_options *options, int64_t now)
{
    struct inspection inspection;

    inspection_init(&inspection, options);
    own_certificate_check(report, options, &inspection, now);
    private_key_file_check(report, options, &inspection);
    authorities_check(report, options, &inspection, now);
    if (options->allow_weak)
        report_add(report, FINDING_WARNING, "--allow-weak-certificates",
                   "peers whose certificates can be forged are accepted");
    inspection_deinit(&inspection);
}
