#include "pki/secret_manifest.h"

#include "pki/key_encryption.h"
#include "trust/certificate_file.h"
#include "trust/pem_file.h"
#include "trust/private_key.h"

#include <openssl/base64.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* ---- YAML ---- */

/* DNS subdomain names of Kubernetes (RFC 1123): they need no quotes in YAML, or get them here. */
static bool name_check(const char *what, const char *name, struct fault *fault)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-.";
    size_t length = strlen(name);

    if (length && length <= 253 && strspn(name, letters) == length && !strchr("-.", name[0]) &&
        !strchr("-.", name[length - 1]))
        return true;
    fault_set(fault, "--%s \"%.64s\": expected small letters, digits, '-' and '.'", what, name);
    return false;
}

static bool value_put(BIO *to, const char *key, const char *bytes, size_t length)
{
    size_t size;
    bool is_put = EVP_EncodedLength(&size, length);
    uint8_t *text = is_put ? OPENSSL_malloc(size) : NULL; /* BoringSSL wipes what it frees */

    if (!text)
        return false;
    EVP_EncodeBlock(text, (const uint8_t *)bytes, length);
    is_put = BIO_puts(to, "  ") > 0 && BIO_puts(to, key) > 0 && BIO_puts(to, ": ") > 0 &&
             BIO_puts(to, (const char *)text) > 0 && BIO_puts(to, "\n") > 0;
    OPENSSL_free(text);
    return is_put;
}

static bool file_put(BIO *to, const char *key, const char *path, struct fault *fault)
{
    struct pem_file file;
    bool is_put = pem_file_read(&file, path, fault);

    if (is_put && !value_put(to, key, file.bytes, file.length)) {
        fault_set(fault, "out of memory");
        is_put = false;
    }
    pem_file_wipe(&file);
    return is_put;
}

/* ---- the key ---- */

/* The key in the clear. */
static bool plain_key_put(BIO *to, const char *key_name, const char *path,
                          const struct passphrase *passphrase, struct fault *fault)
{
    const struct passphrase none = { .given = false };
    EVP_PKEY *key = private_key_load(path, passphrase, fault);
    BIO *plain = BIO_new(BIO_s_mem());
    const uint8_t *bytes;
    size_t length;
    bool is_put = key && plain && key_encryption_write(plain, key, &none, 0) &&
                  BIO_mem_contents(plain, &bytes, &length) &&
                  value_put(to, key_name, (const char *)bytes, length);

    if (key && !is_put)
        fault_set(fault, "out of memory");
    BIO_free(plain);
    EVP_PKEY_free(key);
    return is_put;
}

static bool tls_key_put(BIO *to, const char *path, const struct secret_order *order, struct fault *fault)
{
    struct passphrase passphrase;
    bool is_put = false;

    if (!private_key_is_encrypted(path))
        return file_put(to, "tls.key", path, fault);
    if (passphrase_source_is_given(&order->key_passphrase))
        is_put = passphrase_source_open(&order->key_passphrase, path, &passphrase, fault) &&
                 plain_key_put(to, "tls.key", path, &passphrase, fault);
    else
        fault_set(fault,
                  "%s: is encrypted, and kubernetes.io/tls has no place for a passphrase: give "
                  "--key-passphrase-file to store the key in the clear, or use --layout seed",
                  path);
    passphrase_wipe(&passphrase);
    return is_put;
}

/* The passphrase is checked first: a Secret with a wrong one would be found out by its users only. */
static bool seed_passphrase_put(BIO *to, const char *path, const struct secret_order *order,
                                struct fault *fault)
{
    struct passphrase passphrase;

    if (!private_key_is_encrypted(path) || !passphrase_source_is_given(&order->key_passphrase))
        return true;
    bool is_put = passphrase_source_open(&order->key_passphrase, path, &passphrase, fault);
    if (is_put && !private_key_opens(path, &passphrase)) {
        fault_set(fault, "%s: the passphrase does not decrypt the private key", path);
        is_put = false;
    }
    is_put = is_put && value_put(to, "server.key.passphrase", passphrase.bytes, passphrase.length);
    passphrase_wipe(&passphrase);
    return is_put;
}

static bool shared_key_put(BIO *to, const struct secret_order *order, struct fault *fault)
{
    struct passphrase shared;

    if (!passphrase_source_is_given(&order->shared_key))
        return true;
    bool is_put = passphrase_load(&shared, order->shared_key.env, order->shared_key.file, fault);
    if (is_put)
        is_put = value_put(to, "fluent.shared.key", shared.bytes, shared.length);
    else
        fault_wrap(fault, "--%s", order->shared_key.option);
    passphrase_wipe(&shared);
    return is_put;
}

/* ---- the Secret ---- */

/* "server" or "client"; NULL: the certificate cannot be read. */
static const char *role_of(const char *path, struct fault *fault)
{
    X509 *certificate = certificate_file_load_first(path, fault);
    const char *role = NULL;

    if (certificate)
        role = X509_check_purpose(certificate, X509_PURPOSE_SSL_SERVER, 0) == 1 ? "server" : "client";
    X509_free(certificate);
    ERR_clear_error();
    return role;
}

static bool header_put(BIO *to, const struct secret_order *order, const char *role, struct fault *fault)
{
    const char *seed_name = strcmp(role, "server") == 0 ? "fluentd-tls" : "fluentbit-tls";
    const char *name = order->secret_name ? order->secret_name : seed_name;

    if (!name_check("secret-name", name, fault) ||
        (order->namespace && !name_check("namespace", order->namespace, fault)))
        return false;
    BIO_printf(to, "apiVersion: v1\nkind: Secret\nmetadata:\n  name: \"%s\"\n", name);
    if (order->namespace)
        BIO_printf(to, "  namespace: \"%s\"\n", order->namespace);
    BIO_printf(to, "type: %s\ndata:\n", order->layout == SECRET_TLS ? "kubernetes.io/tls" : "Opaque");
    return true;
}

static bool manifest_write(BIO *to, const struct store *store, const struct secret_order *order,
                           struct fault *fault)
{
    char ca[STORE_PATH_BYTES], cert[STORE_PATH_BYTES], key[STORE_PATH_BYTES], name[32];

    if (!store_check_name(order->name, fault) || !store_check_certificate(store, order->name, fault))
        return false;
    store_path(store, PROFILE_ROOT_CERT, NULL, ca);
    store_path(store, PROFILE_KEY, order->name, key);
    const char *role = role_of(store_path(store, PROFILE_CERT, order->name, cert), fault);
    if (!role || !header_put(to, order, role, fault))
        return false;
    if (order->layout == SECRET_TLS)
        return file_put(to, "ca.crt", ca, fault) && file_put(to, "tls.crt", cert, fault) &&
               tls_key_put(to, key, order, fault);
    snprintf(name, sizeof name, "%s.crt.pem", role);
    if (!file_put(to, "ca.crt.pem", ca, fault) || !file_put(to, name, cert, fault))
        return false;
    snprintf(name, sizeof name, "%s.key.pem", role);
    return file_put(to, name, key, fault) && seed_passphrase_put(to, key, order, fault) &&
           shared_key_put(to, order, fault);
}

bool secret_manifest_print(FILE *out, const struct store *store, const struct secret_order *order,
                           struct fault *fault)
{
    BIO *text = BIO_new(BIO_s_mem()); /* BoringSSL wipes what it frees */
    const uint8_t *bytes = NULL;
    size_t length = 0;
    bool is_made = text && manifest_write(text, store, order, fault);

    /* Without the buffer of the stream, which would keep the key. */
    setvbuf(out, NULL, _IONBF, 0);
    if (is_made && (!BIO_mem_contents(text, &bytes, &length) || fwrite(bytes, 1, length, out) != length)) {
        fault_set(fault, "the output cannot be written");
        is_made = false;
    }
    BIO_free(text);
    return is_made;
}
