/* What the subcommands of husk pki that use an existing PKI have in common. */
#ifndef HUSK_COMMANDS_PKI_CA_H
#define HUSK_COMMANDS_PKI_CA_H

#include "commands/pki_settings.h"
#include "pki/signer.h"

/* Opens the PKI of the settings. Each file that is written afterwards is printed. Close with store_close,
 * also after a failure. */
MUST_CHECK bool pki_ca_find(const struct pki_settings *settings, struct store *store, struct fault *fault);

/* Loads the CA `use`, which signs. Prints a warning if others than the owner can read its key. Free with
 * signer_deinit, also after a failure. */
MUST_CHECK bool pki_ca_load(const struct pki_settings *settings, const struct store *store,
                            enum profile_use use, struct signer *signer, struct fault *fault);

/* Prints the failure of one of several words, and empties the fault. */
void pki_ca_print_fault(struct fault *fault);

/* Prints the path of a file. */
void pki_ca_print_file(const char *path);

#endif
