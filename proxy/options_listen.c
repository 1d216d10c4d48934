#include "options_listen.h"

#include <grp.h>
#include <stdlib.h>
#include <string.h>

enum { MODE_DIGITS_MAX = 4, MODE_MAX = 0777 };

static const char mode_word[] = "mode=", group_word[] = "group=";

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
        fault_set(fault, "mode \"%.80s\" is not octal: expected 0 to 0777, as in 0660", digits);
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
        fault_set(fault, "group \"%.80s\" does not exist on this machine: expected its name or number", name);
        return false;
    }
    access->group = group->gr_gid;
    return true;
}

/* Reads the words after the address, which commas separate. */
static bool words_set(struct socket_access *access, char *words, struct fault *fault)
{
    unsigned modes = 0, groups = 0;
    char *word;

    while ((word = strsep(&words, ","))) {
        bool ok = false;
        if (strncmp(word, mode_word, sizeof mode_word - 1) == 0) {
            modes++;
            ok = mode_set(access, word + sizeof mode_word - 1, fault);
        } else if (strncmp(word, group_word, sizeof group_word - 1) == 0) {
            groups++;
            ok = group_set(access, word + sizeof group_word - 1, fault);
        } else {
            fault_set(fault, "\"%.80s\" is neither mode=OCTAL nor group=NAME", word);
        }
        if (!ok)
            return false;
    }
    if (modes > 1 || groups > 1)
        fault_set(fault, "%s is given twice", modes > 1 ? "mode" : "group");
    return modes <= 1 && groups <= 1;
}

static bool address_set(struct listening_address *to, const char *text, struct fault *fault)
{
    char *address = strdup(text), *words = address;
    bool ok = false;

    to->access = (struct socket_access) { .mode = OPTIONS_LISTEN_MODE, .group = SOCKET_GROUP_KEPT };
    if (!address) {
        fault_set(fault, "out of memory");
        return false;
    }
    strsep(&words, ",");
    if (!options_listen_parse(&to->address, address, fault)) {
        free(address);
        return false;
    }
    if (words && !socket_address_path(&to->address))
        fault_set(fault, "mode and group are for unix:PATH");
    else
        ok = !words || words_set(&to->access, words, fault);
    if (!ok)
        fault_wrap(fault, "\"%.160s\"", text);
    free(address);
    return ok;
}

/* The kernel chooses two different ports for two ports 0. */
static bool is_same(const struct socket_address *a, const struct socket_address *b)
{
    bool is_any_port = a->storage.ss_family != AF_UNIX && !socket_address_port(a);

    return !is_any_port && socket_address_equal(a, b);
}

bool options_listen_set(struct listening_options *options, const struct setting_list *texts,
                        struct fault *fault)
{
    options->count = 0;
    if (texts->count > LISTENER_SOCKETS_MAX) {
        fault_set(fault, "--listen: given more than %d times", LISTENER_SOCKETS_MAX);
        return false;
    }
    for (size_t i = 0; i < texts->count; i++) {
        struct listening_address *to = &options->addresses[i];
        if (!address_set(to, texts->items[i].value, fault)) {
            fault_wrap(fault, "--listen");
            return false;
        }
        for (size_t k = 0; k < i; k++) {
            if (is_same(&options->addresses[k].address, &to->address)) {
                fault_set(fault, "--listen: \"%.160s\": the same address is given twice",
                          texts->items[i].value);
                return false;
            }
        }
        options->count++;
    }
    return true;
}
