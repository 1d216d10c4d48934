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

static bool has_key(const struct config *config, enum side side)
{
    if (side == SIDE_UPSTREAM)
        return config->shared_key_env || config->shared_key_file;
    return config->accept_key_env || config->accept_key_file;
}

/* Whether the settings go together. */
static bool keys_check(const struct config *config, struct fault *fault)
{
    bool dials = has_key(config, SIDE_UPSTREAM), accepts = has_key(config, SIDE_DOWNSTREAM);

    if (!dials && (config->username || config->password_env)) {
        fault_set(fault, "--%s: requires --shared-key-env or --shared-key-file",
                  config->username ? "username" : "password-env");
        return false;
    }
    if (!config->username != !config->password_env) {
        fault_set(fault, "--username: must be combined with --password-env");
        return false;
    }
    if (!accepts && config->accept_users.count) {
        fault_set(fault, "--accept-user: requires --accept-key-env or --accept-key-file");
        return false;
    }
    if ((dials || accepts) && config->protocol != ROUTE_FORWARD) {
        fault_set(fault, "--%s: is for --protocol forward; tcp carries the handshake unchanged",
                  dials ? "shared-key-env" : "accept-key-env");
        return false;
    }
    if (strlen(config->self_hostname) > HANDSHAKE_NAME_BYTES_MAX ||
        (config->username && strlen(config->username) > HANDSHAKE_NAME_BYTES_MAX)) {
        fault_set(fault, "--self-hostname, --username: longer than %d bytes", HANDSHAKE_NAME_BYTES_MAX);
        return false;
    }
    return true;
}

static char *key_load(const struct config *config, enum side side, struct fault *fault)
{
    if (side == SIDE_UPSTREAM)
        return secret_load("shared-key", config->shared_key_env, config->shared_key_file, fault);
    return secret_load("accept-key", config->accept_key_env, config->accept_key_file, fault);
}

bool options_keys_set(struct options_keys *keys, const struct config *config, struct fault *fault)
{
    if (!keys_check(config, fault))
        return false;
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        struct handshake_options *key = &keys->side[side];
        if (!has_key(config, side))
            continue;
        key->hostname = config->self_hostname;
        key->sha512 = on_sha512;
        key->shared_key = key_load(config, side, fault);
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
