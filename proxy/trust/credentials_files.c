#include "trust/credentials_files.h"

#include "trust/file_stamp.h"
#include "trust/system_cas.h"
#include "trust/token_uri.h"

#include <string.h>

static bool dir_use(struct credentials_files *files, struct fault *fault)
{
    struct credentials_options *options = &files->options;

    enum credentials_dir_ca ca = options->ca_file || options->verifies_nothing ? CREDENTIALS_DIR_CA_ELSEWHERE
                                                                               : CREDENTIALS_DIR_CA_NEEDED;

    if (!credentials_dir_find(&files->dir, options->directory, options->role, ca, fault))
        return false;
    options->cert_file = files->dir.cert;
    options->key_file = files->dir.key;
    files->cert_option = files->key_option = "credentials";
    if (ca == CREDENTIALS_DIR_CA_NEEDED) {
        options->ca_file = files->dir.ca;
        files->ca_option = "credentials";
    }
    if (files->dir.passphrase[0] && !options->passphrase_env && !options->passphrase_file) {
        options->passphrase_file = files->dir.passphrase;
        files->passphrase_option = "credentials";
    }
    return true;
}

bool credentials_files_find(struct credentials_files *files, const struct credentials_options *given,
                            struct fault *fault)
{
    struct credentials_options *options = &files->options;

    *options = *given;
    files->dir.layout = NULL;
    files->uses_system_cas = credentials_options_use_system_cas(given);
    files->cert_option = "cert";
    files->key_option = "key";
    files->ca_option = "ca";
    files->passphrase_option = "key-passphrase-file";
    if (given->keystore) {
        options->cert_file = options->key_file = given->keystore;
        files->cert_option = files->key_option = "keystore";
    }
    if (given->directory && !dir_use(files, fault))
        return false;
    return !files->uses_system_cas || (options->ca_file = system_cas_find(fault));
}

/* Of a key in a token the file of its PIN. */
static void key_visit(const char *key_file, void (*on_path)(void *owner, const char *path), void *owner)
{
    char pin_path[TOKEN_PIN_PATH_BYTES];

    if (!token_uri_is(key_file)) {
        if (key_file)
            on_path(owner, key_file);
    } else if (token_uri_pin_file(key_file, pin_path)) {
        on_path(owner, pin_path);
    }
}

void credentials_files_visit(const struct credentials_options *given,
                             void (*on_path)(void *owner, const char *path), void *owner)
{
    struct fault ignored;
    const char *const paths[] = {
        given->shows_nothing ? NULL : given->cert_file,
        given->keystore,
        credentials_options_use_system_cas(given) ? system_cas_find(&ignored) : given->ca_file,
        given->passphrase_file,
        given->ticket_keys_file,
    };

    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        if (paths[i])
            on_path(owner, paths[i]);
    }
    key_visit(given->key_file, on_path, owner);
    for (size_t i = 0; i < given->more_count; i++) {
        const struct certificate_files *more = &given->more[i];
        on_path(owner, more->cert_file);
        key_visit(more->key_file, on_path, owner);
        if (more->passphrase_file)
            on_path(owner, more->passphrase_file);
    }
    if (given->directory)
        credentials_dir_visit(given->directory, given->role, on_path, owner);
}

static void on_stamped_path(void *owner, const char *path)
{
    uint64_t *stamp = owner;

    *stamp = *stamp * 31 + file_stamp(path);
}

uint64_t credentials_files_stamp(const struct credentials_options *given)
{
    /* What decides which notes the log gets. */
    uint64_t stamp = (uint64_t)given->client_certificate << 3 | (uint64_t)given->verifies_nothing << 2 |
                     (uint64_t)given->role << 1 | given->allow_weak;

    credentials_files_visit(given, on_stamped_path, &stamp);
    return stamp * 31 + revocation_stamp(&given->revocation);
}
