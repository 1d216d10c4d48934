#include "trust/server_name.h"

#include <arpa/inet.h>
#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/nid.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { LABEL_BYTES_MAX = 63, IP_BYTES_MAX = 16 };

/* ---- what is a name ---- */

/* Returns the length of the address in bytes; 0: `name` is no IP address. */
static size_t ip_parse(const char *name, unsigned char address[IP_BYTES_MAX])
{
    if (inet_pton(AF_INET, name, address) == 1)
        return 4;
    return inet_pton(AF_INET6, name, address) == 1 ? 16 : 0;
}

static bool is_label(const char *label, size_t length)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

    /* RFC 1123, 2.1; an underscore occurs in real host names */
    return length > 0 && length <= LABEL_BYTES_MAX && strspn(label, letters) == length && label[0] != '-' &&
           label[length - 1] != '-';
}

/* A name whose last label is a number would be a misspelt IPv4 address. */
bool server_name_to_dns(const char *name, char dns[SERVER_NAME_DNS_BYTES])
{
    size_t length = strlen(name);
    const char *label = dns, *dot;

    if (length && name[length - 1] == '.')
        length--;
    if (length == 0 || length >= SERVER_NAME_DNS_BYTES)
        return false;
    memcpy(dns, name, length);
    dns[length] = '\0';
    while ((dot = strchr(label, '.'))) {
        if (!is_label(label, (size_t)(dot - label)))
            return false;
        label = dot + 1;
    }
    return is_label(label, strlen(label)) && strspn(label, "0123456789") != strlen(label);
}

static bool is_ascii(const char *text)
{
    while (*text && (unsigned char)*text < 0x80)
        text++;
    return *text == '\0';
}

static bool has_outer_hyphen(const char *name)
{
    size_t length = strlen(name);

    return *name == '-' || (length && name[length - 1] == '-') || strstr(name, ".-") || strstr(name, "-.");
}

bool server_name_check(const char *name, struct fault *fault)
{
    unsigned char address[IP_BYTES_MAX];
    char dns[SERVER_NAME_DNS_BYTES];

    if (ip_parse(name, address) || server_name_to_dns(name, dns))
        return true;
    fault_set(fault, "\"%s\" is neither a DNS name nor an IP address%s", name,
              !is_ascii(name)          ? ": write a DNS name in ASCII (\"xn--…\")"
              : strpbrk(name, ":[]")   ? ": write it without port and brackets"
              : strchr(name, '*')      ? ": it cannot have a wildcard"
              : has_outer_hyphen(name) ? ": no label begins or ends with \"-\""
                                       : "");
    return false;
}

bool server_name_equal(const char *a, const char *b)
{
    unsigned char addresses[2][IP_BYTES_MAX];
    char dns[2][SERVER_NAME_DNS_BYTES];

    if (!a || !b)
        return !a && !b;
    size_t length = ip_parse(a, addresses[0]);
    if (length && ip_parse(b, addresses[1]) == length)
        return memcmp(addresses[0], addresses[1], length) == 0;
    if (server_name_to_dns(a, dns[0]) && server_name_to_dns(b, dns[1]))
        return strcasecmp(dns[0], dns[1]) == 0;
    return strcasecmp(a, b) == 0;
}

/* ---- what a certificate carries ---- */

bool server_name_matches(X509 *certificate, const char *name)
{
    unsigned char address[IP_BYTES_MAX];
    char dns[SERVER_NAME_DNS_BYTES];
    size_t address_length = ip_parse(name, address);
    bool is_match = false;

    if (address_length)
        is_match = X509_check_ip(certificate, address, address_length, 0) == 1;
    else if (server_name_to_dns(name, dns))
        is_match =
            X509_check_host(certificate, dns, strlen(dns), X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) == 1;
    ERR_clear_error();
    return is_match;
}

bool server_name_is_spelled(X509 *certificate, const char *name)
{
    char dns[SERVER_NAME_DNS_BYTES];
    bool is_match =
        server_name_to_dns(name, dns) &&
        X509_check_host(certificate, dns, strlen(dns),
                        X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_WILDCARDS, NULL) == 1;

    ERR_clear_error();
    return is_match;
}

/* One SAN as text; false if it is neither a DNS name nor an IP address. */
static bool alternative_name_text(const GENERAL_NAME *name, char *text, size_t size)
{
    if (name->type == GEN_DNS) {
        snprintf(text, size, "%.*s", ASN1_STRING_length(name->d.dNSName),
                 (const char *)ASN1_STRING_get0_data(name->d.dNSName));
        return true;
    }
    if (name->type != GEN_IPADD)
        return false;
    int length = ASN1_STRING_length(name->d.iPAddress);
    return (length == 4 || length == 16) &&
           inet_ntop(length == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(name->d.iPAddress), text,
                     (socklen_t)size) != NULL;
}

void server_name_list(X509 *certificate, char *text, size_t size)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    size_t used = 0;
    char word[256];

    text[0] = '\0';
    for (size_t i = 0; names && i < sk_GENERAL_NAME_num(names) && used < size; i++) {
        if (alternative_name_text(sk_GENERAL_NAME_value(names, i), word, sizeof word))
            used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "", word);
    }
    GENERAL_NAMES_free(names);
    ERR_clear_error();
}
