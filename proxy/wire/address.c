#include "wire/address.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

enum {
    PORT_DIGITS_MAX = 5,
    DNS_NAME_MAX = 253, /* RFC 1035, 2.3.4, as text without the final dot */
    DNS_LABEL_MAX = 63,
    UNIX_PATH_MAX = sizeof((struct sockaddr_un *)0)->sun_path - 1
};

static const char unix_scheme[] = "unix:", tcp_scheme[] = "tcp://", srv_scheme[] = "srv+";

/* Quoted text in faults is cut, to leave space for what was expected. */
#define QUOTED "\"%.160s\""

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* What a person may have meant by a port with other characters. */
static const char *port_hint(const char *text)
{
    if (strchr(text, '/'))
        return ", and no path: host:port";
    return text[0] == '$' ? "; a configuration file has variables as ${NAME}" : "";
}

static bool parse_port(uint16_t *port, const char *text, unsigned port_min, struct fault *fault)
{
    unsigned value = 0;
    size_t length = 0;

    for (; length < PORT_DIGITS_MAX && is_digit(text[length]); length++)
        value = value * 10 + (unsigned)(text[length] - '0');
    if (length == 0 || text[length] || value < port_min || value > UINT16_MAX) {
        fault_set(fault, "bad port " QUOTED ": expected %u to 65535%s", text, port_min, port_hint(text));
        return false;
    }
    *port = (uint16_t)value;
    return true;
}

/* `text` is what follows `unix:`. */
static bool parse_unix(struct address *address, const char *text, struct fault *fault)
{
    const char *path = strncmp(text, "///", 3) == 0 ? text + 2 : text; /* a URL: unix:///PATH */
    size_t length = strlen(path);
    bool is_abstract = path[0] == '@';

    if (strncmp(path, "//", 2) == 0) {
        fault_set(fault, "two slashes in \"unix:%.160s\": expected unix:///PATH or unix:PATH", text);
        return false;
    }
    if (length <= (is_abstract ? 1 : 0)) {
        fault_set(fault, "%s after \"unix:\": expected unix:PATH or unix:@NAME",
                  is_abstract ? "empty name" : "empty path");
        return false;
    }
    if (length > UNIX_PATH_MAX) {
        fault_set(fault, "Unix socket path " QUOTED " has %zu bytes: expected at most %d", path, length,
                  UNIX_PATH_MAX);
        return false;
    }
    address->is_unix = true;
    memcpy(address->host, path, length + 1);
    return true;
}

/* Accepts letters, digits, hyphens, and underscores, which occur in real host names. A hyphen neither begins
 * nor ends a label (RFC 1123, 2.1). */
static bool check_label(const char *name, const char *label, size_t length, struct fault *fault)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

    if (!length)
        fault_set(fault, "bad host name " QUOTED ": empty label", name);
    else if (memchr(label, '$', length))
        fault_set(fault, "bad host name " QUOTED ": a configuration file has variables as ${NAME}", name);
    else if (strspn(label, letters) < length)
        fault_set(fault, "bad host name " QUOTED ": expected letters, digits, \"-\", \"_\" and \".\"", name);
    else if (length > DNS_LABEL_MAX)
        fault_set(fault, "bad host name " QUOTED ": a label is longer than %d bytes", name, DNS_LABEL_MAX);
    else if (label[0] == '-' || label[length - 1] == '-')
        fault_set(fault, "bad host name " QUOTED ": the label \"%.*s\" begins or ends with \"-\"", name,
                  (int)length, label);
    else
        return true;
    return false;
}

/* A dot may stand at the end. */
static bool check_name_labels(const char *name, struct fault *fault)
{
    for (const char *label = name; *label;) {
        size_t length = strcspn(label, ".");
        if (!check_label(name, label, length, fault))
            return false;
        label += length + (label[length] == '.');
    }
    return true;
}

/* No top-level domain is numeric: "10.0.0.256" and "1.2.3" are mistyped addresses and not names to
 * resolve. */
static bool looks_like_ipv4(const char *host)
{
    const char *last_dot = strrchr(host, '.');
    const char *last_label = last_dot ? last_dot + 1 : host;

    return *last_label && last_label[strspn(last_label, "0123456789")] == '\0';
}

static bool check_host(const char *host, struct fault *fault)
{
    struct in_addr ipv4;
    size_t length = strlen(host);

    if (length && host[length - 1] == '.')
        length--;
    if (length > DNS_NAME_MAX) {
        fault_set(fault, "host name " QUOTED " has %zu bytes: expected at most %d", host, length,
                  DNS_NAME_MAX);
        return false;
    }
    if (looks_like_ipv4(host)) {
        if (inet_pton(AF_INET, host, &ipv4) == 1)
            return true;
        fault_set(fault, "bad IPv4 address " QUOTED ": expected four numbers from 0 to 255", host);
        return false;
    }
    return check_name_labels(host, fault);
}

static bool parse_bracketed(struct address *address, const char *text, unsigned port_min, struct fault *fault)
{
    const char *end = strchr(text, ']');
    size_t length = end ? (size_t)(end - text) - 1 : 0;
    struct in6_addr ipv6;

    if (!end) {
        fault_set(fault, "no \"]\" in " QUOTED ": expected [IPv6]:port", text);
        return false;
    }
    if (length < sizeof address->host) {
        memcpy(address->host, text + 1, length);
        address->host[length] = '\0';
    }
    if (length >= sizeof address->host || inet_pton(AF_INET6, address->host, &ipv6) != 1) {
        fault_set(fault, "bad address in " QUOTED ": expected an IPv6 address without a zone in the brackets",
                  text);
        return false;
    }
    if (end[1] == '\0') {
        fault_set(fault, "no port in " QUOTED ": expected [IPv6]:port", text);
        return false;
    }
    if (end[1] != ':') {
        fault_set(fault, QUOTED " after \"]\": expected \":port\"", end + 1);
        return false;
    }
    return parse_port(&address->port, end + 2, port_min, fault);
}

static bool parse_host_port(struct address *address, const char *text, unsigned port_min, struct fault *fault)
{
    const char *colon = strrchr(text, ':');

    if (!colon) {
        fault_set(fault, "no port in " QUOTED ": expected host:port", text);
        return false;
    }
    if (strchr(text, ':') != colon) {
        fault_set(fault,
                  "too many colons in " QUOTED ": expected host:port, with IPv6 in brackets: [::1]:24224",
                  text);
        return false;
    }
    size_t length = (size_t)(colon - text);
    if (length >= sizeof address->host) {
        fault_set(fault, "host name " QUOTED " has %zu bytes: expected at most %d", text, length,
                  DNS_NAME_MAX);
        return false;
    }
    memcpy(address->host, text, length);
    address->host[length] = '\0';
    if (length == 0 || strcmp(address->host, "*") == 0)
        snprintf(address->host, sizeof address->host, "::");
    else if (!check_host(address->host, fault))
        return false;
    return parse_port(&address->port, colon + 1, port_min, fault);
}

static bool parse_tcp(struct address *address, const char *text, unsigned port_min, struct fault *fault)
{
    return *text == '[' ? parse_bracketed(address, text, port_min, fault)
                        : parse_host_port(address, text, port_min, fault);
}

/* What follows `tcp://`; a URL may end in a slash. */
static bool parse_tcp_url(struct address *address, const char *text, unsigned port_min, struct fault *fault)
{
    size_t length = strlen(text);
    char without_slash[ADDRESS_TEXT_BYTES];

    if (length < 2 || length > sizeof without_slash || text[length - 1] != '/')
        return parse_tcp(address, text, port_min, fault);
    memcpy(without_slash, text, length - 1);
    without_slash[length - 1] = '\0';
    return parse_tcp(address, without_slash, port_min, fault);
}

static bool is_unix(const char *text)
{
    return strncmp(text, unix_scheme, sizeof unix_scheme - 1) == 0;
}

/* As URLs of other programs have it: user:password@host. */
static bool has_user(const char *text)
{
    const char *at = strrchr(text, '@');

    return at && at != text && !is_unix(text);
}

static bool parse(struct address *address, const char *text, unsigned port_min, struct fault *fault)
{
    struct address parsed = { 0 };
    const char *scheme_end = strstr(text, "://");
    bool ok = false;

    if (*text == '\0') {
        fault_set(fault, "empty address: expected host:port, [IPv6]:port or unix:PATH");
        return false;
    }
    if (has_user(text)) /* not shown: it may have a password */
        fault_set(fault, "an address has no user and no password: expected host:port");
    else if (is_unix(text))
        ok = parse_unix(&parsed, text + sizeof unix_scheme - 1, fault);
    else if (strncmp(text, tcp_scheme, sizeof tcp_scheme - 1) == 0)
        ok = parse_tcp_url(&parsed, text + sizeof tcp_scheme - 1, port_min, fault);
    else if (scheme_end)
        fault_set(fault, "\"%.*s\" in " QUOTED ": expected tcp://host:port, host:port or unix:PATH",
                  (int)(scheme_end - text + 3), text, text);
    else
        ok = parse_tcp(&parsed, text, port_min, fault);
    if (ok)
        *address = parsed;
    return ok;
}

bool address_parse(struct address *address, const char *text, struct fault *fault)
{
    return parse(address, text, 0, fault);
}

bool address_parse_dialled(struct address *address, const char *text, struct fault *fault)
{
    return parse(address, text, 1, fault);
}

bool address_parse_upstream(struct address *address, const char *text, struct fault *fault)
{
    const char *name = text + sizeof srv_scheme - 1;

    if (has_user(text) || strncmp(text, srv_scheme, sizeof srv_scheme - 1) != 0)
        return address_parse_dialled(address, text, fault);
    if (strchr(name, ':')) {
        fault_set(fault, "port in " QUOTED ": SRV records tell the port: expected srv+NAME", text);
        return false;
    }
    if (looks_like_ipv4(name) || *name == '.' || *name == '\0') {
        fault_set(fault, "no name in " QUOTED ": expected srv+NAME, as in srv+_fluent._tcp.example.com",
                  text);
        return false;
    }
    if (!check_host(name, fault))
        return false;
    *address = (struct address) { .is_srv = true };
    memcpy(address->host, name, strlen(name) + 1);
    return true;
}

bool address_from_name(struct address *address, const char *name, uint16_t port)
{
    struct fault ignored;

    if (*name == '\0' || *name == '.' || looks_like_ipv4(name) || !check_host(name, &ignored))
        return false;
    *address = (struct address) { .port = port };
    memcpy(address->host, name, strlen(name) + 1);
    return true;
}

static void unix_to_socket(const struct address *address, struct socket_address *to)
{
    struct sockaddr_un *sun = (struct sockaddr_un *)&to->storage;
    size_t length = strlen(address->host);

    assert(length <= UNIX_PATH_MAX);
    sun->sun_family = AF_UNIX;
    memcpy(sun->sun_path, address->host, length + 1);
    to->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    if (sun->sun_path[0] == '@') {
        /* An abstract name begins with a NUL; the length of the socket address is its end (unix(7)). */
        sun->sun_path[0] = '\0';
        to->length--;
    }
}

bool socket_address_from_ip(struct socket_address *to, const struct sockaddr *ip, uint16_t port)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)ip;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ip;
    struct sockaddr_in *sin = (struct sockaddr_in *)&to->storage;
    struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)&to->storage;

    *to = (struct socket_address) { 0 };
    if (ip->sa_family == AF_INET) {
        sin->sin_addr = in->sin_addr;
    } else if (ip->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
        memcpy(&sin->sin_addr, &in6->sin6_addr.s6_addr[12], sizeof sin->sin_addr);
    } else if (ip->sa_family == AF_INET6) {
        sin6->sin6_addr = in6->sin6_addr;
        sin6->sin6_family = AF_INET6;
        sin6->sin6_port = htons(port);
        to->length = sizeof *sin6;
        return true;
    } else {
        return false;
    }
    sin->sin_family = AF_INET;
    sin->sin_port = htons(port);
    to->length = sizeof *sin;
    return true;
}

bool address_to_socket(const struct address *address, struct socket_address *to)
{
    const char *host = strcasecmp(address->host, "localhost") == 0 ? "127.0.0.1" : address->host;
    struct sockaddr_in sin = { .sin_family = AF_INET };
    struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6 };

    *to = (struct socket_address) { 0 };
    if (address->is_srv)
        return false;
    if (address->is_unix) {
        unix_to_socket(address, to);
        return true;
    }
    if (inet_pton(AF_INET, host, &sin.sin_addr) == 1)
        return socket_address_from_ip(to, (const struct sockaddr *)&sin, address->port);
    return inet_pton(AF_INET6, host, &sin6.sin6_addr) == 1 &&
           socket_address_from_ip(to, (const struct sockaddr *)&sin6, address->port);
}

static void unix_format(const struct socket_address *address, char *text, size_t size)
{
    const struct sockaddr_un *sun = (const struct sockaddr_un *)&address->storage;
    size_t offset = offsetof(struct sockaddr_un, sun_path);
    int length = address->length > offset ? (int)(address->length - offset) : 0;

    if (length && sun->sun_path[0] == '\0')
        snprintf(text, size, "unix:@%.*s", length - 1, sun->sun_path + 1);
    else
        snprintf(text, size, "unix:%.*s", length, sun->sun_path);
}

void socket_address_format(const struct socket_address *address, char *text, size_t size)
{
    const struct sockaddr_in *sin = (const struct sockaddr_in *)&address->storage;
    const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *)&address->storage;
    char host[INET6_ADDRSTRLEN];

    switch (address->length ? address->storage.ss_family : AF_UNSPEC) {
    case AF_INET:
        inet_ntop(AF_INET, &sin->sin_addr, host, sizeof host);
        snprintf(text, size, "%s:%u", host, ntohs(sin->sin_port));
        break;
    case AF_INET6:
        if (IN6_IS_ADDR_V4MAPPED(&sin6->sin6_addr)) {
            inet_ntop(AF_INET, &sin6->sin6_addr.s6_addr[12], host, sizeof host);
            snprintf(text, size, "%s:%u", host, ntohs(sin6->sin6_port));
            break;
        }
        inet_ntop(AF_INET6, &sin6->sin6_addr, host, sizeof host);
        snprintf(text, size, "[%s]:%u", host, ntohs(sin6->sin6_port));
        break;
    case AF_UNIX:
        unix_format(address, text, size);
        break;
    default:
        snprintf(text, size, "unknown");
        break;
    }
}

uint16_t socket_address_port(const struct socket_address *address)
{
    switch (address->storage.ss_family) {
    case AF_INET:
        return ntohs(((const struct sockaddr_in *)&address->storage)->sin_port);
    case AF_INET6:
        return ntohs(((const struct sockaddr_in6 *)&address->storage)->sin6_port);
    default:
        return 0;
    }
}

bool socket_address_equal(const struct socket_address *a, const struct socket_address *b)
{
    return a->length == b->length && memcmp(&a->storage, &b->storage, a->length) == 0;
}

const char *socket_address_path(const struct socket_address *address)
{
    const struct sockaddr_un *sun = (const struct sockaddr_un *)&address->storage;

    return sun->sun_family == AF_UNIX && sun->sun_path[0] ? sun->sun_path : NULL;
}

bool socket_address_is_any(const struct socket_address *address)
{
    const struct sockaddr_in *sin = (const struct sockaddr_in *)&address->storage;
    const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *)&address->storage;

    return address->storage.ss_family == AF_INET
               ? sin->sin_addr.s_addr == htonl(INADDR_ANY)
               : address->storage.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&sin6->sin6_addr);
}

bool socket_address_is_local(const struct socket_address *address)
{
    const struct sockaddr_in *sin = (const struct sockaddr_in *)&address->storage;
    const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *)&address->storage;

    switch (address->storage.ss_family) {
    case AF_UNIX:
        return true;
    case AF_INET:
        return ntohl(sin->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    case AF_INET6:
        return IN6_IS_ADDR_LOOPBACK(&sin6->sin6_addr) ||
               (IN6_IS_ADDR_V4MAPPED(&sin6->sin6_addr) && sin6->sin6_addr.s6_addr[12] == IN_LOOPBACKNET);
    default:
        return false;
    }
}
