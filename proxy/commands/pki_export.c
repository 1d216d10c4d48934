/* husk pki secret and export-p12. */
#include "commands/commands.h"
#include "commands/pki_ca.h"
#include "commands/pki_commands.h"
#include "pki/keystore.h"
#include "pki/secret_manifest.h"

#include <limits.h>

int pki_secret_run(const struct pki_settings *settings, int count, char **words, struct fault *fault)
{
    struct store store;
    const struct secret_order order = {
        .name = words[0],
        .layout = settings->layout ? SECRET_TLS : SECRET_SEED,
        .secret_name = settings->secret_name,
        .namespace = settings->namespace,
        .key_passphrase = pki_settings_key_protection(settings).source,
        .shared_key = { "shared-key", settings->shared_env, settings->shared_file },
    };
    bool is_printed =
        pki_ca_find(settings, &store, fault) && secret_manifest_print(stdout, &store, &order, fault);

    (void)count;
    store_close(&store);
    return is_printed ? EXIT_STATUS_OK : EXIT_STATUS_FAILED;
}

int pki_export_p12_run(const struct pki_settings *settings, int count, char **words, struct fault *fault)
{
    struct store store;
    char path[PATH_MAX];
    struct keystore_order order = { .name = words[0],
                                    .out = settings->out,
                                    .key_passphrase = pki_settings_key_protection(settings).source,
                                    .passphrase = { "p12-passphrase", settings->p12_env,
                                                    settings->p12_file } };

    (void)count;
    if (!order.out) {
        snprintf(path, sizeof path, "%s/%.128s.p12", settings->directory, words[0]);
        order.out = path;
    }
    /* The temporary file in the directory of the PKI is removed by a run that has the lock. */
    bool is_written = pki_ca_find(settings, &store, fault) && (settings->out || store_lock(&store, fault)) &&
                      keystore_write(&order, &store, fault);
    if (is_written)
        puts(order.out);
    store_close(&store);
    return is_written ? EXIT_STATUS_OK : EXIT_STATUS_FAILED;
}
