#include "pki/alternative_names.h"

#include "trust/server_name.h"

#include <arpa/inet.h>
#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/nid.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

enum { IP_BYTES_MAX = 16, TRUST_DOMAIN_BYTES_MAX = 255, SPIFFE_BYTES_MAX = 2048 };

static GENERAL_NAME *name_new(int type, const void *bytes, size_t length)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *value = ASN1_STRING_type_new(type == GEN_IPADD ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);

    if (name && value && ASN1_STRING_set(value, bytes, (int)length)) {
        GENERAL_NAME_set0_value(name, type, value);
        return name;
    }
    GENERAL_NAME_free(name);
    ASN1_STRING_free(value);
    return NULL;
}

static bool is_pushed(GENERAL_NAMES *names, GENERAL_NAME *name, struct fault *fault)
{
    if (name && sk_GENERAL_NAME_push(names, name))
        return true;
    GENERAL_NAME_free(name);
    fault_set(fault, "out of memory");
    return false;
}

static bool name_push(GENERAL_NAMES *names, const char *name, struct fault *fault)
{
    unsigned char address[IP_BYTES_MAX];
    char dns[SERVER_NAME_DNS_BYTES];

    if (inet_pton(AF_INET, name, address) == 1)
        return is_pushed(names, name_new(GEN_IPADD, address, 4), fault);
    if (inet_pton(AF_INET6, name, address) == 1)
        return is_pushed(names, name_new(GEN_IPADD, address, 16), fault);
    if (server_name_to_dns(strncmp(name, "*.", 2) == 0 ? name + 2 : name, dns))
        return is_pushed(names, name_new(GEN_DNS, name, strlen(name)), fault);
    fault_set(fault, "name \"%.64s\": is neither a DNS name nor an IP address", name);
    return false;
}

/* ---- SPIFFE ID (SPIFFE-ID, 2) ---- */

static bool is_spiffe_path(const char *path)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

    while (*path == '/') {
        size_t length = strspn(++path, letters);
        bool is_relative = (length == 1 && path[0] == '.') || (length == 2 && strncmp(path, "..", 2) == 0);
        if (length == 0 || is_relative)
            return false;
        path += length;
    }
    return *path == '\0';
}

static bool spiffe_push(GENERAL_NAMES *names, const char *id, struct fault *fault)
{
    static const char scheme[] = "spiffe://", letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.";
    const char *domain = id + sizeof scheme - 1;
    bool is_valid = strncmp(id, scheme, sizeof scheme - 1) == 0 && strlen(id) <= SPIFFE_BYTES_MAX;
    size_t length = is_valid ? strspn(domain, letters) : 0;

    if (length && length <= TRUST_DOMAIN_BYTES_MAX && is_spiffe_path(domain + length))
        return is_pushed(names, name_new(GEN_URI, id, strlen(id)), fault);
    fault_set(
        fault,
        "SPIFFE ID \"%.64s\": expected spiffe://trust-domain/path, the domain in lower case, without port, "
        "query and final slash",
        id);
    return false;
}

/* ---- the whole list ---- */

GENERAL_NAMES *alternative_names_make(const char *const *names, size_t count, const char *spiffe_id,
                                      struct fault *fault)
{
    GENERAL_NAMES *all = GENERAL_NAMES_new();
    bool is_made = all != NULL;

    if (!is_made)
        fault_set(fault, "out of memory");
    for (size_t i = 0; is_made && i < count; i++)
        is_made = name_push(all, names[i], fault);
    if (is_made && spiffe_id)
        is_made = spiffe_push(all, spiffe_id, fault);
    if (is_made && sk_GENERAL_NAME_num(all) == 0) {
        fault_set(fault, "no name: the certificate needs at least one DNS name, IP address or SPIFFE ID");
        is_made = false;
    }
    if (is_made)
        return all;
    GENERAL_NAMES_free(all);
    return NULL;
}

GENERAL_NAMES *alternative_names_of_request(X509_REQ *request)
{
    STACK_OF(X509_EXTENSION) *extensions = X509_REQ_get_extensions(request);
    GENERAL_NAMES *names = extensions ? X509V3_get_d2i(extensions, NID_subject_alt_name, NULL, NULL) : NULL;

    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    ERR_clear_error();
    return names;
}

GENERAL_NAMES *alternative_names_of(X509 *certificate)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);

    ERR_clear_error();
    return names;
}

/* A NUL byte is shown as `?`: it must not hide the rest of the name. */
static void text_describe(const char *kind, const ASN1_STRING *value, char *text, size_t size)
{
    const unsigned char *bytes = ASN1_STRING_get0_data(value);
    size_t used = (size_t)snprintf(text, size, "%s:", kind);

    for (int i = 0; i < ASN1_STRING_length(value) && used + 1 < size; i++)
        text[used++] = (char)(bytes[i] ? bytes[i] : '?');
    if (used < size)
        text[used] = '\0';
}

static void name_describe(const GENERAL_NAME *name, char *text, size_t size)
{
    char address[INET6_ADDRSTRLEN] = "invalid";
    int type;
    const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);

    if (type == GEN_IPADD) {
        int length = ASN1_STRING_length(value);
        if (length == 4 || length == 16)
            inet_ntop(length == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(value), address,
                      sizeof address);
        snprintf(text, size, "IP:%s", address);
    } else if (type == GEN_DNS || type == GEN_URI || type == GEN_EMAIL) {
        text_describe(type == GEN_DNS ? "DNS" : type == GEN_URI ? "URI" : "email", value, text, size);
    } else {
        snprintf(text, size, "a name of another kind");
    }
}

void alternative_names_describe(const GENERAL_NAMES *names, char *text, size_t size)
{
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; names && i < sk_GENERAL_NAME_num(names) && used + 2 < size; i++) {
        used += (size_t)snprintf(text + used, size - used, "%s", i ? ", " : "");
        name_describe(sk_GENERAL_NAME_value(names, i), text + used, size - used);
        used += strlen(text + used);
    }
}

bool alternative_names_have_others(const GENERAL_NAMES *names)
{
    for (size_t i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
        int type = sk_GENERAL_NAME_value(names, i)->type;
        if (type != GEN_DNS && type != GEN_IPADD && type != GEN_URI)
            return true;
    }
    return false;
}
