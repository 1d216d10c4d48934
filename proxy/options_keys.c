#include "options_keys.h"

#include "runtime/route.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static struct shared_key_options key_source(const struct config *config, enum side side)
{
    if (side == SIDE_UPSTREAM)
        return (struct shared_key_options) { .setting = "shared-key",
                                             .env = config->shared_key_env,
                                             .file = config->shared_key_file,
                                             .is_empty = config->shared_key_empty,
                                             .hostname = config->self_hostname,
                                             .username = config->username,
                                             .password_env = config->password_env };
    return (struct shared_key_options) { .setting = "accept-key",
                                         .env = config->accept_key_env,
                                         .file = config->accept_key_file,
                                         .is_empty = config->accept_key_empty,
                                         .hostname = config->self_hostname };
}

/* How the name of the given setting ends; NULL: none is given. */
static const char *source_kind(const struct shared_key_options *source)
{
    if (source->env)
        return "env";
    if (source->file)
        return "file";
    return source->is_empty ? "empty" : NULL;
}

/* Whether the settings of one key go together. */
static bool source_check(const struct shared_key_options *source, const struct config *config,
                         struct fault *fault)
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
    const struct shared_key_options shared = key_source(config, SIDE_UPSTREAM),
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

static bool users_set(struct options_keys *keys, const struct config *config, struct fault *fault)
{
    struct shared_key_options *accepted = &keys->side[SIDE_DOWNSTREAM];

    if (!config->accept_users.count)
        return true;
    keys->users = calloc(config->accept_users.count, sizeof *keys->users);
    accepted->users = keys->users;
    for (size_t i = 0; keys->users && i < config->accept_users.count; i++) {
        const char *text = config->accept_users.items[i].value, *equals = strchr(text, '=');
        struct shared_key_user *user = &keys->users[i];
        if (!equals || equals == text || (size_t)(equals - text) > HANDSHAKE_NAME_BYTES_MAX) {
            fault_set(fault, "--accept-user: \"%s\" is not NAME=VAR", text);
            return false;
        }
        user->name = strndup(text, (size_t)(equals - text));
        user->password_env = equals + 1;
        if (!user->name)
            break;
        accepted->user_count++;
    }
    if (accepted->user_count == config->accept_users.count)
        return true;
    fault_set(fault, "out of memory");
    return false;
}

bool options_keys_set(struct options_keys *keys, const struct config *config, struct fault *fault)
{
    if (!keys_check(config, fault))
        return false;
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        const struct shared_key_options source = key_source(config, side);
        if (source_kind(&source))
            keys->side[side] = source;
    }
    return users_set(keys, config, fault);
}

void options_keys_deinit(struct options_keys *keys)
{
    for (size_t i = 0; i < keys->side[SIDE_DOWNSTREAM].user_count; i++)
        free((char *)(uintptr_t)keys->users[i].name);
    free(keys->users);
    *keys = (struct options_keys) { 0 };
}
