#include "admin/http_host.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

static const char header_name[] = "host", digits[] = "0123456789";
static const char reg_name[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,;=";
static const char hex[] = "0123456789abcdefABCDEF";

/* ---- pieces ---- */

static void append(char *to, size_t size, size_t *used, const char *bytes, size_t length)
{
    if (*used < size)
        memcpy(to + *used, bytes, length < size - *used ? length : size - *used);
    *used += length;
}

void http_host_take_name(struct http_host *host, const char *bytes, size_t length)
{
    if (host->part == HTTP_HOST_IN_VALUE)
        host->name_length = 0;
    host->part = HTTP_HOST_IN_NAME;
    append(host->name, sizeof host->name, &host->name_length, bytes, length);
}

void http_host_take_value(struct http_host *host, const char *bytes, size_t length)
{
    if (host->name_length != sizeof host->name ||
        strncasecmp(host->name, header_name, sizeof host->name) != 0) {
        host->part = HTTP_HOST_IN_VALUE;
        return;
    }
    if (host->part == HTTP_HOST_IN_NAME)
        host->fields++;
    host->part = HTTP_HOST_IN_VALUE;
    if (host->fields == 1)
        append(host->value, sizeof host->value, &host->value_length, bytes, length);
}

void http_host_set_target(struct http_host *host, const char *text, size_t length)
{
    host->target = text;
    host->target_length = length;
}

/* ---- uri-host [ ":" port ] (RFC 3986, 3.2.2 and 3.2.3) ---- */

struct span {
    const char *bytes;
    size_t length;
};

static bool consists_of(struct span text, const char *set)
{
    for (size_t i = 0; i < text.length; i++)
        if (!text.bytes[i] || !strchr(set, text.bytes[i]))
            return false;
    return true;
}

static bool is_reg_name(struct span text)
{
    for (size_t i = 0; i < text.length; i++) {
        if (text.bytes[i] != '%') {
            if (!consists_of((struct span) { text.bytes + i, 1 }, reg_name))
                return false;
            continue;
        }
        if (text.length - i < 3 || !consists_of((struct span) { text.bytes + i + 1, 2 }, hex))
            return false;
        i += 2;
    }
    return true;
}

static bool is_ip(int family, struct span text)
{
    char copy[INET6_ADDRSTRLEN];
    unsigned char address[sizeof(struct in6_addr)];

    if (text.length >= sizeof copy || memchr(text.bytes, '\0', text.length))
        return false;
    memcpy(copy, text.bytes, text.length);
    copy[text.length] = '\0';
    return inet_pton(family, copy, address) == 1;
}

/* The parser has already skipped the white space before the value. */
static struct span trim(struct span text)
{
    while (text.length && (text.bytes[text.length - 1] == ' ' || text.bytes[text.length - 1] == '\t'))
        text.length--;
    return text;
}

/* Cuts the port off. False: the port is malformed. */
static bool cut_port(struct span *text)
{
    size_t length = 0;

    if (text->length && text->bytes[0] == '[')
        while (length < text->length && text->bytes[length] != ']')
            length++;
    while (length < text->length && text->bytes[length] != ':')
        length++;
    if (length < text->length &&
        !consists_of((struct span) { text->bytes + length + 1, text->length - length - 1 }, digits))
        return false;
    text->length = length;
    return true;
}

static bool is_name(struct span text, const char *name)
{
    size_t length = strlen(name);

    if (length > 1 && name[length - 1] == '.')
        length--;
    return text.length == length && strncasecmp(text.bytes, name, length) == 0;
}

static enum http_host_verdict judge_host(struct span host, const struct http_host_names *names)
{
    if (host.length && host.bytes[0] == '[') {
        const struct span inside = { host.bytes + 1, host.length < 2 ? 0 : host.length - 2 };
        return host.bytes[host.length - 1] == ']' && is_ip(AF_INET6, inside) ? HTTP_HOST_OURS : HTTP_HOST_BAD;
    }
    if (!is_reg_name(host))
        return HTTP_HOST_BAD;
    if (host.length > 1 && host.bytes[host.length - 1] == '.')
        host.length--;
    if (host.length == 0 || is_ip(AF_INET, host) || is_name(host, "localhost"))
        return HTTP_HOST_OURS;
    for (unsigned i = 0; i < names->count; i++)
        if (is_name(host, names->items[i]))
            return HTTP_HOST_OURS;
    return HTTP_HOST_OTHERS;
}

static enum http_host_verdict judge_authority(struct span text, const struct http_host_names *names)
{
    text = trim(text);
    return cut_port(&text) ? judge_host(text, names) : HTTP_HOST_BAD;
}

enum http_host_verdict http_host_judge(const struct http_host *host, unsigned minor,
                                       const struct http_host_names *names)
{
    const struct span value = { host->value, host->value_length };
    enum http_host_verdict verdict = HTTP_HOST_OURS;

    if (host->fields > 1 || (host->fields == 0 && minor > 0) || host->value_length > sizeof host->value)
        return HTTP_HOST_BAD;
    if (host->fields)
        verdict = judge_authority(value, names);
    if (host->target && verdict != HTTP_HOST_BAD)
        verdict = judge_authority((struct span) { host->target, host->target_length }, names);
    return verdict;
}

const char *http_host_text(const struct http_host *host, size_t *length)
{
    if (host->target) {
        *length = host->target_length;
        return host->target;
    }
    *length = host->value_length < sizeof host->value ? host->value_length : sizeof host->value;
    return host->value;
}
