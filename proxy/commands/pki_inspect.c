/* husk pki inspect. */
#include "base/clock.h"
#include "commands/commands.h"
#include "commands/pki_ca.h"
#include "commands/pki_commands.h"
#include "commands/pki_contents_json.h"
#include "commands/pki_contents_text.h"
#include "commands/plain_connection.h"
#include "pki/contents.h"
#include "pki/live_peer.h"
#include "wire/address.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct inspection {
    const struct pki_settings *settings;
    struct pki_contents_json *json; /* NULL: text */
    int64_t now;
    size_t printed;
    int status;
};

static void print(struct inspection *inspection, const char *source, const struct contents *contents)
{
    if (inspection->json)
        pki_contents_json_put(inspection->json, source, contents, inspection->now);
    else
        pki_contents_text_print(source, contents, inspection->now, stdout);
    inspection->printed++;
}

static void fail(struct inspection *inspection, struct fault *fault)
{
    pki_ca_print_fault(fault);
    inspection->status = EXIT_STATUS_FAILED;
}

/* ---- servers ---- */

static bool chain_read(struct contents *contents, const char *target, uint64_t timeout_ms,
                       struct fault *fault)
{
    struct plain_connection connection;
    struct address address;

    if (!address_parse_dialled(&address, target, fault) ||
        !plain_connection_open(&connection, target, timeout_ms, fault))
        return false;
    struct stack_st_X509 *chain = live_peer_chain(connection.fd, address.host, timeout_ms, fault);
    plain_connection_close(&connection);
    if (!chain) {
        fault_wrap(fault, "%s", target);
        return false;
    }
    bool is_read = contents_of_chain(contents, chain);
    live_peer_free(chain);
    return is_read;
}

/* ---- files ---- */

static bool is_hidden_or_issued(const char *name)
{
    size_t digits = strspn(name, "0123456789ABCDEF");

    return name[0] == '.' || (digits && strcmp(name + digits, ".pem") == 0);
}

static int is_shown(const struct dirent *entry)
{
    return !is_hidden_or_issued(entry->d_name);
}

/* Files of a directory that hold no PEM block are left out. */
static void folder_print(struct inspection *inspection, const char *directory)
{
    struct dirent **entries;
    char path[PATH_MAX];
    int count = scandir(directory, &entries, is_shown, alphasort);

    for (int i = 0; i < count; i++) {
        struct contents contents;
        struct fault ignored = { .text = "" };
        struct stat status;
        bool fits = snprintf(path, sizeof path, "%s/%s", directory, entries[i]->d_name) < (int)sizeof path;
        free(entries[i]);
        if (!fits || stat(path, &status) != 0 || !S_ISREG(status.st_mode))
            continue;
        if (contents_read(&contents, path, &ignored))
            print(inspection, path, &contents);
        contents_deinit(&contents);
    }
    if (count >= 0)
        free(entries);
}

/* Also the folders of a PKI of the profile seed. */
static void directory_print(struct inspection *inspection, const char *directory)
{
    static const char *const folders[] = { "certs", "csr", "private" };
    size_t before = inspection->printed;
    char path[PATH_MAX];
    struct fault fault;

    folder_print(inspection, directory);
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        if (snprintf(path, sizeof path, "%s/%s", directory, folders[i]) < (int)sizeof path)
            folder_print(inspection, path);
    }
    if (inspection->printed > before)
        return;
    fault_set(&fault, "%s: has no file with a certificate, key, request or revocation list", directory);
    fail(inspection, &fault);
}

static void target_print(struct inspection *inspection, const char *target)
{
    struct contents contents = { .count = 0 };
    struct fault fault = { .text = "" };
    struct stat status;
    bool is_file = stat(target, &status) == 0;
    const char *colon = strrchr(target, ':');

    if (is_file && S_ISDIR(status.st_mode)) {
        directory_print(inspection, target);
        return;
    }
    bool is_absent = !is_file && errno == ENOENT;
    bool is_server = is_absent && colon && !strchr(target, '/');
    bool is_read = is_server ? chain_read(&contents, target, inspection->settings->timeout_ms, &fault)
                             : contents_read(&contents, target, &fault);
    if (is_absent && !is_server && (!strchr(target, '/') || strstr(target, "://")))
        fault_set(&fault, "%.160s: no file has this name; a server is written host:port", target);
    if (is_read)
        print(inspection, target, &contents);
    else
        fail(inspection, &fault);
    contents_deinit(&contents);
}

int pki_inspect_run(const struct pki_settings *settings, int count, char **words, struct fault *fault)
{
    struct inspection inspection = { .settings = settings,
                                     .now = clock_wall_seconds(),
                                     .status = EXIT_STATUS_OK };

    if (settings->is_json && !(inspection.json = pki_contents_json_begin())) {
        fault_set(fault, "out of memory");
        return EXIT_STATUS_FAILED;
    }
    for (int i = 0; i < count; i++)
        target_print(&inspection, words[i]);
    if (inspection.json)
        pki_contents_json_end(inspection.json, stdout);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return inspection.status;
    fault_set(fault, "the output cannot be written");
    return EXIT_STATUS_FAILED;
}
