#include "check/revocation_lists.h"

#include "check/subject.h"
#include "trust/revocation.h"

#include <stdbool.h>

/* The setting that names the file of a list. */
static void subject_of_source(struct subject *subject, const struct report *report,
                              const struct credentials_files *files, int source)
{
    const struct credentials_options *options = &files->options;

    if (source == REVOCATION_SOURCE_CA)
        subject_of_setting(subject, report->words, files->ca_option, options->ca_file);
    else
        subject_of_item(subject, report->words, "crl", (size_t)source, options->revocation.paths[source]);
}

static void fault_report(struct report *report, const struct credentials_files *files, int source,
                         const struct fault *fault)
{
    const struct credentials_options *options = &files->options;
    struct subject subject;

    if (!fault->text[0])
        return;
    subject_of_source(&subject, report, files, source);
    report_add(report, FINDING_PROBLEM, &subject, "%s",
               subject_fault(fault, source == REVOCATION_SOURCE_CA ? options->ca_file
                                                                   : options->revocation.paths[source]));
}

static void faults_report(struct report *report, const struct credentials_files *files,
                          const struct inspected_lists *lists)
{
    const struct credentials_options *options = &files->options;

    fault_report(report, files, REVOCATION_SOURCE_CA, &lists->ca_fault);
    for (size_t i = 0; i < options->revocation.count; i++)
        fault_report(report, files, (int)i, &lists->crl_faults[i]);
    fault_report(report, files, options->revocation.count ? 0 : REVOCATION_SOURCE_CA, &lists->fault);
}

static void freshness_report(struct report *report, const struct subject *subject,
                             const struct revocation_facts *list, enum revocation_policy policy, int64_t now)
{
    enum revocation_status status = revocation_freshness(list, now);
    static const enum finding_level levels[] = { [REVOCATION_WARN] = FINDING_WARNING,
                                                 [REVOCATION_REQUIRE] = FINDING_PROBLEM,
                                                 [REVOCATION_IGNORE] = FINDING_NOTE };
    enum finding_level level = levels[policy];
    char time[CERTIFICATE_TIME_BYTES];

    certificate_describe_time(status == REVOCATION_EARLY ? list->this_update : list->next_update, time);
    if (status == REVOCATION_GOOD) {
        report_add(report, FINDING_OK, subject, "husk applies the revocation list of %s%s%s", list->issuer,
                   list->next_update ? ", which is fresh until " : "", list->next_update ? time : "");
        return;
    }
    if (status == REVOCATION_STALE)
        report_add(report, level, subject, "the revocation list of %s is old: a newer list was due at %s",
                   list->issuer, time);
    else
        report_add(report, level, subject, "the revocation list of %s is not valid before %s", list->issuer,
                   time);
    report_advise(report, "fetch the newest list of the CA; %s",
                  policy == REVOCATION_REQUIRE
                      ? "husk refuses the certificates of the CA (--revocation-policy)"
                      : "husk still applies this list");
}

static void list_check(struct report *report, const struct subject *subject,
                       const struct revocation_facts *list, enum revocation_policy policy, int64_t now)
{
    switch (list->signer) {
    case REVOCATION_SIGNER_OURS:
        freshness_report(report, subject, list, policy, now);
        return;
    case REVOCATION_SIGNER_UNKNOWN:
        report_add(report, FINDING_NOTE, subject,
                   "no CA of --ca has signed the revocation list of %s: the list has an effect only if peers "
                   "show the certificate of this CA",
                   list->issuer);
        return;
    case REVOCATION_SIGNER_WRONG:
        report_add(report, FINDING_WARNING, subject,
                   "the revocation list of %s has no effect: no CA of --ca has made its signature",
                   list->issuer);
        report_advise(report, "fetch the list from the CA again, or add the CA with this key to --ca");
        return;
    }
}

static bool has_list(const struct revocation *lists, size_t ca)
{
    for (size_t i = 0; i < revocation_count(lists); i++) {
        const struct revocation_facts *list = revocation_facts_of(lists, i);
        if (list->signer == REVOCATION_SIGNER_OURS && list->ca == ca)
            return true;
    }
    return false;
}

/* A CA without a list is worth a word if husk requires lists, or if another CA has one. */
static void missing_report(struct report *report, const struct credentials_files *files,
                           const struct revocation *lists)
{
    const struct credentials_options *options = &files->options;
    bool is_required = options->revocation.policy == REVOCATION_REQUIRE;
    struct subject subject;

    subject_of_setting(&subject, report->words, files->ca_option, options->ca_file);
    for (size_t i = 0; i < revocation_ca_count(lists); i++) {
        if (has_list(lists, i) || (!is_required && !revocation_count(lists)))
            continue;
        report_add(report, is_required ? FINDING_PROBLEM : FINDING_NOTE, &subject,
                   "there is no revocation list of CA %s%s", revocation_ca_name(lists, i),
                   is_required ? ": husk refuses its certificates (--revocation-policy require)" : "");
        if (is_required)
            report_advise(report, "add the list of the CA with --crl");
    }
}

void revocation_lists_check(struct report *report, const struct credentials_files *files,
                            const struct inspection *inspection, int64_t now)
{
    const struct revocation *lists = inspection->lists.lists;
    struct subject subject;

    faults_report(report, files, &inspection->lists);
    for (size_t i = 0; lists && i < revocation_count(lists); i++) {
        const struct revocation_facts *list = revocation_facts_of(lists, i);
        if (!revocation_counts(lists, i, now))
            continue;
        subject_of_source(&subject, report, files, list->source);
        list_check(report, &subject, list, files->options.revocation.policy, now);
    }
    if (lists)
        missing_report(report, files, lists);
}
