#include "trust/credentials_dir.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ALTERNATIVES = 2, NAMES_SHOWN_MAX = 8, NAMES_BYTES = 256, NAME_BYTES = 64 };

/* In each name `*` stands for the role: client or server. */
struct layout {
    const char *name;
    const char *cert, *key;
    const char *ca[ALTERNATIVES];         /* the directory has one of them */
    const char *passphrase[ALTERNATIVES]; /* of the key; optional: the first one that is there */
};

static const struct layout layouts[] = {
    /* cert-manager, kubectl create secret tls; ca.pem: spiffe-helper with these names */
    { "kubernetes.io/tls", "tls.crt", "tls.key", { "ca.crt", "ca.pem" }, { NULL } },
    { "spiffe-helper", "svid.pem", "svid_key.pem", { "svid_bundle.pem" }, { NULL } },
    /* husk pki init; husk pki secret --layout seed, whose passphrase has the same name for both roles */
    { "husk pki",
      "*.crt.pem",
      "*.key.pem",
      { "ca.crt.pem" },
      { "*.key.passphrase", "server.key.passphrase" } },
    { "husk pki --profile seed", "certs/*.crt.pem", "private/*.key.pem", { "certs/ca.crt.pem" }, { NULL } },
};

static const char shared_key_name[] = "fluent.shared.key";

enum { LAYOUTS_COUNT = sizeof layouts / sizeof layouts[0] };

/* ---- names ---- */

struct name {
    char text[NAME_BYTES];
};

static struct name name_for(const char *pattern, enum tls_role role)
{
    const char *star = strchr(pattern, '*');
    struct name name;

    if (star)
        snprintf(name.text, sizeof name.text, "%.*s%s%s", (int)(star - pattern), pattern,
                 role == TLS_CLIENT ? "client" : "server", star + 1);
    else
        snprintf(name.text, sizeof name.text, "%s", pattern);
    return name;
}

/* What cannot be looked at, and a symbolic link to nothing, count as there: to read the file tells why. */
static bool is_there(const char *path)
{
    struct stat facts;

    return lstat(path, &facts) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

/* Sets the path of the file; an empty path: there is none. */
static bool file_find(char to[PATH_MAX], const char *directory, const char *pattern, enum tls_role role)
{
    bool is_found = pattern &&
                    snprintf(to, PATH_MAX, "%s/%s", directory, name_for(pattern, role).text) < PATH_MAX &&
                    is_there(to);

    if (!is_found)
        to[0] = '\0';
    return is_found;
}

/* ---- faults ---- */

static int is_shown(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* The names of the directory, as many as fit. */
static void names_list(const char *path, char text[NAMES_BYTES])
{
    struct dirent **entries;
    int count = scandir(path, &entries, is_shown, alphasort);
    size_t used = 0;

    snprintf(text, NAMES_BYTES, "%s", count < 0 ? strerror(errno) : "nothing");
    for (int i = 0; i < count; i++) {
        if (i < NAMES_SHOWN_MAX && used < NAMES_BYTES)
            used +=
                (size_t)snprintf(text + used, NAMES_BYTES - used, "%s%s", i ? ", " : "", entries[i]->d_name);
        else if (i == NAMES_SHOWN_MAX && used < NAMES_BYTES)
            snprintf(text + used, NAMES_BYTES - used, " and %d more", count - i);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

static void none_fault(const char *path, enum tls_role role, struct fault *fault)
{
    char names[NAMES_BYTES], expected[NAMES_BYTES];
    size_t used = 0;

    names_list(path, names);
    for (size_t i = 0; i < LAYOUTS_COUNT; i++)
        used += (size_t)snprintf(expected + used, sizeof expected - used, "%s%s and %s", i ? ", or " : "",
                                 name_for(layouts[i].cert, role).text, name_for(layouts[i].key, role).text);
    fault_set(fault, "%.160s: holds no certificate under a known name: expected %s; the directory has: %s",
              path, expected, names);
}

static void lack_fault(const char *path, const struct layout *layout, const char *pattern, enum tls_role role,
                       struct fault *fault)
{
    char names[NAMES_BYTES];

    names_list(path, names);
    fault_set(fault, "%.160s: lacks %s of the layout %s%s; the directory has: %s", path,
              name_for(pattern, role).text, layout->name,
              pattern == layout->ca[0] ? " (--ca can name another file)" : "", names);
}

static void two_fault(const char *path, const char *one, const char *other, struct fault *fault)
{
    fault_set(fault, "%.160s: has files of two kinds, %s and %s: leave one of them", path, one, other);
}

/* ---- finding ---- */

/* The layout of which the directory has the certificate or the key; CAs alone say nothing. NULL and a fault:
 * none, or two. */
static const struct layout *layout_find(struct credentials_dir *dir, const char *path, enum tls_role role,
                                        struct fault *fault)
{
    const struct layout *found = NULL;
    struct name mark = { "" };

    for (size_t i = 0; i < LAYOUTS_COUNT; i++) {
        const struct layout *layout = &layouts[i];
        bool has_cert = file_find(dir->cert, path, layout->cert, role);
        if (!has_cert && !file_find(dir->key, path, layout->key, role))
            continue;
        struct name name = name_for(has_cert ? layout->cert : layout->key, role);
        if (found) {
            two_fault(path, mark.text, name.text, fault);
            return NULL;
        }
        found = layout;
        mark = name;
    }
    if (!found)
        none_fault(path, role, fault);
    return found;
}

static bool directory_check(const char *path, struct fault *fault)
{
    struct stat facts;
    bool is_read = stat(path, &facts) == 0;

    if (is_read && !S_ISDIR(facts.st_mode)) {
        fault_set(fault, "%s: is no directory", path);
        return false;
    }
    if (is_read && access(path, X_OK) == 0)
        return true;
    fault_set(fault, "%s: %s", path, strerror(errno));
    return false;
}

/* The directory may have none of the names, but not both. */
static bool ca_find(struct credentials_dir *dir, const char *path, const struct layout *layout,
                    struct fault *fault)
{
    char other[PATH_MAX];
    bool has_first = file_find(dir->ca, path, layout->ca[0], TLS_CLIENT),
         has_other = file_find(other, path, layout->ca[1], TLS_CLIENT);

    if (has_first && has_other) {
        two_fault(path, layout->ca[0], layout->ca[1], fault);
        return false;
    }
    if (has_other)
        memcpy(dir->ca, other, sizeof other);
    return true;
}

bool credentials_dir_find(struct credentials_dir *dir, const char *path, enum tls_role role,
                          enum credentials_dir_ca ca, struct fault *fault)
{
    dir->ca[0] = '\0';
    if (!directory_check(path, fault))
        return false;
    const struct layout *layout = layout_find(dir, path, role, fault);
    if (!layout || (ca == CREDENTIALS_DIR_CA_NEEDED && !ca_find(dir, path, layout, fault)))
        return false;
    dir->layout = layout->name;
    for (size_t i = 0; i < ALTERNATIVES; i++) {
        if (file_find(dir->passphrase, path, layout->passphrase[i], role))
            break;
    }
    (void)file_find(dir->shared_key, path, shared_key_name, role);
    const char *lacks = NULL;
    if (!file_find(dir->cert, path, layout->cert, role))
        lacks = layout->cert;
    else if (!file_find(dir->key, path, layout->key, role))
        lacks = layout->key;
    else if (ca == CREDENTIALS_DIR_CA_NEEDED && !dir->ca[0])
        lacks = layout->ca[0];
    if (lacks)
        lack_fault(path, layout, lacks, role, fault);
    return !lacks;
}

void credentials_dir_visit(const char *path, enum tls_role role,
                           void (*on_path)(void *owner, const char *path), void *owner)
{
    char file[PATH_MAX];

    for (size_t i = 0; i < LAYOUTS_COUNT; i++) {
        const struct layout *layout = &layouts[i];
        const char *const patterns[] = { layout->cert,  layout->key,           layout->ca[0],
                                         layout->ca[1], layout->passphrase[0], layout->passphrase[1] };
        for (size_t k = 0; k < sizeof patterns / sizeof patterns[0]; k++) {
            if (patterns[k] && snprintf(file, sizeof file, "%s/%s", path, name_for(patterns[k], role).text) <
                                   (int)sizeof file)
                on_path(owner, file);
        }
    }
}
