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

/* The settings that a key can come from. */
struct key_fields {
    size_t env, file, empty;
};

static const struct key_fields fields[SIDE_COUNT] = {
    [SIDE_DOWNSTREAM] = { CONFIG_FIELD(accept_key_env), CONFIG_FIELD(accept_key_file),
                          CONFIG_FIELD(accept_key_empty) },
    [SIDE_UPSTREAM] = { CONFIG_FIELD(shared_key_env), CONFIG_FIELD(shared_key_file),
                        CONFIG_FIELD(shared_key_empty) },
};

/* Whether a mistake hides where the key comes from. */
static bool is_key_wrong(const struct config *config, const struct key_fields *of)
{
    return config_is_wrong(config, of->env) || config_is_wrong(config, of->file) ||
           config_is_wrong(config, of->empty);
}

/* The setting that was given; CONFIG_NONE: none. */
static size_t field_given(const struct shared_key_options *source, const struct key_fields *of)
{
    if (source->env)
        return of->env;
    if (source->file)
        return of->file;
    return source->is_empty ? of->empty : CONFIG_NONE;
}

/* Checks whether the settings of one key go together. */
static void source_check(const struct shared_key_options *source, const struct key_fields *of,
                         const struct config_check *check)
{
    size_t given = field_given(source, of);

    if (config_is_wrong(check->config, CONFIG_FIELD(protocol)))
        return;
    if (given != CONFIG_NONE && check->config->protocol != ROUTE_FORWARD)
        config_wrong(check, given, "is for %s forward; tcp carries the handshake unchanged",
                     config_name(check->config, CONFIG_FIELD(protocol), 0).text);
    else if (source->is_empty && (source->env || source->file))
        config_wrong(check, of->empty, "cannot be combined with %s",
                     config_name(check->config, given, 0).text);
    else if (source->env && source->file)
        config_wrong(check, of->env, "cannot be combined with %s",
                     config_name(check->config, of->file, 0).text);
}

/* "requires A, B or C". */
static void key_require(const struct config_check *check, size_t field, const struct key_fields *of)
{
    config_wrong(check, field, "requires %s, %s or %s", config_name(check->config, of->env, 0).text,
                 config_name(check->config, of->file, 0).text, config_name(check->config, of->empty, 0).text);
}

static void name_check(const struct config_check *check, size_t field, const char *name)
{
    if (name && strlen(name) > HANDSHAKE_NAME_BYTES_MAX)
        config_wrong(check, field, "longer than %d bytes", HANDSHAKE_NAME_BYTES_MAX);
}

/* Checks whether the settings go together. */
static void keys_check(const struct shared_key_options *shared, const struct shared_key_options *accepted,
                       const struct config_check *check)
{
    const struct config *config = check->config;
    bool has_shared = field_given(shared, &fields[SIDE_UPSTREAM]) != CONFIG_NONE ||
                      is_key_wrong(config, &fields[SIDE_UPSTREAM]),
         has_accepted = field_given(accepted, &fields[SIDE_DOWNSTREAM]) != CONFIG_NONE ||
                        is_key_wrong(config, &fields[SIDE_DOWNSTREAM]);
    size_t given = config->username ? CONFIG_FIELD(username) : CONFIG_FIELD(password_env),
           missing = config->username ? CONFIG_FIELD(password_env) : CONFIG_FIELD(username);

    source_check(shared, &fields[SIDE_UPSTREAM], check);
    source_check(accepted, &fields[SIDE_DOWNSTREAM], check);
    if (!has_shared && (config->username || config->password_env))
        key_require(check, given, &fields[SIDE_UPSTREAM]);
    else if (!config->username != !config->password_env && !config_is_wrong(config, missing))
        config_wrong(check, given, "must be combined with %s", config_name(config, missing, 0).text);
    if (!has_accepted && config->accept_users.count)
        key_require(check, CONFIG_FIELD(accept_users), &fields[SIDE_DOWNSTREAM]);
    if (config->accept_key_empty && !config->accept_users.count &&
        !config_is_wrong(config, CONFIG_FIELD(accept_users)))
        config_wrong(check, CONFIG_FIELD(accept_key_empty),
                     "requires %s, otherwise husk would accept every agent",
                     config_name(config, CONFIG_FIELD(accept_users), 0).text);
    name_check(check, CONFIG_FIELD(self_hostname), config->self_hostname);
    name_check(check, CONFIG_FIELD(username), config->username);
}

static void users_set(struct options_keys *keys, const struct config_check *check)
{
    const struct setting_list *list = &check->config->accept_users;
    struct shared_key_options *accepted = &keys->side[SIDE_DOWNSTREAM];

    keys->users = calloc(list->count ? list->count : 1, sizeof *keys->users);
    if (!keys->users) {
        config_wrong(check, CONFIG_NONE, "out of memory");
        return;
    }
    for (size_t i = 0; i < list->count; i++) {
        const struct config_user *user = list->items[i].parts;
        for (size_t k = 0; user->name && k < i; k++) {
            if (keys->users[k].name && strcmp(keys->users[k].name, user->name) == 0)
                config_wrong_item(check, CONFIG_FIELD(accept_users), &list->items[i],
                                  offsetof(struct config_user, name), "the user is given twice");
        }
        if (user->name && strlen(user->name) > HANDSHAKE_NAME_BYTES_MAX)
            config_wrong_item(check, CONFIG_FIELD(accept_users), &list->items[i],
                              offsetof(struct config_user, name), "longer than %d bytes",
                              HANDSHAKE_NAME_BYTES_MAX);
        keys->users[i] = (struct shared_key_user) { .name = user->name, .password_env = user->password_env };
    }
    accepted->users = keys->users;
    accepted->user_count = list->count;
}

void options_keys_set(struct options_keys *keys, const struct config_check *check)
{
    struct shared_key_options sources[SIDE_COUNT];

    for (enum side side = 0; side < SIDE_COUNT; side++) {
        sources[side] = key_source(check->config, side);
        if (field_given(&sources[side], &fields[side]) != CONFIG_NONE)
            keys->side[side] = sources[side];
    }
    keys_check(&sources[SIDE_UPSTREAM], &sources[SIDE_DOWNSTREAM], check);
    users_set(keys, check);
}

void options_keys_deinit(struct options_keys *keys)
{
    free(keys->users);
    *keys = (struct options_keys) { 0 };
}
