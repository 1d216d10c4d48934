/* husk pki renew, needs-renewal, revoke and crl. */
#include "base/clock.h"
#include "commands/commands.h"
#include "commands/pki_ca.h"
#include "commands/pki_commands.h"
#include "pki/ca_renewal.h"
#include "pki/contents.h"
#include "pki/renewal.h"
#include "pki/revoking.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

enum { DAY_SECONDS = 24 * 60 * 60 };

/* `signer` is loaded for the first name of a server or client, and again after a CA was renewed. */
static bool name_renew(const struct pki_settings *settings, struct store *store, const char *name,
                       struct signer *signer, struct fault *fault)
{
    const struct renewal_order order = { .name = name,
                                         .days = (unsigned)settings->days,
                                         .keeps_key = settings->keeps_key,
                                         .protection = pki_settings_key_protection(settings) };
    const struct key_protection ca_protection = pki_settings_ca_protection(settings);
    enum profile_use ca;

    if (store_names_ca(store, name, &ca)) {
        signer_deinit(signer);
        return ca_renewal_run(store, ca, order.days, &ca_protection.source, fault);
    }
    if (signer->key || pki_ca_load(settings, store, profile_issuing_ca(store->profile), signer, fault))
        return renewal_run(store, signer, &order, fault);
    signer_deinit(signer);
    return false;
}

int pki_renew_run(const struct pki_settings *settings, int count, char **words, struct fault *fault)
{
    struct store store;
    struct signer signer = { .key = NULL };
    bool is_open = pki_ca_find(settings, &store, fault), is_renewed = is_open;

    for (int i = 0; is_open && i < count; i++) {
        if (name_renew(settings, &store, words[i], &signer, fault))
            continue;
        pki_ca_print_fault(fault);
        is_renewed = false;
    }
    signer_deinit(&signer);
    store_close(&store);
    return is_renewed ? EXIT_STATUS_OK : EXIT_STATUS_FAILED;
}

/* ---- needs-renewal ---- */

/* The path of a certificate: `which` is a name of the PKI, or a file. */
static const char *path_find(const struct pki_settings *settings, const char *which,
                             char path[STORE_PATH_BYTES])
{
    struct store store;
    struct fault ignored;
    enum profile_use ca;
    bool is_open = pki_ca_find(settings, &store, &ignored), has_file = false;

    if (is_open && store_names_ca(&store, which, &ca)) {
        store_path(&store, profile_ca_cert(ca), NULL, path);
        has_file = true;
    } else if (is_open && store_check_name(which, &ignored)) {
        store_path(&store, PROFILE_CERT, which, path);
        has_file = store_has(&store, PROFILE_CERT, which) || access(which, F_OK) != 0;
    }
    store_close(&store);
    return has_file ? path : which;
}

/* A CA certificate beside those that it has signed does not count: its own renewal is "renew intermediate".
 */
static bool counts(const struct contents *contents, const struct contents_item *item)
{
    bool has_leaf = false;

    for (size_t i = 0; i < contents->count; i++)
        has_leaf =
            has_leaf || (contents->items[i].kind == CONTENTS_CERTIFICATE && !contents->items[i].facts.is_ca);
    return item->kind == CONTENTS_CERTIFICATE && !(has_leaf && item->facts.is_ca);
}

/* Prints a line for each certificate that is due. *is_due stays if there is none. False: no answer. */
static bool due_print(const struct pki_settings *settings, const char *path, bool *is_due,
                      struct fault *fault)
{
    int64_t now = clock_wall_seconds();
    struct contents contents;
    size_t certificates = 0;
    bool is_read = contents_read(&contents, path, fault);

    for (size_t i = 0; is_read && i < contents.count; i++) {
        const struct certificate_facts *facts = &contents.items[i].facts;
        if (!counts(&contents, &contents.items[i]))
            continue;
        certificates++;
        if (!renewal_is_due(facts->not_before, facts->not_after, (unsigned)settings->left_days, now))
            continue;
        printf("%s: certificate %s needs renewal: %" PRId64 " days left\n", path, facts->name,
               (facts->not_after - now) / DAY_SECONDS);
        *is_due = true;
    }
    if (is_read && !certificates)
        fault_set(fault, "%s: holds no certificate", path);
    contents_deinit(&contents);
    return certificates;
}

/* 0: one of the certificates needs renewal. 1: none. 2: one of them cannot be read. */
int pki_needs_renewal_run(const struct pki_settings *settings, int count, char **words, struct fault *fault)
{
    char path[STORE_PATH_BYTES];
    bool is_due = false;

    for (int i = 0; i < count; i++) {
        if (!due_print(settings, path_find(settings, words[i], path), &is_due, fault))
            return EXIT_STATUS_USAGE;
    }
    fault->text[0] = '\0';
    return is_due ? EXIT_STATUS_OK : EXIT_STATUS_FAILED;
}

/* ---- revocation ---- */

int pki_revoke_run(const struct pki_settings *settings, int count, char **words, struct fault *fault)
{
    struct store store;
    bool is_open = pki_ca_find(settings, &store, fault), is_revoked = is_open;

    for (int i = 0; is_open && i < count; i++) {
        bool was_revoked = false;
        if (!revoking_run(&store, words[i], settings->reason, &was_revoked, fault)) {
            pki_ca_print_fault(fault);
            is_revoked = false;
        } else if (was_revoked) {
            printf("%s: is revoked already\n", words[i]);
        }
    }
    store_close(&store);
    return is_revoked ? EXIT_STATUS_OK : EXIT_STATUS_FAILED;
}

int pki_crl_run(const struct pki_settings *settings, int count, char **words, struct fault *fault)
{
    struct store store;
    struct signer signer = { .key = NULL };
    bool is_made = pki_ca_find(settings, &store, fault);
    enum profile_use use =
        is_made && !settings->is_of_root ? profile_issuing_ca(store.profile) : PROFILE_ROOT;

    is_made = is_made && pki_ca_load(settings, &store, use, &signer, fault) &&
              revoking_make_list(&store, &signer, (unsigned)settings->crl_days, fault);
    (void)count, (void)words;
    signer_deinit(&signer);
    store_close(&store);
    return is_made ? EXIT_STATUS_OK : EXIT_STATUS_FAILED;
}
