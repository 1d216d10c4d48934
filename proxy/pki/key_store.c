#include "pki/key_store.h"

#include "pki/key_encryption.h"
#include "pki/key_maker.h"
#include "trust/library_error.h"
#include "trust/private_key.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>

EVP_PKEY *key_store_make(const struct store *store, const char *path, const struct key_protection *protection,
                         BIO *content, struct fault *fault)
{
    const struct profile *profile = store->profile;
    struct passphrase passphrase = { .given = false };
    EVP_PKEY *key = NULL;

    bool is_locked = passphrase_source_is_given(&protection->source) || protection->is_locked ||
                     (profile->encrypts_keys && !protection->is_plain);
    if (is_locked && !passphrase_source_choose(&protection->source, path, &passphrase, fault))
        goto done;
    ERR_clear_error();
    key = key_maker_make(profile);
    if (key && !key_encryption_write(content, key, &passphrase, profile->kdf_iterations)) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    if (!key)
        fault_set(fault, "%s: cannot make the key: %s", path, library_error_take());
done:
    passphrase_wipe(&passphrase);
    return key;
}

EVP_PKEY *key_store_obtain(const struct store *store, enum profile_file file, const char *name,
                           const struct key_protection *protection, struct fault *fault)
{
    char path[STORE_PATH_BYTES];
    struct passphrase passphrase;
    EVP_PKEY *key = NULL;

    store_path(store, file, name, path);
    if (store_has(store, file, name)) {
        if (passphrase_source_open(&protection->source, path, &passphrase, fault))
            key = private_key_load(path, &passphrase, fault);
        passphrase_wipe(&passphrase);
        return key;
    }
    BIO *content = BIO_new(BIO_s_mem()); /* BoringSSL wipes what it frees */
    if (content)
        key = key_store_make(store, path, protection, content, fault);
    else
        fault_set(fault, "out of memory");
    if (key && !store_create_file(store, file, name, content, fault)) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    BIO_free(content);
    return key;
}
