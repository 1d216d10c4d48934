#include "check/own_certificate.h"

#include "check/expiry.h"
#include "check/subject.h"

/* ---- the certificate itself ---- */

static void usage_check(struct report *report, const struct subject *subject,
                        const struct certificate_facts *facts, enum tls_role role)
{
    const char *wanted = role == TLS_CLIENT ? "clientAuth" : "serverAuth";

    if (!(role == TLS_CLIENT ? facts->fits_client : facts->fits_server)) {
        report_add(report, FINDING_PROBLEM, subject,
                   "certificate %s is not meant for a TLS %s, its usages are: %s", facts->name,
                   role == TLS_CLIENT ? "client" : "server", facts->usages[0] ? facts->usages : "none");
        report_advise(report,
                      "issue the certificate again with keyUsage=digitalSignature and extendedKeyUsage=%s",
                      wanted);
    } else if (!facts->may_sign) {
        report_add(report, FINDING_PROBLEM, subject,
                   "certificate %s: its keyUsage has no digitalSignature, which TLS 1.3 and ECDHE need",
                   facts->name);
        report_advise(report, "issue the certificate again with keyUsage=digitalSignature");
    } else {
        report_add(report, FINDING_OK, subject, "certificate %s may be used for a TLS %s", facts->name,
                   role == TLS_CLIENT ? "client" : "server");
    }
}

/* The name that clients compare. */
static void server_names_check(struct report *report, const struct subject *subject,
                               const struct certificate_facts *facts)
{
    if (facts->names[0]) {
        report_add(report, FINDING_OK, subject, "clients can call this server: %s", facts->names);
        return;
    }
    report_add(
        report, FINDING_WARNING, subject,
        "certificate %s has no DNS name and no IP address in a "
        "subjectAltName%s: husk client, Go, and Fluent Bit with tls.verify_hostname refuse it; only old "
        "programs, and Fluentd, take the name from the CN",
        facts->name, facts->has_alternatives ? "" : ", its name is in the CN only");
    if (facts->cn[0])
        report_advise(report,
                      "issue the certificate again with subjectAltName=DNS:%s, or set --server-name %s and "
                      "--allow-cn-as-name at each husk client",
                      facts->cn, facts->cn);
    else
        report_advise(report, "issue the certificate again with a subjectAltName");
}

static void weakness_check(struct report *report, const struct subject *subject,
                           const struct certificate_facts *facts)
{
    if (!facts->flaw[0])
        return;
    report_add(report, FINDING_WARNING, subject,
               "certificate %s %s, which is weak: husk and others refuse it", facts->name, facts->flaw);
    report_advise(
        report,
        "issue the certificate again with a P-256 key, or an RSA key of 2048 bits or more, and SHA-256");
}

static void revocation_check(struct report *report, const struct subject *subject,
                             const struct inspected_certificate *certificate)
{
    if (!certificate->is_revoked)
        return;
    report_add(report, FINDING_PROBLEM, subject, "certificate %s is revoked by its issuer",
               certificate->facts.name);
    report_advise(report, "issue a new certificate with a new key");
}

static void leaf_check(struct report *report, const struct subject *subject,
                       const struct inspected_certificate *leaf, enum tls_role role, int64_t now)
{
    const struct certificate_facts *facts = &leaf->facts;

    expiry_report(report, subject, facts, FINDING_PROBLEM, now);
    if (facts->is_ca) {
        report_add(report, FINDING_WARNING, subject, "the first certificate, %s, is the certificate of a CA",
                   facts->name);
        report_advise(report, "put the certificate of husk first; a CA belongs in --ca");
    }
    usage_check(report, subject, facts, role);
    weakness_check(report, subject, facts);
    revocation_check(report, subject, leaf);
    if (role == TLS_SERVER && facts->demands_staple) {
        report_add(report, FINDING_WARNING, subject,
                   "certificate %s demands an OCSP response, which husk does not send: peers may refuse it",
                   facts->name);
        report_advise(report, "issue the certificate again without the TLS feature extension");
    }
    if (role == TLS_SERVER)
        server_names_check(report, subject, facts);
    else
        report_add(report, FINDING_OK, subject, "husk server knows this client as: %s", facts->all_names);
}

/* ---- the certificates after the first one ---- */

static void intermediate_check(struct report *report, const struct subject *subject,
                               const struct inspected_certificate *certificate, size_t number, int64_t now)
{
    const struct certificate_facts *facts = &certificate->facts;

    if (!certificate->has_place) {
        report_add(report, FINDING_PROBLEM, subject,
                   "certificate %zu of the file, %s, has issued no certificate before it", number,
                   facts->name);
        report_advise(report, "the file must have the certificate of husk first, and then the CA of each "
                              "certificate after it; remove what does not belong to the chain");
        return;
    }
    if (facts->is_self_issued) {
        report_add(report, FINDING_NOTE, subject,
                   "certificate %zu of the file, %s, is a root CA: peers do not "
                   "need it",
                   number, facts->name);
    } else if (!facts->is_ca) {
        report_add(report, FINDING_PROBLEM, subject,
                   "certificate %zu of the file, %s, is not a CA certificate", number, facts->name);
        report_advise(report, "issue the certificate again with basicConstraints=critical,CA:true and "
                              "keyUsage=keyCertSign");
    }
    if (!certificate->has_version)
        expiry_report(report, subject, facts, FINDING_PROBLEM, now);
    weakness_check(report, subject, facts);
    revocation_check(report, subject, certificate);
}

/* ---- the path to a CA ---- */

/* Our own certificate may come from a CA that --ca does not have: the two sides may use different CAs. A
 * chain with a root lacks no intermediate. */
static void unknown_ca_report(struct report *report, const struct subject *subject,
                              const struct inspection *inspection)
{
    const struct inspected_certificates *chain = &inspection->chain;
    const struct certificate_facts *last = &chain->items[chain->count - 1].facts;
    bool has_root = chain->count > 1 && last->is_self_issued;

    report_add(report, has_root ? FINDING_NOTE : FINDING_WARNING, subject,
               "the chain leads to no CA of --ca: %s", inspection->path_detail);
    if (inspection->path_lacks_issuer)
        report_advise(report,
                      "if %s is an intermediate, it is missing: put its certificate into this file, after "
                      "the certificate that it has issued; if the peers use another CA than husk, nothing "
                      "is wrong",
                      last->issuer);
    else
        report_advise(report, "if the peers use another CA than husk, nothing is wrong");
}

static void path_check(struct report *report, const struct subject *subject,
                       const struct inspection *inspection)
{
    switch (inspection->path_reason) {
    case END_NONE:
        report_add(report, FINDING_OK, subject, "the chain leads to a CA of --ca");
        return;
    case END_CERTIFICATE_UNKNOWN_CA:
        unknown_ca_report(report, subject, inspection);
        return;
    /* The checks of each certificate have reported these. */
    case END_CERTIFICATE_EXPIRED:
    case END_CERTIFICATE_REVOKED:
    case END_CERTIFICATE_USAGE:
    case END_CERTIFICATE_WEAK:
        return;
    default:
        report_add(report, FINDING_PROBLEM, subject, "the chain is not valid: %s", inspection->path_detail);
        return;
    }
}

void own_certificate_check(struct report *report, const struct credentials_files *files,
                           const struct inspection *inspection, int64_t now)
{
    const struct credentials_options *options = &files->options;
    const struct inspected_certificates *chain = &inspection->chain;
    struct subject subject;

    subject_of_own(&subject, report->words, options, files->cert_option, options->cert_file);
    if (chain->fault.text[0])
        report_add(report, FINDING_PROBLEM, &subject, "%s", subject_fault(&chain->fault, options->cert_file));
    if (!chain->count)
        return;
    leaf_check(report, &subject, &chain->items[0], options->role, now);
    for (size_t i = 1; i < chain->count; i++)
        intermediate_check(report, &subject, &chain->items[i], i + 1, now);
    if (inspection->has_path)
        path_check(report, &subject, inspection);
}

void own_certificate_check_life(struct report *report, const struct inspection *inspection, int64_t now,
                                int64_t least_life)
{
    const struct inspected_certificates *chain = &inspection->chain;
    char until[CERTIFICATE_TIME_BYTES];
    struct subject subject;

    subject_of_setting(&subject, report->words, "min-certificate-life", NULL);
    for (size_t i = 0; i < chain->count; i++) {
        const struct certificate_facts *facts = &chain->items[i].facts;
        bool is_replaced = i > 0 && chain->items[i].has_version;
        if (is_replaced || facts->not_after < now || facts->not_after - now >= least_life)
            continue;
        certificate_describe_time(facts->not_after, until);
        report_add(report, FINDING_PROBLEM, &subject,
                   "certificate %s ends at %s, which is too early: /ready fails", facts->name, until);
        report_advise(report, "renew the certificate, or set a shorter time");
    }
}
