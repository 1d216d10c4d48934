#include "pki/keystore.h"

#include "pki/file_writer.h"
#include "trust/certificate_file.h"
#include "trust/library_error.h"
#include "trust/private_key.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/pkcs8.h>
#include <openssl/x509.h>
#include <string.h>

enum { ITERATIONS = 100000 };

static EVP_PKEY *key_load(const struct keystore_order *order, const char *path, struct fault *fault)
{
    struct passphrase passphrase;
    EVP_PKEY *key = NULL;

    if (passphrase_source_open(&order->key_passphrase, path, &passphrase, fault))
        key = private_key_load(path, &passphrase, fault);
    passphrase_wipe(&passphrase);
    return key;
}

/* The chain of the name, and after it the root. */
static STACK_OF(X509) *
    chain_load(const struct keystore_order *order, const struct store *store, struct fault *fault)
{
    char path[STORE_PATH_BYTES];
    STACK_OF(X509) *chain = certificate_file_load(store_path(store, PROFILE_CERT, order->name, path), fault);
    STACK_OF(X509) *cas =
        chain ? certificate_file_load(store_path(store, PROFILE_ROOT_CERT, NULL, path), fault) : NULL;
    bool is_whole = cas != NULL;

    while (is_whole && sk_X509_num(cas)) {
        X509 *ca = sk_X509_shift(cas);
        is_whole = sk_X509_push(chain, ca);
        if (!is_whole) {
            X509_free(ca);
            fault_set(fault, "out of memory");
        }
    }
    sk_X509_pop_free(cas, X509_free);
    if (is_whole)
        return chain;
    sk_X509_pop_free(chain, X509_free);
    return NULL;
}

/* Takes the first certificate from `chain`. */
static PKCS12 *make(const struct keystore_order *order, EVP_PKEY *key, STACK_OF(X509) * chain,
                    struct fault *fault)
{
    char text[PASSPHRASE_BYTES_MAX + 1];
    struct passphrase passphrase;
    X509 *leaf = sk_X509_shift(chain);
    PKCS12 *made = NULL;

    ERR_clear_error();
    if (X509_check_private_key(leaf, key) != 1) {
        fault_set(fault, "%s: the private key does not match the certificate", order->name);
    } else if (passphrase_source_choose(&order->passphrase, order->out, &passphrase, fault)) {
        memcpy(text, passphrase.bytes, passphrase.length);
        text[passphrase.length] = '\0';
        made = PKCS12_create(text, order->name, key, leaf, chain, NID_pbe_WithSHA1And3_Key_TripleDES_CBC,
                             NID_pbe_WithSHA1And3_Key_TripleDES_CBC, ITERATIONS, ITERATIONS, 0);
        if (!made)
            fault_set(fault, "%s: cannot make the file: %s", order->out, library_error_take());
    }
    ERR_clear_error();
    OPENSSL_cleanse(text, sizeof text);
    passphrase_wipe(&passphrase);
    X509_free(leaf);
    return made;
}

bool keystore_write(const struct keystore_order *order, const struct store *store, struct fault *fault)
{
    char path[STORE_PATH_BYTES];
    STACK_OF(X509) *chain = NULL;
    EVP_PKEY *key = NULL;
    PKCS12 *made = NULL;
    BIO *content = BIO_new(BIO_s_mem());

    if (store_check_name(order->name, fault) && store_check_certificate(store, order->name, fault) &&
        (chain = chain_load(order, store, fault)) &&
        (key = key_load(order, store_path(store, PROFILE_KEY, order->name, path), fault)))
        made = make(order, key, chain, fault);
    bool is_written =
        made && content && i2d_PKCS12_bio(content, made) && file_writer_create(order->out, content, fault);
    PKCS12_free(made);
    BIO_free(content);
    EVP_PKEY_free(key);
    sk_X509_pop_free(chain, X509_free);
    return is_written;
}
