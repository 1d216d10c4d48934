#include "config/name_server.h"

#include <arpa/inet.h>
#include <string.h>

enum { WORD_BYTES = 96, PORT_DIGITS_MAX = 5, PORT_MAX = 65535 };

static bool is_port(const char *text)
{
    unsigned port = 0;
    size_t length = strspn(text, "0123456789");

    if (text[length] || length > PORT_DIGITS_MAX)
        return false;
    for (size_t i = 0; i < length; i++)
        port = port * 10 + (unsigned)(text[i] - '0');
    return port && port <= PORT_MAX;
}

static bool is_ipv4(const char *text)
{
    struct in_addr address;

    return inet_pton(AF_INET, text, &address) == 1;
}

/* Cuts the zone off. */
static bool is_ipv6(char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    char *zone = strchr(text, '%');
    struct in6_addr address;

    if (zone)
        *zone++ = '\0';
    return inet_pton(AF_INET6, text, &address) == 1 && (!zone || (*zone && !zone[strspn(zone, letters)]));
}

bool name_server_is_good(const char *word, size_t length)
{
    char text[WORD_BYTES];

    if (length >= sizeof text)
        return false;
    memcpy(text, word, length);
    text[length] = '\0';
    char *bracket = strchr(text, ']'), *colon = strchr(text, ':');
    if (*text == '[') {
        if (!bracket || bracket[1] != ':')
            return false;
        *bracket = '\0';
        return is_ipv6(text + 1) && is_port(bracket + 2);
    }
    if (!colon || strchr(colon + 1, ':'))
        return colon ? is_ipv6(text) : is_ipv4(text);
    *colon = '\0';
    return is_ipv4(text) && is_port(colon + 1);
}
