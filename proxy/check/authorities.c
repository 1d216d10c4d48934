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

static void system_report(struct report *report, const struct subject *subject)
{
    report_add(report, FINDING_WARNING, subject,
               "these are the CAs of the system: every public CA can issue certificates of clients");
    report_advise(report,
                  "take a CA of your own for clients, or admit clients by names that no public CA gives "
                  "to others");
}

void authorities_check(struct report *report, const struct credentials_files *files,
                       const struct inspection *inspection, int64_t now)
{
    const struct credentials_options *options = &files->options;
    const struct inspected_certificates *cas = &inspection->cas;
    enum finding_level failure = any_is_valid(cas, now) ? FINDING_NOTE : FINDING_PROBLEM;
    struct subject subject;

    subject_of_setting(&subject, report->words, files->ca_option, options->ca_file);
    if (files->uses_system_cas && options->role == TLS_SERVER)
        system_report(report, &subject);
    if (cas->fault.text[0])
        report_add(report, FINDING_PROBLEM, &subject, "%s", subject_fault(&cas->fault, options->ca_file));
    if (files->uses_system_cas && any_is_valid(cas, now)) {
        report_add(report, FINDING_OK, &subject, "the system has %zu CAs", cas->count);
        return;
    }
    for (size_t i = 0; i < cas->count; i++)
        ca_check(report, &subject, &cas->items[i], failure, now);
}
