#include "options_upstream.h"

#include "config/schema_parts.h"
#include "options_listen.h"
#include "trust/server_name.h"

#include <stdlib.h>
#include <string.h>

#define PART(field) offsetof(struct config_upstream, field)

static bool target_check(const struct discovery_target *target, const char *text, struct fault *fault)
{
    if (strcmp(target->address.host, "::") == 0) {
        fault_set(fault, "\"%s\" names no host", text);
        return false;
    }
    return true;
}

static bool target_parse(struct discovery_target *target, const struct config_upstream *upstream,
                         struct fault *fault)
{
    return address_parse_upstream(&target->address, upstream->address, fault) &&
           target_check(target, upstream->address, fault);
}

static bool address_is_same(const struct address *a, const struct address *b)
{
    return a->is_unix == b->is_unix && a->is_srv == b->is_srv && a->port == b->port &&
           strcmp(a->host, b->host) == 0;
}

/* Whether a connection to `address` ends at one of the listeners. */
static bool listeners_take(const struct listening_options *listen, const struct socket_address *address)
{
    for (unsigned i = 0; i < listen->count; i++) {
        const struct socket_address *listener = &listen->addresses[i].address;
        if (options_listen_clash(listener, address) &&
            (socket_address_equal(listener, address) || socket_address_is_local(address)))
            return true;
    }
    return false;
}

/* Whether an earlier target leads to the same server. One address may have several servers behind it, by
 * name. */
static bool is_repeated(const struct discovery_target *targets, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (address_is_same(&targets[i].address, &targets[at].address) &&
            server_name_equal(targets[i].server_name, targets[at].server_name))
            return true;
    }
    return false;
}

static void loop_check(const struct discovery_target *target, const struct setting_item *item,
                       const struct listening_options *listen, const struct config_check *check)
{
    const struct config_name name = config_name(check->config, CONFIG_FIELD(listen), 0);
    struct socket_address address;
    char text[ADDRESS_TEXT_BYTES];

    if (!address_to_socket(&target->address, &address) || !listeners_take(listen, &address))
        return;
    socket_address_format(&address, text, sizeof text);
    if (config_part_is_hidden(&config_upstream_parts, item, PART(address)))
        config_wrong_item(check, CONFIG_FIELD(upstream), item, PART(address),
                          "is the address of %s: husk would send to itself", name.text);
    else
        config_wrong_item(check, CONFIG_FIELD(upstream), item, PART(address),
                          "\"%s\" is the address of %s: husk would send to itself", text, name.text);
}

static bool server_name_is_good(const struct config_upstream *upstream, const struct setting_item *item,
                                const struct config_check *check)
{
    struct fault fault;

    if (!upstream->server_name) /* of a name that is wrong nothing more is said */
        return !config_part_is_wrong(&config_upstream_parts, item, PART(server_name));
    if (config_tls_use(check->config, SIDE_UPSTREAM) == CONFIG_TLS_OFF) {
        config_wrong_item(check, CONFIG_FIELD(upstream), item, PART(server_name),
                          "is for TLS to the upstream");
        return false;
    }
    if (check->config->allow_cn_as_name || server_name_check(upstream->server_name, &fault))
        return true; /* a CN can be any text */
    if (!config_is_wrong(check->config, CONFIG_FIELD(allow_cn_as_name)))
        config_wrong_item_value(check, CONFIG_FIELD(upstream), item, PART(server_name), fault.text);
    return false;
}

void options_upstream_set(struct discovery_options *options, const struct listening_options *listen,
                          const struct config_check *check)
{
    const struct setting_list *list = &check->config->upstream;
    struct discovery_target *targets = calloc(list->count ? list->count : 1, sizeof *targets);
    struct fault fault;

    options->targets = targets;
    if (!targets || list->count > DISCOVERY_TARGETS_MAX) {
        if (targets)
            config_wrong(check, CONFIG_FIELD(upstream), "given more than %d times", DISCOVERY_TARGETS_MAX);
        else
            config_wrong(check, CONFIG_NONE, "out of memory");
        return;
    }
    for (size_t i = 0; i < list->count; i++) {
        const struct setting_item *item = &list->items[i];
        const struct config_upstream *upstream = item->parts;
        struct discovery_target *target = &targets[options->target_count];
        if (!upstream->address)
            continue; /* a known mistake */
        *target = (struct discovery_target) { .weight = (unsigned)upstream->weight,
                                              .is_standby = upstream->is_standby,
                                              .server_name = upstream->server_name };
        if (!target_parse(target, upstream, &fault))
            config_wrong_item_value(check, CONFIG_FIELD(upstream), item, PART(address), fault.text);
        else if (is_repeated(targets, options->target_count))
            config_wrong_item(check, CONFIG_FIELD(upstream), item, CONFIG_NONE,
                              "the same address is given twice");
        else if (server_name_is_good(upstream, item, check)) {
            loop_check(target, item, listen, check);
            options->target_count++;
        }
    }
}

void options_upstream_deinit(struct discovery_options *options)
{
    free((struct discovery_target *)(uintptr_t)options->targets);
    options->targets = NULL;
    options->target_count = 0;
}
