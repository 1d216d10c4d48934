#include "pki/store.h"

#include "pki/file_writer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DIRECTORY_BYTES_MAX = STORE_PATH_BYTES - STORE_NAME_BYTES_MAX - 32, FOLDER_MODE = 0700 };

const char *store_path(const struct store *store, enum profile_file file, const char *name,
                       char path[STORE_PATH_BYTES])
{
    const char *pattern = store->profile->files[file];

    assert(pattern);
    const char *hole = strstr(pattern, "%s");
    int before = (int)(hole ? (size_t)(hole - pattern) : strlen(pattern));
    snprintf(path, STORE_PATH_BYTES, "%s/%.*s%s%s", store->directory, before, pattern, hole ? name : "",
             hole ? hole + 2 : "");
    return path;
}

bool store_has(const struct store *store, enum profile_file file, const char *name)
{
    char path[STORE_PATH_BYTES];
    struct stat status;

    return store->profile->files[file] && lstat(store_path(store, file, name, path), &status) == 0;
}

bool store_check_certificate(const struct store *store, const char *name, struct fault *fault)
{
    char path[STORE_PATH_BYTES];

    if (store_has(store, PROFILE_CERT, name) || errno != ENOENT)
        return true;
    fault_set(fault,
              "%.300s: there is no certificate \"%.64s\": give the name of a file NAME.crt.pem, or make the "
              "certificate with husk pki issue",
              store_path(store, PROFILE_CERT, name, path), name);
    return false;
}

bool store_check_name(const char *name, struct fault *fault)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    size_t length = strlen(name);

    for (enum profile_use ca = PROFILE_ROOT; ca <= PROFILE_INTERMEDIATE; ca++) {
        if (strcmp(name, profile_ca_name(ca)) != 0)
            continue;
        fault_set(fault, "\"%s\" is the name of a CA: give the name of a server or client", name);
        return false;
    }
    if (length && length <= STORE_NAME_BYTES_MAX && strspn(name, letters) == length && name[0] != '.' &&
        name[0] != '-')
        return true;
    fault_set(
        fault,
        "\"%.64s\" cannot be the name of files: give a name with --as, of at most %d letters, digits, '-', "
        "'_' and '.'",
        name, STORE_NAME_BYTES_MAX);
    return false;
}

bool store_names_ca(const struct store *store, const char *name, enum profile_use *ca)
{
    for (*ca = PROFILE_ROOT; *ca <= PROFILE_INTERMEDIATE; ++*ca) {
        if (store->profile->files[profile_ca_cert(*ca)] && strcmp(name, profile_ca_name(*ca)) == 0)
            return true;
    }
    return false;
}

/* ---- opening ---- */

static bool begin(struct store *store, const char *directory, struct fault *fault)
{
    *store = (struct store) { .directory = directory, .lock = -1 };
    if (strlen(directory) <= DIRECTORY_BYTES_MAX)
        return true;
    fault_set(fault, "%.64s…: the path is longer than %d bytes", directory, DIRECTORY_BYTES_MAX);
    return false;
}

/* The profile whose CA, or the key of whose CA, is in the directory; NULL: none. */
static const struct profile *profile_detect(const struct store *store)
{
    for (unsigned i = 0; profile_names[i]; i++) {
        const struct store as = { .directory = store->directory, .profile = profile_at(i) };
        if (store_has(&as, PROFILE_ROOT_CERT, NULL) || store_has(&as, PROFILE_ROOT_KEY, NULL) ||
            store_has(&as, PROFILE_INTERMEDIATE_CERT, NULL))
            return as.profile;
    }
    return NULL;
}

static bool profile_check(const struct store *store, const struct profile *found,
                          const struct profile *wanted, struct fault *fault)
{
    if (!wanted || !found || found == wanted)
        return true;
    fault_set(fault, "%s: is a PKI of the profile %s: give --profile %s, or another directory",
              store->directory, found->name, found->name);
    return false;
}

bool store_open(struct store *store, const char *directory, const struct profile *wanted, struct fault *fault)
{
    if (!begin(store, directory, fault))
        return false;
    store->profile = profile_detect(store);
    if (store->profile)
        return profile_check(store, store->profile, wanted, fault);
    if (access(directory, R_OK | X_OK) != 0) {
        fault_set(fault, "%s: %s: name another directory with --dir, or run husk pki as its owner", directory,
                  strerror(errno));
        return false;
    }
    fault_set(fault,
              "%s: has no CA, neither %s nor %s: make one with \"husk pki init %s\", or name the directory "
              "with --dir",
              directory, profile_modern.files[PROFILE_ROOT_CERT], profile_seed.files[PROFILE_ROOT_CERT],
              directory);
    return false;
}

bool store_create(struct store *store, const char *directory, const struct profile *profile,
                  struct fault *fault)
{
    char path[STORE_PATH_BYTES];

    if (!begin(store, directory, fault) || !profile_check(store, profile_detect(store), profile, fault) ||
        !file_writer_folder(directory, FOLDER_MODE, fault))
        return false;
    store->profile = profile;
    if (!store_lock(store, fault))
        return false;
    for (const char *const *folder = profile->folders; *folder; folder++) {
        snprintf(path, sizeof path, "%s/%s", directory, *folder);
        if (!file_writer_folder(path, FOLDER_MODE, fault))
            return false;
    }
    return true;
}

/* ---- locking ---- */

bool store_lock(struct store *store, struct fault *fault)
{
    char path[STORE_PATH_BYTES];

    if (store->lock >= 0)
        return true;
    store->lock =
        open(store_path(store, PROFILE_LOCK, NULL, path), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    while (store->lock >= 0 && flock(store->lock, LOCK_EX) != 0) {
        if (errno == EINTR)
            continue;
        close(store->lock);
        store->lock = -1;
    }
    if (store->lock < 0) {
        fault_set(fault, "%s: cannot lock the directory: %s", path, strerror(errno));
        return false;
    }
    file_writer_sweep(store->directory);
    for (const char *const *folder = store->profile->folders; *folder; folder++) {
        snprintf(path, sizeof path, "%s/%s", store->directory, *folder);
        file_writer_sweep(path);
    }
    return true;
}

void store_close(struct store *store)
{
    if (store->lock >= 0)
        close(store->lock);
    store->lock = -1;
}

/* ---- writing ---- */

static void tell(const struct store *store, const char *path)
{
    if (store->on_file)
        store->on_file(path);
}

bool store_create_file(const struct store *store, enum profile_file file, const char *name,
                       struct bio_st *content, struct fault *fault)
{
    char path[STORE_PATH_BYTES];

    if (!file_writer_create(store_path(store, file, name, path), content, fault))
        return false;
    tell(store, path);
    return true;
}

bool store_replace_file(const struct store *store, enum profile_file file, const char *name,
                        struct bio_st *content, struct fault *fault)
{
    char path[STORE_PATH_BYTES];

    store_path(store, file, name, path);
    if (!file_writer_replace(path, path, content, fault))
        return false;
    tell(store, path);
    return true;
}
