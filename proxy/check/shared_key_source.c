#include "check/shared_key_source.h"

#include "check/secret_file.h"
#include "check/subject.h"

void shared_key_source_check(struct report *report, const struct shared_key_options *options)
{
    const char *value = options->env ? options->env : options->file;
    char subject[SUBJECT_BYTES];
    struct fault fault;

    snprintf(subject, sizeof subject, "--%s-%s%s%s", options->setting,
             options->env    ? "env"
             : options->file ? "file"
                             : "empty",
             value ? " " : "", value ? value : "");
    struct shared_key *key = shared_key_load(options, &fault);
    if (key)
        report_add(report, FINDING_OK, subject, "the shared key is there");
    else
        report_add(report, FINDING_PROBLEM, subject, "%s", fault.text);
    shared_key_release(key);
    secret_file_check(report, subject, options->file);
}
