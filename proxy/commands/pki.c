#include "commands/commands.h"

#include "config/setting_value.h"
#include "config/settings.h"
#include "config/settings_help.h"
#include "trust/authority.h"

#include <stdlib.h>
#include <string.h>

struct pki_settings {
    struct setting_list server_names;
    const char *client_name;
    uint64_t days;
};

static const char *const default_server_names[] = { "localhost", "127.0.0.1", "::1" };

static const struct setting pki_table[] = {
    { .name = "server-name",
      .type = SETTING_LIST,
      .offset = offsetof(struct pki_settings, server_names),
      .value_name = "NAME",
      .help = "DNS name or IP address of the server (default localhost, 127.0.0.1 and ::1)" },
    { .name = "client-name",
      .type = SETTING_TEXT,
      .offset = offsetof(struct pki_settings, client_name),
      .fallback = "client",
      .value_name = "NAME",
      .help = "CN and DNS name of the client certificate" },
    { .name = "days",
      .type = SETTING_COUNT,
      .offset = offsetof(struct pki_settings, days),
      .fallback = "90",
      .min = 1,
      .max = 825,
      .value_name = "N",
      .help = "validity of the server and client certificates, in days" },
};

static const struct settings_table pki_settings_table = { .rows = pki_table,
                                                          .count = sizeof pki_table / sizeof pki_table[0] };

void pki_print_help(FILE *out)
{
    fputs("usage: husk pki init DIR [option]…\n\n"
          "Creates a CA, a server certificate and a client certificate, with their keys, in DIR.\n"
          "Never overwrites a file. Do not keep ca.key.pem on the machines that run husk.\n\n",
          out);
    settings_print_help(&pki_settings_table, out);
}

static int init_directory(const char *directory, const struct pki_settings *settings, struct fault *fault)
{
    size_t named = settings->server_names.count;
    size_t count = named ? named : sizeof default_server_names / sizeof default_server_names[0];
    const char **names = calloc(count, sizeof *names);

    if (!names) {
        fault_set(fault, "out of memory");
        return EXIT_STATUS_FAILED;
    }
    for (size_t i = 0; i < count; i++)
        names[i] = named ? settings->server_names.items[i].value : default_server_names[i];
    const struct authority_options options = {
        .directory = directory,
        .server_names = names,
        .server_name_count = count,
        .client_name = settings->client_name,
        .leaf_days = (unsigned)settings->days,
    };
    int status = EXIT_STATUS_OK;
    if (!authority_check_names(&options, fault))
        status = EXIT_STATUS_USAGE;
    else if (!authority_init_pki(&options, fault))
        status = EXIT_STATUS_FAILED;
    free(names);
    for (int i = 0; status == EXIT_STATUS_OK && i < AUTHORITY_FILE_COUNT; i++)
        printf("%s/%s\n", directory, authority_files[i]);
    return status;
}

static int init_command(int argc, char **argv, struct fault *fault)
{
    struct pki_settings settings = { 0 };
    int count, status = EXIT_STATUS_USAGE;
    const struct settings_words words = { .count = argc, .items = argv, .positionals = &count };

    if (!settings_parse(&pki_settings_table, &settings, &words, fault))
        goto done;
    if (count != 1 || !*argv[0]) {
        fault_set(fault, count > 1 ? "init takes one directory" : "init needs a directory");
        goto done;
    }
    status = init_directory(argv[0], &settings, fault);
done:
    settings_free(&pki_settings_table, &settings);
    return status;
}

int pki_command(int argc, char **argv)
{
    struct fault fault;
    int status = EXIT_STATUS_USAGE;

    if (argc < 1)
        fault_set(&fault, "expected a subcommand: init");
    else if (strcmp(argv[0], "init") != 0)
        fault_set(&fault, "unknown subcommand \"%s\": expected init", argv[0]);
    else
        status = init_command(argc - 1, argv + 1, &fault);
    if (status != EXIT_STATUS_OK)
        fprintf(stderr, "husk pki: %s\n", fault.text);
    return status;
}
