#include "check/tls_files.h"

#include "check/authorities.h"
#include "check/own_certificate.h"
#include "check/private_key_file.h"
#include "check/subject.h"

static void weak_report(struct report *report)
{
    struct subject subject;

    subject_of_setting(&subject, report->words, "allow-weak-certificates", NULL);
    report_add(report, FINDING_WARNING, &subject, "peers whose certificates can be forged are accepted");
}

void tls_files_check(struct report *report, const struct credentials_options *options, int64_t now)
{
    struct inspection inspection;

    inspection_init(&inspection, options);
    own_certificate_check(report, options, &inspection, now);
    private_key_file_check(report, options, &inspection);
    authorities_check(report, options, &inspection, now);
    if (options->allow_weak)
        weak_report(report);
    inspection_deinit(&inspection);
}
