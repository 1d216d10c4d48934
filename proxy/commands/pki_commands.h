/* The subcommands of husk pki. Each one gets the words that are no options, and the settings of the others;
 * it returns an exit status of commands/commands.h, and a fault if this is not 0. */
#ifndef HUSK_COMMANDS_PKI_COMMANDS_H
#define HUSK_COMMANDS_PKI_COMMANDS_H

#include "commands/pki_settings.h"

int pki_init_run(const struct pki_settings *settings, int count, char **words, struct fault *fault);
int pki_issue_run(const struct pki_settings *settings, int count, char **words, struct fault *fault);
int pki_request_run(const struct pki_settings *settings, int count, char **words, struct fault *fault);
int pki_renew_run(const struct pki_settings *settings, int count, char **words, struct fault *fault);
int pki_needs_renewal_run(const struct pki_settings *settings, int count, char **words, struct fault *fault);
int pki_revoke_run(const struct pki_settings *settings, int count, char **words, struct fault *fault);
int pki_crl_run(const struct pki_settings *settings, int count, char **words, struct fault *fault);
int pki_inspect_run(const struct pki_settings *settings, int count, char **words, struct fault *fault);
int pki_secret_run(const struct pki_settings *settings, int count, char **words, struct fault *fault);
int pki_export_p12_run(const struct pki_settings *settings, int count, char **words, struct fault *fault);

#endif
