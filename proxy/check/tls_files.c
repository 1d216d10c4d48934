#include "check/tls_files.h"

#include "check/authorities.h"
#include "check/own_certificate.h"
#include "check/private_key_file.h"
#include "check/revocation_lists.h"
#include "check/secret_file.h"
#include "check/subject.h"
#include "trust/credentials_files.h"
#include "trust/ticket_keys.h"

#include <string.h>

/* The path of a file in the directory, without the directory. */
static const char *name_of(const struct credentials_files *files, const char *path)
{
    size_t length = strlen(files->options.directory);

    return path[0] ? path + length + 1 : path;
}

static void setting_report(struct report *report, const char *setting, const char *text)
{
    struct subject subject;

    subject_of_setting(&subject, report->words, setting, NULL);
    report_add(report, FINDING_WARNING, &subject, "%s", text);
}

/* What husk offers and accepts: the groups depend on the TLS library, so that no document can say it. */
static void protocol_report(struct report *report, const struct credentials_options *options)
{
    static const char *const versions[] = { [TLS_VERSION_1_2] = "TLS 1.2", [TLS_VERSION_1_3] = "TLS 1.3" };
    const struct tls_choice choice = tls_choice_in_force(&options->choices, TLS_GROUPS);
    bool is_range = options->min_version != options->max_version;
    struct subject subject;
    char groups[128];

    tls_choice_format(TLS_GROUPS, &choice, ", ", groups, sizeof groups);
    subject_of_setting(&subject, report->words, "tls-groups", NULL);
    report_add(report, FINDING_OK, &subject, "husk speaks %s%s%s with the groups %s",
               versions[options->min_version], is_range ? " and " : "",
               is_range ? versions[options->max_version] : "", groups);
}

static void ticket_keys_check(struct report *report, const char *path)
{
    struct subject subject;
    struct fault fault;

    if (!path)
        return;
    struct ticket_keys *keys = ticket_keys_load(path, &fault);
    subject_of_setting(&subject, report->words, "ticket-keys", path);
    if (keys)
        report_add(report, FINDING_OK, &subject, "the file has %zu ticket keys, the first of which encrypts",
                   ticket_keys_count(keys));
    else
        report_add(report, FINDING_PROBLEM, &subject, "%s", subject_fault(&fault, path));
    ticket_keys_free(keys);
    secret_file_check(report, &subject, path);
}

static void nothing_report(struct report *report, const struct credentials_options *options)
{
    struct subject subject;

    subject_of_setting(&subject, report->words, "cert", options->cert_file);
    report_add(report, FINDING_NOTE, &subject, "husk shows no certificate to servers");
}

/* A further certificate and its key. */
static void further_check(struct report *report, const struct credentials_options *options, size_t at,
                          int64_t now)
{
    const struct credentials_options one = credentials_options_at(options, at);
    struct credentials_files files;
    struct inspection inspection;
    struct fault ignored;

    if (!credentials_files_find(&files, &one, &ignored))
        return; /* that of the first certificate has told the fault */
    inspection_init(&inspection, &files.options);
    own_certificate_check(report, &files, &inspection, now);
    private_key_file_check(report, &files, &inspection);
    inspection_deinit(&inspection);
}

/* Says which files of a directory husk takes. */
static bool files_find(struct report *report, const struct credentials_options *options,
                       struct credentials_files *files)
{
    struct subject subject;
    struct fault fault;

    if (options->directory)
        subject_of_setting(&subject, report->words, "credentials", options->directory);
    else
        subject_of_setting(&subject, report->words, "ca", options->ca_file);
    if (!credentials_files_find(files, options, &fault)) {
        report_add(report, FINDING_PROBLEM, &subject, "%s",
                   subject_fault(&fault, options->directory ? options->directory : "--ca system"));
        return false;
    }
    if (options->directory)
        report_add(report, FINDING_OK, &subject, "the layout is %s: husk takes %s, %s%s%s%s%s",
                   files->dir.layout, name_of(files, files->dir.cert), name_of(files, files->dir.key),
                   files->dir.ca[0] ? ", " : "", name_of(files, files->dir.ca),
                   files->dir.passphrase[0] ? ", " : "", name_of(files, files->dir.passphrase));
    if (files->dir.layout && files->dir.shared_key[0])
        report_add(
            report, FINDING_NOTE, &subject,
            "the directory has a shared key: husk uses it only if --shared-key-file or --accept-key-file "
            "names %s",
            files->dir.shared_key);
    return true;
}

bool tls_files_check(struct report *report, const struct credentials_options *options, int64_t now,
                     int64_t least_life, struct certificate_facts *leaf)
{
    size_t problems = report_count(report, FINDING_PROBLEM);
    struct credentials_files files;
    struct inspection inspection;

    if (!files_find(report, options, &files))
        return false;
    inspection_init(&inspection, &files.options);
    if (options->shows_nothing) {
        nothing_report(report, options);
    } else {
        own_certificate_check(report, &files, &inspection, now);
        own_certificate_check_life(report, &inspection, now, least_life);
        private_key_file_check(report, &files, &inspection);
    }
    authorities_check(report, &files, &inspection, now);
    revocation_lists_check(report, &files, &inspection, now);
    protocol_report(report, options);
    ticket_keys_check(report, options->ticket_keys_file);
    if (options->allow_weak)
        setting_report(report, "allow-weak-certificates",
                       "peers whose certificates can be forged are accepted");
    if (options->verifies_nothing)
        setting_report(report, "insecure",
                       "no certificate of an upstream is verified: whoever is on the way can read "
                       "and change all messages");
    if (options->client_certificate != CLIENT_CERTIFICATE_REQUIRE)
        setting_report(report, "client-certificate", "clients without a certificate are admitted");
    bool is_good = inspection.chain.count && report_count(report, FINDING_PROBLEM) == problems;
    if (is_good)
        *leaf = inspection.chain.items[0].facts;
    inspection_deinit(&inspection);
    for (size_t i = 1; i <= options->more_count; i++)
        further_check(report, options, i, now);
    return is_good && report_count(report, FINDING_PROBLEM) == problems;
}
