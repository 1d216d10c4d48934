/* The host that a request is for (RFC 9110, 7.2; RFC 9112, 3.2), and whether the admin endpoint has this
 * name.
 *
 * A web page can let its own name resolve to the address of the admin port (DNS rebinding), and could then
 * read the answers. The browser sends the name of the page. So the endpoint answers requests for
 * its own names, and for IP addresses, which DNS cannot point elsewhere. Pure: collects the pieces that a
 * parser reports. */
#ifndef HUSK_ADMIN_HTTP_HOST_H
#define HUSK_ADMIN_HTTP_HOST_H

#include <stddef.h>

enum {
    HTTP_HOST_BYTES = 264, /* the longest DNS name, a final dot, a colon and a port; a longer host is bad */
    HTTP_HOST_NAMES_MAX = 16
};

/* The names that the endpoint has besides `localhost`; without port, borrowed. */
struct http_host_names {
    const char *items[HTTP_HOST_NAMES_MAX];
    unsigned count;
};

/* What the head of one request says. Zero-initialise for each request. */
struct http_host {
    enum { HTTP_HOST_IN_NAME, HTTP_HOST_IN_VALUE } part;
    char name[4]; /* of the header field that is read */
    size_t name_length;
    unsigned fields; /* Host fields */
    char value[HTTP_HOST_BYTES];
    size_t value_length; /* may be more than sizeof value: the rest is not kept */
    const char *target;  /* the host in the request target; NULL: the target has no host */
    size_t target_length;
};

/* Takes the next bytes of the name, or of the value, of a header field. */
void http_host_take_name(struct http_host *host, const char *bytes, size_t length);
void http_host_take_value(struct http_host *host, const char *bytes, size_t length);

/* The target has a host: an IPv6 address has brackets. Replaces the value of Host (RFC 9112, 3.2.2). `text`
 * is borrowed. */
void http_host_set_target(struct http_host *host, const char *text, size_t length);

enum http_host_verdict {
    HTTP_HOST_OURS,   /* an IP address, localhost, one of the names, or empty */
    HTTP_HOST_OTHERS, /* another name */
    HTTP_HOST_BAD     /* HTTP/1.1 without Host, or a Host that is malformed or given twice */
};

/* Ignores case, one final dot and the port. `minor`: the version is HTTP/1.minor; HTTP/1.0 needs no Host. */
enum http_host_verdict http_host_judge(const struct http_host *host, unsigned minor,
                                       const struct http_host_names *names);

/* The host that was judged. Sets *length. Not terminated. */
const char *http_host_text(const struct http_host *host, size_t *length);

#endif
