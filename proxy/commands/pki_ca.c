#include "commands/pki_ca.h"

#include "base/utf8.h"
#include "trust/private_key.h"

#include <stdio.h>

void pki_ca_print_file(const char *path)
{
    puts(path);
}

void pki_ca_print_fault(struct fault *fault)
{
    utf8_clean(fault->text);
    fprintf(stderr, "husk pki: %s\n", fault->text);
    fault->text[0] = '\0';
}

bool pki_ca_find(const struct pki_settings *settings, struct store *store, struct fault *fault)
{
    bool is_open = store_open(store, settings->directory, pki_settings_profile(settings), fault);

    store->on_file = pki_ca_print_file;
    return is_open;
}

bool pki_ca_load(const struct pki_settings *settings, const struct store *store, enum profile_use use,
                 struct signer *signer, struct fault *fault)
{
    const struct key_protection ca = pki_settings_ca_protection(settings);
    char path[STORE_PATH_BYTES];
    unsigned mode;

    if (!signer_init(signer, store, use, &ca.source, fault))
        return false;
    store_path(store, profile_ca_key(use), NULL, path);
    if (private_key_is_shared(path, &mode))
        fprintf(stderr,
                "husk pki: warning: %s: others than its owner can read it (mode %04o): run chmod 600 %s\n",
                path, mode, path);
    return true;
}
