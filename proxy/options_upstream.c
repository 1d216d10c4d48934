#include "options_upstream.h"

#include <stdlib.h>
#include <string.h>

/* A word after the address: standby or weight=N. */
static bool target_set_word(struct discovery_target *target, const char *word, const char *text,
                            struct fault *fault)
{
    static const char weight[] = "weight=";
    char *end;

    if (strcmp(word, "standby") == 0) {
        target->is_standby = true;
        return true;
    }
    if (strncmp(word, weight, sizeof weight - 1) != 0) {
        fault_set(fault, "\"%.160s\": \"%.80s\" is neither weight=N nor standby", text, word);
        return false;
    }
    const char *digits = word + sizeof weight - 1;
    unsigned long value = strtoul(digits, &end, 10);
    if (*digits < '0' || *digits > '9' || *end || value < 1 || value > DISCOVERY_WEIGHT_MAX) {
        fault_set(fault, "\"%.160s\": weight \"%.80s\" is not 1 to %d", text, digits, DISCOVERY_WEIGHT_MAX);
        return false;
    }
    target->weight = (unsigned)value;
    return true;
}

static bool target_check(const struct discovery_target *target, const char *text, struct fault *fault)
{
    const struct address *address = &target->address;

    if (!address->is_unix && !address->is_srv && address->port == 0) {
        fault_set(fault, "\"%s\": port 0 cannot be dialled", text);
        return false;
    }
    if (strcmp(address->host, "::") == 0) {
        fault_set(fault, "\"%s\" names no host", text);
        return false;
    }
    return true;
}

/* Parses ADDR[,weight=N][,standby]. A Unix path may contain commas. */
static bool target_parse(struct discovery_target *target, const char *text, struct fault *fault)
{
    char *address = strdup(text), *comma;
    bool ok = address;

    *target = (struct discovery_target) { .weight = 1 };
    if (!address)
        fault_set(fault, "out of memory");
    while (ok && (comma = strrchr(address, ','))) {
        bool is_word = strcmp(comma + 1, "standby") == 0 || strncmp(comma + 1, "weight=", 7) == 0;
        if (!is_word && strncmp(address, "unix:", 5) == 0)
            break;
        ok = target_set_word(target, comma + 1, text, fault);
        *comma = '\0';
    }
    ok = ok && address_parse_upstream(&target->address, address, fault) &&
         target_check(target, address, fault);
    free(address);
    return ok;
}

static bool address_is_same(const struct address *a, const struct address *b)
{
    return a->is_unix == b->is_unix && a->is_srv == b->is_srv && a->port == b->port &&
           strcmp(a->host, b->host) == 0;
}

bool options_upstream_set(struct discovery_options *options, const struct setting_list *texts,
                          struct fault *fault)
{
    struct discovery_target *targets = calloc(texts->count, sizeof *targets);

    options->targets = targets;
    options->target_count = texts->count;
    if (!targets || texts->count > DISCOVERY_TARGETS_MAX) {
        if (!targets)
            fault_set(fault, "out of memory");
        else
            fault_set(fault, "--upstream: given more than %d times", DISCOVERY_TARGETS_MAX);
        return false;
    }
    for (size_t i = 0; i < texts->count; i++) {
        const char *text = texts->items[i].value;
        if (!target_parse(&targets[i], text, fault)) {
            fault_wrap(fault, "--upstream");
            return false;
        }
        for (size_t k = 0; k < i; k++) {
            if (address_is_same(&targets[k].address, &targets[i].address)) {
                fault_set(fault, "--upstream: \"%s\": the same address is given twice", text);
                return false;
            }
        }
    }
    return true;
}

/* Whether a connection to `address` ends at the listener `listen`. */
static bool listener_takes(const struct socket_address *listen, const struct socket_address *address)
{
    static const char any_v4[] = "0.0.0.0:", any_v6[] = "[::]:"; /* the second takes IPv4 too */
    char text[ADDRESS_TEXT_BYTES];

    socket_address_format(listen, text, sizeof text);
    if (strncmp(text, any_v6, sizeof any_v6 - 1) == 0 ||
        (strncmp(text, any_v4, sizeof any_v4 - 1) == 0 && address->storage.ss_family == AF_INET))
        return socket_address_is_local(address) &&
               socket_address_port(listen) == socket_address_port(address);
    return socket_address_equal(listen, address);
}

static bool listeners_take(const struct listening_options *listen, const struct socket_address *address)
{
    for (unsigned i = 0; i < listen->count; i++) {
        if (listener_takes(&listen->addresses[i].address, address))
            return true;
    }
    return false;
}

bool options_upstream_check_loop(const struct discovery_options *options,
                                 const struct listening_options *listen, struct fault *fault)
{
    struct socket_address address;
    char text[ADDRESS_TEXT_BYTES];

    for (size_t i = 0; i < options->target_count; i++) {
        if (!address_to_socket(&options->targets[i].address, &address) || !listeners_take(listen, &address))
            continue;
        socket_address_format(&address, text, sizeof text);
        fault_set(fault, "--upstream: \"%s\" is the address of --listen: husk would send to itself", text);
        return false;
    }
    return true;
}

void options_upstream_deinit(struct discovery_options *options)
{
    free((struct discovery_target *)(uintptr_t)options->targets);
    options->targets = NULL;
    options->target_count = 0;
}
