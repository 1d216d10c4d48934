/* husk pki init, issue and request. */
#include "commands/commands.h"
#include "commands/pki_ca.h"
#include "commands/pki_commands.h"
#include "pki/issuing.h"
#include "pki/setup.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool protection_check(const struct pki_settings *settings, struct fault *fault)
{
    bool is_contradictory = settings->is_plain && (settings->key_env || settings->key_file);

    if (is_contradictory)
        fault_set(fault, "--no-passphrase and a passphrase of the key exclude each other");
    return !is_contradictory;
}

/* ---- init ---- */

static const char *const default_server_names[] = { "localhost", "127.0.0.1", "::1" };
static const char *const seed_server_names[] = { "server" };

static void server_names_set(struct setup_options *options, const char **given, size_t count)
{
    bool has_one_name = options->profile && !options->profile->has_alternatives;

    options->server_names = count ? given : has_one_name ? seed_server_names : default_server_names;
    options->server_name_count = count ? count : has_one_name ? 1 : 3;
}

int pki_init_run(const struct pki_settings *settings, int count, char **words, struct fault *fault)
{
    size_t named = settings->server_names.count;
    const char **names = calloc(named + 1, sizeof *names);
    int status = EXIT_STATUS_USAGE;
    struct setup_options options = { .directory = words[0],
                                     .profile = pki_settings_profile(settings),
                                     .subject = settings->subject,
                                     .client_name = settings->ca_only ? NULL : settings->client_name,
                                     .leaf_days = (unsigned)settings->days,
                                     .ca_protection = pki_settings_ca_protection(settings),
                                     .leaf_protection = pki_settings_key_protection(settings),
                                     .on_file = pki_ca_print_file };

    (void)count;
    if (!names) {
        fault_set(fault, "out of memory");
        return EXIT_STATUS_FAILED;
    }
    for (size_t i = 0; i < named; i++)
        names[i] = settings->server_names.items[i].value;
    server_names_set(&options, names, named);
    if (protection_check(settings, fault) && setup_check(&options, fault))
        status = setup_make(&options, fault) ? EXIT_STATUS_OK : EXIT_STATUS_FAILED;
    free(names);
    return status;
}

/* ---- issue, request ---- */

static struct issuing_order order_of(const struct pki_settings *settings, int count, char **words)
{
    return (struct issuing_order) { .file_name = settings->as ? settings->as
                                                 : count      ? words[0]
                                                              : "",
                                    .names = (const char *const *)words,
                                    .name_count = (size_t)count,
                                    .spiffe_id = settings->spiffe_id,
                                    .days = (unsigned)settings->days,
                                    .subject = settings->subject,
                                    .request_file = settings->request_file,
                                    .protection = pki_settings_key_protection(settings) };
}

static bool issue(const struct pki_settings *settings, const struct issuing_order *order, struct fault *fault)
{
    struct signer signer = { .key = NULL };
    struct store store;
    bool is_issued = pki_ca_find(settings, &store, fault) && issuing_check(store.profile, order, fault) &&
                     pki_ca_load(settings, &store, profile_issuing_ca(store.profile), &signer, fault) &&
                     issuing_run(&store, &signer, order, fault);

    signer_deinit(&signer);
    store_close(&store);
    return is_issued;
}

int pki_issue_run(const struct pki_settings *settings, int count, char **words, struct fault *fault)
{
    struct issuing_order order = order_of(settings, count - 1, words + 1);
    bool is_server = strcmp(words[0], "server") == 0;

    order.use = is_server ? PROFILE_SERVER : PROFILE_CLIENT;
    if (!is_server && strcmp(words[0], "client") != 0)
        fault_set(fault, "\"%.64s\": expected server or client, and then the names", words[0]);
    else if (!order.file_name[0])
        fault_set(fault, "issue needs a name, or --as and --csr or --spiffe-id");
    else if (protection_check(settings, fault))
        return issue(settings, &order, fault) ? EXIT_STATUS_OK : EXIT_STATUS_FAILED;
    return EXIT_STATUS_USAGE;
}

int pki_request_run(const struct pki_settings *settings, int count, char **words, struct fault *fault)
{
    const struct issuing_order order = order_of(settings, count, words);
    const struct profile *profile = pki_settings_profile(settings);
    struct store store = { .lock = -1 };
    int status = EXIT_STATUS_FAILED;

    profile = profile ? profile : &profile_modern;
    if (!protection_check(settings, fault) || !issuing_check(profile, &order, fault))
        return EXIT_STATUS_USAGE;
    if (store_create(&store, settings->directory, profile, fault)) {
        store.on_file = pki_ca_print_file;
        status = issuing_request(&store, &order, fault) ? EXIT_STATUS_OK : EXIT_STATUS_FAILED;
    }
    store_close(&store);
    return status;
}
