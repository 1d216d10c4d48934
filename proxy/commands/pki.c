/* husk pki: finds the subcommand and reads its settings. */
#include "base/utf8.h"
#include "commands/commands.h"
#include "commands/pki_commands.h"
#include "commands/pki_settings.h"
#include "config/settings_help.h"

#include <string.h>

struct subcommand {
    const char *name;
    enum pki_user user;
    int words_min, words_max;
    const char *words; /* what is expected */
    int (*run)(const struct pki_settings *settings, int count, char **words, struct fault *fault);
};

enum { WORDS_MAX = 1000 };

static const struct subcommand subcommands[] = {
    { "init", PKI_INIT, 1, 1, "one directory", pki_init_run },
    { "issue", PKI_ISSUE, 1, WORDS_MAX, "server or client, and then names", pki_issue_run },
    { "request", PKI_REQUEST, 1, WORDS_MAX, "names", pki_request_run },
    { "renew", PKI_RENEW, 1, WORDS_MAX, "the names of certificates", pki_renew_run },
    { "needs-renewal", PKI_NEEDS_RENEWAL, 1, WORDS_MAX, "files or names of certificates",
      pki_needs_renewal_run },
    { "revoke", PKI_REVOKE, 1, WORDS_MAX, "names, serial numbers or files of certificates", pki_revoke_run },
    { "crl", PKI_CRL, 0, 0, "no words, only options", pki_crl_run },
    { "inspect", PKI_INSPECT, 1, WORDS_MAX, "files, directories or servers as host:port", pki_inspect_run },
    { "secret", PKI_SECRET, 1, 1, "the name of a certificate", pki_secret_run },
    { "export-p12", PKI_EXPORT_P12, 1, 1, "the name of a certificate", pki_export_p12_run },
};

enum { SUBCOMMAND_COUNT = sizeof subcommands / sizeof subcommands[0] };

void pki_print_help(FILE *out)
{
    fputs("husk pki init DIR [option]…\n"
          "husk pki issue server|client NAME… [option]…\n"
          "husk pki request NAME… [option]…\n"
          "husk pki renew NAME… [option]…\n"
          "husk pki needs-renewal NAME|FILE… [option]…\n"
          "husk pki revoke NAME|SERIAL|FILE… [option]…\n"
          "husk pki crl [option]…\n"
          "husk pki inspect TARGET… [option]…\n"
          "husk pki secret NAME [option]…\n"
          "husk pki export-p12 NAME [option]…\n\n"
          "Makes and keeps the certificates of a deployment, and looks into certificates of others.\n\n"
          "init makes a CA, a server certificate and a client certificate, with their keys, in DIR. issue "
          "makes one\n"
          "more certificate, and request a key and a request for a CA elsewhere. inspect prints what is in "
          "files,\n"
          "in directories, or what a server at host:port shows.\n\n"
          "No file is overwritten, except by renew and crl. A run that was interrupted is finished by the "
          "same command.\n"
          "renew ca and renew intermediate give a CA a new certificate for its key.\n"
          "Keep the keys of the CA away from the machines that run husk.\n\n",
          out);
    settings_print_help(&pki_settings_table, out);
}

static const struct subcommand *subcommand_find(const char *name)
{
    for (size_t i = 0; i < SUBCOMMAND_COUNT; i++) {
        if (strcmp(subcommands[i].name, name) == 0)
            return &subcommands[i];
    }
    return NULL;
}

static void subcommands_name(struct fault *fault, const char *given)
{
    char names[256] = "";

    for (size_t i = 0; i < SUBCOMMAND_COUNT; i++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", subcommands[i].name);
    }
    if (given)
        fault_set(fault, "unknown subcommand \"%.64s\": expected one of %s", given, names);
    else
        fault_set(fault, "expected a subcommand: %s", names);
}

static int subcommand_run(const struct subcommand *subcommand, int count, char **words, struct fault *fault)
{
    struct pki_settings settings;
    int status = EXIT_STATUS_USAGE;

    if (!pki_settings_parse(subcommand->user, &settings, &count, words, fault))
        goto done;
    bool is_empty = false;
    for (int i = 0; i < count; i++)
        is_empty |= !*words[i];
    if (count < subcommand->words_min || count > subcommand->words_max || is_empty)
        fault_set(fault, "%s needs %s", subcommand->name, subcommand->words);
    else
        status = subcommand->run(&settings, count, words, fault);
done:
    pki_settings_free(&settings);
    return status;
}

int pki_command(int argc, char **argv)
{
    struct fault fault = { .text = "" };
    const struct subcommand *subcommand = argc ? subcommand_find(argv[0]) : NULL;
    int status = EXIT_STATUS_USAGE;

    if (argc == 2 && strcmp(argv[1], "--help") == 0 && subcommand) {
        pki_print_help(stdout);
        return EXIT_STATUS_OK;
    }
    if (subcommand)
        status = subcommand_run(subcommand, argc - 1, argv + 1, &fault);
    else
        subcommands_name(&fault, argc ? argv[0] : NULL);
    utf8_clean(fault.text);
    if (status != EXIT_STATUS_OK && fault.text[0])
        fprintf(stderr, "husk pki: %s\n", fault.text);
    return status;
}
