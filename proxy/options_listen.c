#include "options_listen.h"

#include <grp.h>
#include <stdlib.h>
#include <string.h>

enum { MODE_DIGITS_MAX = 4, MODE_MAX = 0777 };

bool options_listen_parse(struct socket_address *to, const char *text, struct fault *fault)
{
    struct address address;

    if (!address_parse(&address, text, fault))
        return false;
    if (address_to_socket(&address, to))
        return true;
    fault_set(fault, "\"%s\" is not an IP address, localhost or unix:PATH", address.host);
    return false;
}

static bool mode_set(struct socket_access *access, const char *digits, struct fault *fault)
{
    size_t length = strlen(digits);
    unsigned long mode = strtoul(digits, NULL, 8);

    if (!length || length > MODE_DIGITS_MAX || digits[strspn(digits, "01234567")] || mode > MODE_MAX) {
        fault_set(fault, "\"%.80s\" is not octal: expected 0 to 0777, as in 0660", digits);
        return false;
    }
    access->mode = (mode_t)mode;
    return true;
}

static bool group_set(struct socket_access *access, const char *name, struct fault *fault)
{
    char *end;
    unsigned long number = strtoul(name, &end, 10);

    if (*name && !name[strspn(name, "0123456789")] && number < SOCKET_GROUP_KEPT) {
        access->group = (gid_t)number;
        return true;
    }
    const struct group *group = getgrnam(name);
    if (!group) {
        fault_set(fault, "\"%.80s\" does not exist on this machine: expected the name or number of a group",
                  name);
        return false;
    }
    access->group = group->gr_gid;
    return true;
}

#define PART(field) offsetof(struct config_listen, field)

static void address_set(struct listening_address *to, const struct setting_item *item,
                        const struct config_check *check)
{
    const struct config_listen *listen = item->parts;
    struct fault fault;

    to->access = (struct socket_access) { .mode = OPTIONS_LISTEN_MODE, .group = SOCKET_GROUP_KEPT };
    if (!listen->address)
        return; /* a known mistake */
    if (!options_listen_parse(&to->address, listen->address, &fault)) {
        config_wrong_item_value(check, CONFIG_FIELD(listen), item, PART(address), fault.text);
        return;
    }
    if ((listen->mode || listen->group) && !socket_address_path(&to->address)) {
        config_wrong_item(check, CONFIG_FIELD(listen), item, CONFIG_NONE, "mode and group are for unix:PATH");
        return;
    }
    if (listen->mode && !mode_set(&to->access, listen->mode, &fault))
        config_wrong_item_value(check, CONFIG_FIELD(listen), item, PART(mode), fault.text);
    if (listen->group && !group_set(&to->access, listen->group, &fault))
        config_wrong_item_value(check, CONFIG_FIELD(listen), item, PART(group), fault.text);
}

/* `a` listens on every address of the family of `b`; `::` takes IPv4, too. */
static bool is_any_for(const struct socket_address *a, const struct socket_address *b)
{
    return socket_address_is_any(a) && (a->storage.ss_family == AF_INET6 || b->storage.ss_family == AF_INET);
}

bool options_listen_clash(const struct socket_address *a, const struct socket_address *b)
{
    if (!a->length || !b->length)
        return false;
    if (a->storage.ss_family == AF_UNIX || b->storage.ss_family == AF_UNIX)
        return socket_address_equal(a, b);
    /* The kernel chooses two different ports for two ports 0. */
    return socket_address_port(a) && socket_address_port(a) == socket_address_port(b) &&
           (socket_address_equal(a, b) || is_any_for(a, b) || is_any_for(b, a));
}

bool options_listen_has(const struct listening_options *options, const struct socket_address *address)
{
    for (unsigned i = 0; i < options->count; i++) {
        if (options_listen_clash(&options->addresses[i].address, address))
            return true;
    }
    return false;
}

void options_listen_set(struct listening_options *options, const struct config_check *check)
{
    const struct setting_list *list = &check->config->listen;

    *options = (struct listening_options) { .count = 0 };
    if (list->count > LISTENER_SOCKETS_MAX) {
        config_wrong(check, CONFIG_FIELD(listen), "given more than %d times", LISTENER_SOCKETS_MAX);
        return;
    }
    if (list->count && !(options->addresses = calloc(list->count, sizeof *options->addresses))) {
        config_wrong(check, CONFIG_FIELD(listen), "out of memory");
        return;
    }
    for (size_t i = 0; i < list->count; i++) {
        const struct setting_item *item = &list->items[i];
        struct listening_address *to = &options->addresses[options->count++];
        *to = (struct listening_address) { .access = { 0 } };
        address_set(to, item, check);
        for (unsigned k = 0; k + 1 < options->count; k++) {
            if (options_listen_clash(&options->addresses[k].address, &to->address)) {
                config_wrong_item(check, CONFIG_FIELD(listen), item, CONFIG_NONE,
                                  "the same address is given twice");
                break;
            }
        }
    }
}

void options_listen_deinit(struct listening_options *options)
{
    free(options->addresses);
    *options = (struct listening_options) { .count = 0 };
}
