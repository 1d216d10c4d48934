#include "options_keys.h"

#include "runtime/route.h"
#include "trust/digest.h"
#include "trust/passphrase.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void on_sha512(const struct handshake_piece *pieces, size_t count,
                      uint8_t digest[HANDSHAKE_DIGEST_BYTES])
{
    struct iovec vectors[8];

    assert(count <= sizeof vectors / sizeof vectors[0]);
    for (size_t i = 0; i < count; i++)
        vectors[i] = (struct iovec) { (void *)(uintptr_t)pieces[i].bytes, pieces[i].length };
    digest_sha512(vectors, count, digest);
}

/* Loads a secret from an environment variable or a file. The caller owns the string; NULL and a fault on
 * failure. */
static char *secret_load(const char *setting, const char *env, const char *file, struct fault *fault)
{
    struct passphrase secret;
    char *text = NULL;

    if (passphrase_load(&secret, env, file, fault)) {
        text = strndup(secret.bytes, secret.length);
        if (!text)
            fault_set(fault, "out of memory");
    }
    passphrase_wipe(&secret);
    if (!text)
        fault_wrap(fault, "--%s", setting);
    return text;
}

static void secret_free(const char *secret)
{
    char *text = (char *)(uintptr_t)secret;

    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

static bool users_set(struct options_keys *keys, const struct config *config, struct fault *fault)
{
    struct handshake_options *key = &keys->side[SIDE_DOWNSTREAM];

    keys->users = calloc(config->accept_users.count + 1, sizeof *keys->users);
    if (!keys->users) {
        fault_set(fault, "out of memory");
        return false;
    }
    key->users = keys->users;
    for (size_t i = 0; i < config->accept_users.count; i++) {
        const char *text = config->accept_users.items[i].value, *equals = strchr(text, '=');
        struct handshake_user *user = &keys->users[i];
        if (!equals || equals == text || (size_t)(equals - text) > HANDSHAKE_NAME_BYTES_MAX) {
            fault_set(fault, "--accept-user: \"%s\" is not NAME=VAR", text);
            return false;
        }
        key->user_count++;
        user->name = strndup(text, (size_t)(equals - text));
        user->password = secret_load("accept-user", equals + 1, NULL, fault);
        if (!user->password)
            return false;
    }
    return true;
}

/* The settings of the key of one side. At most one of env, file and is_empty is set. */
struct key_source {
    const char *setting; /* how the names of these settings begin */
    const char *env, *file;
    bool is_empty;
};

static struct key_source key_source(const struct config *config, enum side side)
{
    if (side == SIDE_UPSTREAM)
        return (struct key_source) { "shared-key", config->shared_key_env, config->shared_key_file,
                                     config->shared_key_empty };
    return (struct key_source) { "accept-key", config->accept_key_env, config->accept_key_file,
                                 config->accept_key_empty };
}

/* How the name of the given setting ends; NULL: none is given. */
static const char *source_kind(const struct key_source *source)
{
    if (source->env)
        return "env";
    if (source->file)
        return "file";
    return source->is_empty ? "empty" : NULL;
}

/* Whether the settings of one key go together. */
static bool source_check(const struct key_source *source, const struct config *config, struct fault *fault)
{
    const char *kind = source_kind(source);

    if (kind && config->protocol != ROUTE_FORWARD)
        fault_set(fault, "--%s-%s: is for --protocol forward; tcp carries the handshake unchanged",
                  source->setting, kind);
    else if (source->is_empty && (source->env || source->file))
        fault_set(fault, "--%s-empty: cannot be combined with --%s-%s", source->setting, source->setting,
                  kind);
    else
        return true;
    return false;
}

/* Whether the settings go together. */
static bool keys_check(const struct config *config, struct fault *fault)
{
    const struct key_source shared = key_source(config, SIDE_UPSTREAM),
                            accepted = key_source(config, SIDE_DOWNSTREAM);

    if (!source_check(&shared, config, fault) || !source_check(&accepted, config, fault))
        return false;
    if (!source_kind(&shared) && (config->username || config->password_env)) {
        fault_set(fault, "--%s: requires --shared-key-env, --shared-key-file or --shared-key-empty",
                  config->username ? "username" : "password-env");
        return false;
    }
    if (!config->username != !config->password_env) {
        fault_set(fault, "--username: must be combined with --password-env");
        return false;
    }
    if (!source_kind(&accepted) && config->accept_users.count) {
        fault_set(fault, "--accept-user: requires --accept-key-env, --accept-key-file or --accept-key-empty");
        return false;
    }
    if (config->accept_key_empty && !config->accept_users.count) {
        fault_set(fault,
                  "--accept-key-empty: requires --accept-user, otherwise husk would accept every agent");
        return false;
    }
    if (strlen(config->self_hostname) > HANDSHAKE_NAME_BYTES_MAX ||
        (config->username && strlen(config->username) > HANDSHAKE_NAME_BYTES_MAX)) {
        fault_set(fault, "--self-hostname, --username: longer than %d bytes", HANDSHAKE_NAME_BYTES_MAX);
        return false;
    }
    return true;
}

static char *key_load(const struct key_source *source, struct fault *fault)
{
    const char *value = source->env ? getenv(source->env) : NULL;

    if (source->is_empty) {
        char *empty = strdup("");
        if (!empty)
            fault_set(fault, "out of memory");
        return empty;
    }
    if (!value || *value)
        return secret_load(source->setting, source->env, source->file, fault);
    fault_set(fault, "--%s-env: environment variable %s is empty: for an empty shared key set --%s-empty",
              source->setting, source->env, source->setting);
    return NULL;
}

bool options_keys_set(struct options_keys *keys, const struct config *config, struct fault *fault)
{
    if (!keys_check(config, fault))
        return false;
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        struct handshake_options *key = &keys->side[side];
        const struct key_source source = key_source(config, side);
        if (!source_kind(&source))
            continue;
        key->hostname = config->self_hostname;
        key->sha512 = on_sha512;
        key->shared_key = key_load(&source, fault);
        if (!key->shared_key)
            return false;
    }
    struct handshake_options *dialled = &keys->side[SIDE_UPSTREAM];
    dialled->username = config->username;
    if (config->password_env) {
        dialled->password = secret_load("password-env", config->password_env, NULL, fault);
        if (!dialled->password)
            return false;
    }
    return users_set(keys, config, fault);
}

void options_keys_deinit(struct options_keys *keys)
{
    for (size_t i = 0; i < keys->side[SIDE_DOWNSTREAM].user_count; i++) {
        free((char *)(uintptr_t)keys->users[i].name);
        secret_free(keys->users[i].password);
    }
    free(keys->users);
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        secret_free(keys->side[side].shared_key);
        secret_free(keys->side[side].password);
    }
    *keys = (struct options_keys) { 0 };
}
