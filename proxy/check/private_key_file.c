#include "check/private_key_file.h"

#include "check/secret_file.h"
#include "check/subject.h"
#include "trust/passphrase.h"
#include "trust/pkcs12_file.h"
#include "trust/private_key.h"
#include "trust/token_uri.h"

#include <dirent.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

enum { NEIGHBOURS_TRIED_MAX = 16 }; /* a wrong passphrase costs much processor time, by design */

/* ---- files that may have the passphrase ---- */

static bool is_passphrase_name(const char *name)
{
    static const char *const words[] = { "passphrase", "password", ".pass", "_pass", "-pass" };

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcasestr(name, words[i]))
            return true;
    }
    return false;
}

static void directory_of(const char *path, char directory[PATH_MAX])
{
    const char *slash = strrchr(path, '/');

    snprintf(directory, PATH_MAX, "%.*s", slash ? (int)(slash - path) + 1 : 2, slash ? path : "./");
}

static bool file_opens_key(const char *file, const struct credentials_options *options)
{
    struct passphrase passphrase;
    struct fault ignored;

    bool opens = passphrase_load(&passphrase, NULL, file, &ignored) &&
                 (options->keystore ? pkcs12_file_opens(options->keystore, &passphrase)
                                    : private_key_opens(options->key_file, &passphrase));
    passphrase_wipe(&passphrase);
    return opens;
}

/* A regular file that is not the one of the settings. Another kind of file may block the reader. */
static bool is_candidate(const char *path, const char *used)
{
    struct stat facts, other;

    if (stat(path, &facts) != 0 || !S_ISREG(facts.st_mode))
        return false;
    return !used || stat(used, &other) != 0 || facts.st_dev != other.st_dev || facts.st_ino != other.st_ino;
}

struct neighbour {
    char path[PATH_MAX]; /* empty: there is none */
    bool opens;          /* its first line opens the key */
};

/* The first file beside the key that opens it, else the first one that looks like a passphrase. */
static struct neighbour neighbour_find(const struct credentials_options *options)
{
    struct neighbour best = { .opens = false };
    char path[PATH_MAX], directory[PATH_MAX];
    const struct dirent *entry;
    int left = NEIGHBOURS_TRIED_MAX;

    directory_of(options->key_file, directory);
    DIR *entries = opendir(directory);
    while (entries && left && !best.opens && (entry = readdir(entries))) {
        if (!is_passphrase_name(entry->d_name) ||
            snprintf(path, sizeof path, "%s%s", directory, entry->d_name) >= (int)sizeof path ||
            !is_candidate(path, options->passphrase_file))
            continue;
        left--;
        best.opens = file_opens_key(path, options);
        if (best.opens || !best.path[0])
            memcpy(best.path, path, sizeof path);
    }
    if (entries)
        closedir(entries);
    return best;
}

static void neighbour_advise(struct report *report, const struct credentials_options *options)
{
    struct neighbour neighbour = neighbour_find(options);
    const char *instead = options->passphrase_env ? " instead of --key-passphrase-env" : "";

    if (neighbour.opens)
        report_advise(report, "the file %s beside the key has its passphrase: set --key-passphrase-file %s%s",
                      neighbour.path, neighbour.path, instead);
    else if (neighbour.path[0])
        report_advise(report, "the file %s beside the key does not open it either", neighbour.path);
    else if (options->passphrase_env || options->passphrase_file)
        report_advise(report, "take the passphrase with which this key was encrypted");
}

/* ---- the key ---- */

static void passphrase_fault_report(struct report *report, const struct credentials_files *files,
                                    const struct inspected_key *key)
{
    const struct credentials_options *options = &files->options;
    const char *env = options->passphrase_env, *file = options->passphrase_file;
    struct subject subject;

    subject_of_own(&subject, report->words, options, env ? "key-passphrase-env" : files->passphrase_option,
                   env ? passphrase_variable_shown(env) : passphrase_path_shown(file));
    report_add(report, FINDING_PROBLEM, &subject, "%s",
               env ? key->passphrase_fault.text : subject_fault(&key->passphrase_fault, file));
    if (key->is_encrypted)
        neighbour_advise(report, options);
    else
        report_advise(report, "the key needs no passphrase: remove this setting");
}

static void match_report(struct report *report, const struct subject *subject,
                         const struct credentials_options *options, const struct inspection *inspection)
{
    size_t fits = inspection->key.fits;

    if (!inspection->chain.count)
        return;
    if (fits == 1) {
        report_add(report, FINDING_OK, subject, "the key belongs to the certificate");
        return;
    }
    report_add(report, FINDING_PROBLEM, subject, "the private key does not match certificate %s of %s",
               inspection->chain.items[0].facts.name, options->cert_file);
    if (fits)
        report_advise(report, "the key belongs to certificate %zu of that file: put this certificate first",
                      fits);
    else
        report_advise(report, "take the key that the certificate was requested with, or request a new "
                              "certificate with this key");
}

/* A fault of a token says itself which tokens and keys there are, and what to do. */
static void token_report(struct report *report, const struct subject *subject,
                         const struct credentials_options *options, const struct inspection *inspection)
{
    const struct inspected_key *key = &inspection->key;
    char pin_path[TOKEN_PIN_PATH_BYTES];
    struct subject pin_subject;

    if (key->is_read)
        report_add(report, FINDING_OK, subject, "the token signs with the key of the certificate");
    else if (key->fault.text[0])
        report_add(report, FINDING_PROBLEM, subject, "%s", subject_fault(&key->fault, options->key_file));
    else
        report_add(report, FINDING_NOTE, subject,
                   "the token is not asked: there is no certificate to compare with");
    if (token_uri_pin_file(options->key_file, pin_path)) {
        subject_of_text(&pin_subject, pin_path);
        secret_file_check(report, &pin_subject, pin_path);
    }
}

static void file_report(struct report *report, const struct subject *subject,
                        const struct credentials_files *files, const struct inspection *inspection)
{
    const struct credentials_options *options = &files->options;
    const struct inspected_key *key = &inspection->key;

    if (key->passphrase_fault.text[0])
        passphrase_fault_report(report, files, key);
    if (key->fault.text[0]) {
        report_add(report, FINDING_PROBLEM, subject, "%s", subject_fault(&key->fault, options->key_file));
        if (key->is_encrypted)
            neighbour_advise(report, options);
    }
    if (key->is_read)
        match_report(report, subject, options, inspection);
    if (key->is_read && !key->is_encrypted && (options->passphrase_env || options->passphrase_file))
        report_add(report, FINDING_NOTE, subject, "the key is not encrypted: its passphrase is not used");
    secret_file_check(report, subject, options->key_file);
}

void private_key_file_check(struct report *report, const struct credentials_files *files,
                            const struct inspection *inspection)
{
    const struct credentials_options *options = &files->options;
    struct subject subject;

    subject_of_own(&subject, report->words, options, files->key_option, options->key_file);
    if (inspection->key.is_in_token)
        token_report(report, &subject, options, inspection);
    else
        file_report(report, &subject, files, inspection);
    if (options->passphrase_file)
        subject_of_own(&subject, report->words, options, files->passphrase_option,
                       passphrase_path_shown(options->passphrase_file));
    secret_file_check(report, &subject, options->passphrase_file);
}
