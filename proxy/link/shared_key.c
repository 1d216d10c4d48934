#include "link/shared_key.h"

#include "trust/digest.h"
#include "trust/passphrase.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SETTING_BYTES = 32 }; /* name of a setting */

struct shared_key {
    atomic_uint references;
    struct handshake_options handshake; /* its strings are owned */
    struct handshake_user *users;       /* owned, with their names and passwords */
};

static void on_sha512(const struct handshake_piece *pieces, size_t count,
                      uint8_t digest[HANDSHAKE_DIGEST_BYTES])
{
    struct iovec vectors[8];

    assert(count <= sizeof vectors / sizeof vectors[0]);
    for (size_t i = 0; i < count; i++)
        vectors[i] = (struct iovec) { (void *)(uintptr_t)pieces[i].bytes, pieces[i].length };
    digest_sha512(vectors, count, digest);
}

/* ---- secrets ---- */

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

/* For names too. */
static void secret_free(const char *secret)
{
    char *text = (char *)(uintptr_t)secret;

    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

static char *key_load(const struct shared_key_options *options, struct fault *fault)
{
    const char *value = options->env ? getenv(options->env) : NULL;

    if (options->is_empty) {
        char *empty = strdup("");
        if (!empty)
            fault_set(fault, "out of memory");
        return empty;
    }
    char setting[SETTING_BYTES];
    snprintf(setting, sizeof setting, "%s-%s", options->setting, options->env ? "env" : "file");
    if (!value || *value)
        return secret_load(setting, options->env, options->file, fault);
    fault_set(fault, "--%s-env: environment variable %s is empty: for an empty shared key set --%s-empty",
              options->setting, options->env, options->setting);
    return NULL;
}

/* ---- a set ---- */

/* `name` may be NULL. */
static bool name_copy(const char **to, const char *name, struct fault *fault)
{
    if (!name || (*to = strdup(name)))
        return true;
    fault_set(fault, "out of memory");
    return false;
}

static bool users_load(struct shared_key *key, const struct shared_key_options *options, struct fault *fault)
{
    key->users = calloc(options->user_count + 1, sizeof *key->users);
    if (!key->users) {
        fault_set(fault, "out of memory");
        return false;
    }
    key->handshake.users = key->users;
    for (size_t i = 0; i < options->user_count; i++) {
        const struct shared_key_user *user = &options->users[i];
        struct handshake_user *to = &key->users[i];
        key->handshake.user_count++;
        if (!name_copy(&to->name, user->name, fault))
            return false;
        char setting[SETTING_BYTES + HANDSHAKE_NAME_BYTES_MAX];
        snprintf(setting, sizeof setting, "accept-user: the password of %s", user->name);
        if (!(to->password = secret_load(setting, user->password_env, NULL, fault)))
            return false;
    }
    return true;
}

struct shared_key *shared_key_load(const struct shared_key_options *options, struct fault *fault)
{
    struct shared_key *key = calloc(1, sizeof *key);

    if (!key) {
        fault_set(fault, "out of memory");
        return NULL;
    }
    atomic_init(&key->references, 1);
    key->handshake.sha512 = on_sha512;
    if (name_copy(&key->handshake.hostname, options->hostname, fault) &&
        name_copy(&key->handshake.username, options->username, fault) &&
        (key->handshake.shared_key = key_load(options, fault)) != NULL &&
        (!options->password_env || (key->handshake.password = secret_load(
                                        "password-env", options->password_env, NULL, fault)) != NULL) &&
        users_load(key, options, fault))
        return key;
    shared_key_release(key);
    return NULL;
}

void shared_key_release(struct shared_key *key)
{
    if (!key || atomic_fetch_sub(&key->references, 1) != 1)
        return;
    for (size_t i = 0; i < key->handshake.user_count; i++) {
        secret_free(key->users[i].name);
        secret_free(key->users[i].password);
    }
    free(key->users);
    secret_free(key->handshake.hostname);
    secret_free(key->handshake.username);
    secret_free(key->handshake.shared_key);
    secret_free(key->handshake.password);
    free(key);
}

const struct handshake_options *shared_key_handshake(const struct shared_key *key)
{
    return &key->handshake;
}

/* ---- the set in use ---- */

void shared_key_slot_init(struct shared_key_slot *slot)
{
    *slot = (struct shared_key_slot) { .lock = PTHREAD_MUTEX_INITIALIZER };
}

void shared_key_slot_clear(struct shared_key_slot *slot)
{
    shared_key_release(slot->in_use);
    slot->in_use = NULL;
}

void shared_key_slot_replace(struct shared_key_slot *slot, struct shared_key *key)
{
    pthread_mutex_lock(&slot->lock);
    struct shared_key *before = slot->in_use;
    slot->in_use = key;
    pthread_mutex_unlock(&slot->lock);
    shared_key_release(before);
}

struct shared_key *shared_key_slot_take(struct shared_key_slot *slot)
{
    pthread_mutex_lock(&slot->lock);
    struct shared_key *key = slot->in_use;
    atomic_fetch_add(&key->references, 1);
    pthread_mutex_unlock(&slot->lock);
    return key;
}
