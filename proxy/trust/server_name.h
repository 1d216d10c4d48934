/* The name of a server as a client knows it (reference identity, RFC 9525, 6.1): a DNS name or an IP address.
 *
 * Says whether a text is such a name, and whether a certificate carries it. Owns nothing. */
#ifndef HUSK_TRUST_SERVER_NAME_H
#define HUSK_TRUST_SERVER_NAME_H

#include "base/fault.h"

#include <stdbool.h>
#include <stddef.h>

struct x509_st;

enum { SERVER_NAME_DNS_BYTES = 254 }; /* the longest DNS name and its NUL (RFC 1035, 2.3.4) */

/* Checks that `name` is a DNS name in ASCII, with or without a final dot, or an IP address without brackets.
 */
MUST_CHECK bool server_name_check(const char *name, struct fault *fault);

/* Writes the DNS name without its final dot, as SNI has it (RFC 6066, 3). False: `name` is no DNS name. */
bool server_name_to_dns(const char *name, char dns[SERVER_NAME_DNS_BYTES]);

/* Whether both name the same server: the same IP address, or the same text without regard to ASCII case and
 * to a final dot. NULL is no name, and is equal to NULL alone. */
bool server_name_equal(const char *a, const char *b);

/* Whether a subjectAltName of the certificate matches: an iPAddress of the same bytes; or a dNSName that is
 * equal without regard to ASCII case, or whose first label is `*` and stands for one label (RFC 9525, 6.3
 * and 6.5). At least two labels must follow the `*`. The CN is not looked at. */
bool server_name_matches(struct x509_st *certificate, const char *name);

/* Whether a dNSName of the certificate is the DNS name itself, without a wildcard. */
bool server_name_is_spelled(struct x509_st *certificate, const char *name);

/* Writes the DNS names and IP addresses of the certificate, "name, name, …", as many as fit. */
void server_name_list(struct x509_st *certificate, char *text, size_t size);

#endif
