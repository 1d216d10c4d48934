#include "check/shared_key_source.h"

#include "check/secret_file.h"
#include "check/subject.h"

#include <stdio.h>
#include <string.h>

enum { OPTION_BYTES = 64 };

/* The fault without "--shared-key: " in front, which the subject says better. */
static const char *fault_text(const struct fault *fault, const char *setting)
{
    char prefix[OPTION_BYTES];
    size_t length = (size_t)snprintf(prefix, sizeof prefix, "--%s: ", setting);

    return strncmp(fault->text, prefix, length) == 0 ? fault->text + length : fault->text;
}

void shared_key_source_check(struct report *report, const struct shared_key_options *options)
{
    const char *value = options->env ? options->env : options->file;
    char option[OPTION_BYTES];
    struct subject subject;
    struct fault fault;

    snprintf(option, sizeof option, "%s-%s", options->setting,
             options->env    ? "env"
             : options->file ? "file"
                             : "empty");
    subject_of_setting(&subject, report->words, option, value);
    struct shared_key *key = shared_key_load(options, &fault);
    if (key)
        report_add(report, FINDING_OK, &subject, "the shared key is there");
    else
        report_add(report, FINDING_PROBLEM, &subject, "%s", fault_text(&fault, option));
    shared_key_release(key);
    secret_file_check(report, &subject, options->file);
}
