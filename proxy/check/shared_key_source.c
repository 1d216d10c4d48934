#include "check/shared_key_source.h"

#include "check/secret_file.h"
#include "check/subject.h"
#include "trust/passphrase.h"

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

/* The key itself, without user names and passwords. */
static void key_check(struct report *report, const struct shared_key_options *options)
{
    const char *value = options->env    ? passphrase_variable_shown(options->env)
                        : options->file ? passphrase_path_shown(options->file)
                                        : NULL;
    struct shared_key_options alone = *options;
    char option[OPTION_BYTES];
    struct subject subject;
    struct fault fault;

    alone.username = alone.password_env = NULL;
    alone.users = NULL;
    alone.user_count = 0;
    snprintf(option, sizeof option, "%s-%s", options->setting,
             options->env    ? "env"
             : options->file ? "file"
                             : "empty");
    subject_of_setting(&subject, report->words, option, value);
    struct shared_key *key = shared_key_load(&alone, &fault);
    if (key)
        report_add(report, FINDING_OK, &subject, "the shared key is there");
    else
        report_add(report, FINDING_PROBLEM, &subject, "%s",
                   value && options->file ? subject_fault(&fault, value) : fault_text(&fault, option));
    shared_key_release(key);
    secret_file_check(report, &subject, options->file);
}

static void password_check(struct report *report, const struct setting_reference *reference, const char *env)
{
    struct passphrase password;
    struct subject subject;
    struct fault fault;

    if (!passphrase_load(&password, env, NULL, &fault)) {
        subject_of_part(&subject, report->words, reference, passphrase_variable_shown(env));
        report_add(report, FINDING_PROBLEM, &subject, "%s", fault.text);
    }
    passphrase_wipe(&password);
}

void shared_key_source_check(struct report *report, const struct shared_key_options *options)
{
    key_check(report, options);
    if (options->password_env)
        password_check(report, &(struct setting_reference) { .option = "password-env" },
                       options->password_env);
    for (size_t i = 0; i < options->user_count; i++) {
        const struct setting_reference reference = { "accept-user", i, "password-env" };
        password_check(report, &reference, options->users[i].password_env);
    }
}
