#include "pki/pair.h"

#include "pki/file_writer.h"
#include "trust/pem_file.h"

#include <openssl/bio.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum slot { SLOT_IN_USE, SLOT_A, SLOT_B };
enum { FOLDER_MODE = 0711 }; /* a user who may read a file of the name must reach it through the folders */

static const enum profile_file kinds[PAIR_FILES] = { PROFILE_KEY, PROFILE_REQUEST, PROFILE_CERT };
static const char *const slot_suffixes[] = { "", "@a", "@b" };
static const char folder[] = "pairs";

struct pair {
    const struct store *store;
    const char *name;
    BIO *const *contents; /* NULL: the file is no part of the pair */
};

/* ---- paths ---- */

/* The name of a file in a slot: "crt.pem". */
static const char *ending(const struct pair *pair, int at)
{
    static const char hole[] = "%s.";

    return strstr(pair->store->profile->files[kinds[at]], hole) + sizeof hole - 1;
}

static const char *final_path(const struct pair *pair, int at, char path[STORE_PATH_BYTES])
{
    return store_path(pair->store, kinds[at], pair->name, path);
}

static const char *folder_path(const struct pair *pair, char path[STORE_PATH_BYTES])
{
    snprintf(path, STORE_PATH_BYTES, "%s/%s", pair->store->directory, folder);
    return path;
}

static const char *slot_path(const struct pair *pair, enum slot slot, char path[STORE_PATH_BYTES])
{
    snprintf(path, STORE_PATH_BYTES, "%s/%s/%s%s", pair->store->directory, folder, pair->name,
             slot_suffixes[slot]);
    return path;
}

static const char *slot_file(const struct pair *pair, enum slot slot, int at, char path[STORE_PATH_BYTES])
{
    snprintf(path, STORE_PATH_BYTES, "%s/%s/%s%s/%s", pair->store->directory, folder, pair->name,
             slot_suffixes[slot], ending(pair, at));
    return path;
}

/* ---- links ---- */

/* Where the file of a name leads: relative, so that the directory can be moved. */
static const char *link_target(const struct pair *pair, int at, char target[STORE_PATH_BYTES])
{
    bool is_in_folder = strchr(pair->store->profile->files[kinds[at]], '/') != NULL;

    snprintf(target, STORE_PATH_BYTES, "%s%s/%s/%s", is_in_folder ? "../" : "", folder, pair->name,
             ending(pair, at));
    return target;
}

static bool leads_to(const char *path, const char *target)
{
    char found[STORE_PATH_BYTES];
    ssize_t length = readlink(path, found, sizeof found);

    return length > 0 && (size_t)length == strlen(target) && memcmp(found, target, (size_t)length) == 0;
}

static bool is_linked(const struct pair *pair, int at)
{
    char path[STORE_PATH_BYTES], target[STORE_PATH_BYTES];

    return leads_to(final_path(pair, at, path), link_target(pair, at, target));
}

enum { LINKED = 1, PLAIN = 2 };

/* What the files of the name are: LINKED, PLAIN, both or, if there are none, 0. */
static unsigned files_kinds(const struct pair *pair)
{
    unsigned found = 0;

    for (int at = 0; at < PAIR_FILES; at++) {
        if (pair->contents[at] && store_has(pair->store, kinds[at], pair->name))
            found |= is_linked(pair, at) ? LINKED : PLAIN;
    }
    return found;
}

/* Makes links of the files that have their contents in the slot in use. */
static bool links_make(const struct pair *pair, struct fault *fault)
{
    char path[STORE_PATH_BYTES], target[STORE_PATH_BYTES];

    for (int at = 0; at < PAIR_FILES; at++) {
        if (!pair->contents[at] || is_linked(pair, at) ||
            access(slot_file(pair, SLOT_IN_USE, at, path), F_OK) != 0)
            continue;
        if (!file_writer_link(final_path(pair, at, path), link_target(pair, at, target), fault))
            return false;
    }
    return true;
}

/* ---- slots ---- */

static enum slot slot_free(const struct pair *pair)
{
    char path[STORE_PATH_BYTES], name[STORE_PATH_BYTES];

    snprintf(name, sizeof name, "%s%s", pair->name, slot_suffixes[SLOT_A]);
    return leads_to(slot_path(pair, SLOT_IN_USE, path), name) ? SLOT_B : SLOT_A;
}

/* Also what an interrupted run has left in it. */
static void slot_remove(const struct pair *pair, enum slot slot)
{
    char path[STORE_PATH_BYTES];

    for (int at = 0; at < PAIR_FILES; at++)
        unlink(slot_file(pair, slot, at, path));
    file_writer_sweep(slot_path(pair, slot, path));
    rmdir(path);
}

static bool slot_make(const struct pair *pair, enum slot slot, struct fault *fault)
{
    char path[STORE_PATH_BYTES];

    slot_remove(pair, slot);
    return file_writer_folder(slot_path(pair, slot, path), FOLDER_MODE, fault);
}

static bool slot_use(const struct pair *pair, enum slot slot, struct fault *fault)
{
    char path[STORE_PATH_BYTES], name[STORE_PATH_BYTES];

    snprintf(name, sizeof name, "%s%s", pair->name, slot_suffixes[slot]);
    return file_writer_link(slot_path(pair, SLOT_IN_USE, path), name, fault) && links_make(pair, fault);
}

static bool file_copy(const char *from, const char *to, struct fault *fault)
{
    struct pem_file file = { .path = NULL };
    bool is_read = pem_file_read(&file, from, fault);
    BIO *content = is_read ? BIO_new_mem_buf(file.bytes, (int)file.length) : NULL;

    if (is_read && !content)
        fault_set(fault, "out of memory");
    bool is_copied = content && file_writer_replace(to, from, content, fault);
    BIO_free(content);
    pem_file_wipe(&file);
    return is_copied;
}

/* A program that copies the PKI without its links makes a directory of the link. */
static void copied_slot_remove(const struct pair *pair)
{
    char path[STORE_PATH_BYTES];
    struct stat status;

    if (files_kinds(pair) == PLAIN && lstat(slot_path(pair, SLOT_IN_USE, path), &status) == 0 &&
        S_ISDIR(status.st_mode))
        slot_remove(pair, SLOT_IN_USE);
}

/* The files of the name become links to copies of them. */
static bool files_convert(const struct pair *pair, struct fault *fault)
{
    char from[STORE_PATH_BYTES], to[STORE_PATH_BYTES];
    enum slot slot = slot_free(pair);

    if (!slot_make(pair, slot, fault))
        return false;
    for (int at = 0; at < PAIR_FILES; at++) {
        if (pair->contents[at] && store_has(pair->store, kinds[at], pair->name) &&
            !file_copy(final_path(pair, at, from), slot_file(pair, slot, at, to), fault))
            return false;
    }
    copied_slot_remove(pair);
    return slot_use(pair, slot, fault);
}

static bool contents_use(const struct pair *pair, struct fault *fault)
{
    char path[STORE_PATH_BYTES], before[STORE_PATH_BYTES];
    enum slot slot = slot_free(pair);

    if (!slot_make(pair, slot, fault))
        return false;
    for (int at = 0; at < PAIR_FILES; at++) {
        if (pair->contents[at] &&
            !file_writer_replace(slot_file(pair, slot, at, path), final_path(pair, at, before),
                                 pair->contents[at], fault))
            return false;
    }
    return slot_use(pair, slot, fault);
}

/* ---- replacing ---- */

static void tell(const struct pair *pair, int at)
{
    char path[STORE_PATH_BYTES];

    if (pair->store->on_file)
        pair->store->on_file(final_path(pair, at, path));
}

bool pair_replace(const struct store *store, const char *name, BIO *const contents[PAIR_FILES],
                  struct fault *fault)
{
    const struct pair pair = { .store = store, .name = name, .contents = contents };
    char path[STORE_PATH_BYTES];
    bool is_replaced = file_writer_folder(folder_path(&pair, path), FOLDER_MODE, fault);

    file_writer_sweep(path);
    is_replaced = is_replaced && (!(files_kinds(&pair) & PLAIN) || files_convert(&pair, fault)) &&
                  contents_use(&pair, fault);
    slot_remove(&pair, slot_free(&pair));
    for (int at = 0; is_replaced && at < PAIR_FILES; at++) {
        if (contents[at])
            tell(&pair, at);
    }
    return is_replaced;
}

bool pair_replace_certificate(const struct store *store, const char *name, BIO *content, struct fault *fault)
{
    BIO *const contents[PAIR_FILES] = { [PAIR_CERT] = content };
    const struct pair pair = { .store = store, .name = name, .contents = contents };
    char path[STORE_PATH_BYTES];

    if (is_linked(&pair, PAIR_CERT))
        slot_file(&pair, SLOT_IN_USE, PAIR_CERT, path);
    else
        final_path(&pair, PAIR_CERT, path);
    bool is_replaced = file_writer_replace(path, path, content, fault);
    if (is_replaced)
        tell(&pair, PAIR_CERT);
    return is_replaced;
}
