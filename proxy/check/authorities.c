#include "check/authorities.h"

#include "check/expiry.h"
#include "check/subject.h"

static bool is_valid(const struct certificate_facts *facts, int64_t now)
{
    enum expiry expiry = expiry_of(facts->not_before, facts->not_after, now);

    return expiry == EXPIRY_GOOD || expiry == EXPIRY_SOON;
}

static bool any_is_valid(const struct inspected_certificates *cas, int64_t now)
{
    for (size_t i = 0; i < cas->count; i++) {
        if (is_valid(&cas->items[i].facts, now))
            return true;
    }
    return false;
}

/* A bundle may have an old CA beside its successor: one valid CA is enough. */
static void ca_check(struct report *report, const struct subject *subject,
                     const struct inspected_certificate *ca, enum finding_level failure, int64_t now)
{
    const struct certificate_facts *facts = &ca->facts;

    if (!facts->is_ca) {
        report_add(report, FINDING_PROBLEM, subject, "certificate %s is not a CA certificate", facts->name);
        report_advise(report,
                      "put the certificate of its issuer, %s, into the file instead; a CA needs "
                      "basicConstraints=critical,CA:true",
                      facts->issuer);
        return;
    }
    if (!ca->has_version)
        expiry_report(report, subject, facts, failure, now);
    if (facts->flaw[0])
        report_add(report, FINDING_WARNING, subject, "CA %s %s, which is weak", facts->name, facts->flaw);
}

static void list_check(struct report *report, const struct subject *subject,
                       const struct inspected_list *list, int64_t now)
{
    char time[CERTIFICATE_TIME_BYTES];

    certificate_describe_time(list->next_update, time);
    if (!list->is_ours) {
        report_add(
            report, FINDING_NOTE, subject,
            "no CA of the file has signed the revocation list of %s: it has an effect only if peers show the "
            "certificate of this CA",
            list->issuer);
    } else if (list->next_update && list->next_update < now) {
        report_add(report, FINDING_WARNING, subject,
                   "the revocation list of %s is old: a newer list was due at %s; husk still applies it",
                   list->issuer, time);
        report_advise(report, "fetch the newest list of the CA");
    } else {
        report_add(report, FINDING_OK, subject, "husk applies the revocation list of %s", list->issuer);
    }
}

void authorities_check(struct report *report, const struct credentials_options *options,
                       const struct inspection *inspection, int64_t now)
{
    const struct inspected_certificates *cas = &inspection->cas;
    const struct inspected_lists *lists = &inspection->lists;
    enum finding_level failure = any_is_valid(cas, now) ? FINDING_NOTE : FINDING_PROBLEM;
    struct subject subject;

    subject_of_setting(&subject, report->words, "ca", options->ca_file);
    if (cas->fault.text[0])
        report_add(report, FINDING_PROBLEM, &subject, "%s", subject_fault(&cas->fault, options->ca_file));
    for (size_t i = 0; i < cas->count; i++)
        ca_check(report, &subject, &cas->items[i], failure, now);
    if (lists->fault.text[0])
        report_add(report, FINDING_PROBLEM, &subject, "%s", subject_fault(&lists->fault, options->ca_file));
    for (size_t i = 0; i < lists->count; i++)
        list_check(report, &subject, &lists->items[i], now);
}
