/* The subcommands of husk pki and their settings: one table, in which each setting names its users. */
#ifndef HUSK_COMMANDS_PKI_SETTINGS_H
#define HUSK_COMMANDS_PKI_SETTINGS_H

#include "base/fault.h"
#include "config/setting.h"
#include "pki/key_store.h"

#include <stdbool.h>
#include <stdio.h>

/* A bit for each subcommand: the users of settings. */
enum pki_user {
    PKI_INIT = 1 << 0,
    PKI_ISSUE = 1 << 1,
    PKI_REQUEST = 1 << 2,
    PKI_RENEW = 1 << 3,
    PKI_NEEDS_RENEWAL = 1 << 4,
    PKI_REVOKE = 1 << 5,
    PKI_CRL = 1 << 6,
    PKI_INSPECT = 1 << 7,
    PKI_SECRET = 1 << 8,
    PKI_EXPORT_P12 = 1 << 9,
};

struct pki_settings {
    const char *directory, *subject, *as, *request_file, *spiffe_id, *client_name;
    struct setting_list server_names;
    uint64_t days, crl_days, left_days, timeout_ms;
    bool ca_only, is_plain, keeps_key, is_json;
    unsigned profile, reason, layout, is_of_root;
    const char *ca_env, *ca_file, *key_env, *key_file, *p12_env, *p12_file, *shared_env, *shared_file;
    const char *secret_name, *namespace, *out;
};

/* All rows; `user` 0. */
extern const struct settings_table pki_settings_table;

/* Parses the words of a subcommand. *count: the number of words that are no options, which are in front. Free
 * `settings` with pki_settings_free, also after a failure. */
MUST_CHECK bool pki_settings_parse(enum pki_user user, struct pki_settings *settings, int *count,
                                   char **words, struct fault *fault);
void pki_settings_free(struct pki_settings *settings);

/* The profile of --profile; NULL: auto. */
const struct profile *pki_settings_profile(const struct pki_settings *settings);

/* Where the passphrase of the CA, and how the key of a server or client, is protected. */
struct key_protection pki_settings_ca_protection(const struct pki_settings *settings);
struct key_protection pki_settings_key_protection(const struct pki_settings *settings);

#endif
