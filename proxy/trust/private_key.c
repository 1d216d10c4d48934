#include "trust/private_key.h"

#include "trust/library_error.h"
#include "trust/pem_file.h"

#include <openssl/bio.h>
#include <openssl/cipher.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/pem.h>
#include <openssl/pkcs8.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum key_form { KEY_ABSENT, KEY_PLAIN, KEY_ENCRYPTED };

static void warn_if_shared(const struct pem_file *file, struct log *log)
{
    struct log_line line;
    char mode[8];

    /* husk can read a file of another owner only through its group, as in a Kubernetes Secret with fsGroup:
     * then group permission is no reason to warn. */
    mode_t too_open = file->owner == geteuid() ? S_IRGRP | S_IROTH : S_IROTH;
    if (!(file->mode & too_open))
        return;
    snprintf(mode, sizeof mode, "%04o", (unsigned)(file->mode & 07777));
    log_begin(&line, log, LOG_WARN, "the private key can be read by others than its owner");
    log_text(&line, "file", file->path);
    log_text(&line, "mode", mode);
    log_end(&line);
}

/* The form of the first block that is a private key. */
static enum key_form key_form_of(const struct pem_file *file)
{
    enum key_form form = KEY_ABSENT;
    BIO *reader = pem_file_reader(file);
    char *name, *header;
    unsigned char *data;
    long length;

    ERR_clear_error();
    while (reader && form == KEY_ABSENT && PEM_read_bio(reader, &name, &header, &data, &length)) {
        const char *found = strstr(name, PEM_STRING_PKCS8INF); /* every key name ends so */
        if (found && strcmp(found, PEM_STRING_PKCS8INF) == 0)
            form = strcmp(name, PEM_STRING_PKCS8) == 0 || strstr(header, "ENCRYPTED") ? KEY_ENCRYPTED
                                                                                      : KEY_PLAIN;
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_free(data);
    }
    ERR_clear_error();
    BIO_free(reader);
    return form;
}

static int on_passphrase(char *to, int size, int is_writing, void *user_data)
{
    const struct passphrase *passphrase = user_data;

    (void)is_writing;
    if (!passphrase->given || passphrase->length > (size_t)size)
        return -1;
    memcpy(to, passphrase->bytes, passphrase->length);
    return (int)passphrase->length;
}

static bool is_unsupported_encryption(uint32_t error)
{
    static const int pkcs8_reasons[] = {
        PKCS8_R_UNKNOWN_ALGORITHM,  PKCS8_R_UNKNOWN_CIPHER,
        PKCS8_R_UNSUPPORTED_CIPHER, PKCS8_R_UNSUPPORTED_KEY_DERIVATION_FUNCTION,
        PKCS8_R_UNSUPPORTED_PRF,    PKCS8_R_UNSUPPORTED_KEYLENGTH,
    };

    if (ERR_GET_LIB(error) == ERR_LIB_PEM)
        return ERR_GET_REASON(error) == PEM_R_UNSUPPORTED_ENCRYPTION;
    if (ERR_GET_LIB(error) != ERR_LIB_PKCS8)
        return false;
    for (size_t i = 0; i < sizeof pkcs8_reasons / sizeof pkcs8_reasons[0]; i++) {
        if (ERR_GET_REASON(error) == pkcs8_reasons[i])
            return true;
    }
    return false;
}

/* Reads and empties the error queue. A wrong passphrase causes bad padding or, rarely, any error that comes
 * from parsing random bytes: so every error except "not supported" counts as a wrong passphrase. */
static void fault_of_encrypted_key(const char *path, struct fault *fault)
{
    bool is_unsupported = false;
    uint32_t error;

    while ((error = ERR_get_error()))
        is_unsupported |= is_unsupported_encryption(error);
    if (is_unsupported)
        fault_set(fault,
                  "%s: the key's encryption is not supported; supported are PBES2 (PBKDF2 with HMAC-SHA1 or "
                  "HMAC-SHA256, and AES-CBC or 3DES-CBC) and DEK-Info (AES-CBC, 3DES-CBC)",
                  path);
    else
        fault_set(fault, "%s: the passphrase does not decrypt the private key", path);
}

static EVP_PKEY *key_decode(const struct pem_file *file, const struct passphrase *passphrase,
                            struct fault *fault)
{
    enum key_form form = key_form_of(file);

    if (form == KEY_ABSENT) {
        fault_set(fault, "%s: holds no private key in PEM form", file->path);
        return NULL;
    }
    if (form == KEY_ENCRYPTED && !passphrase->given) {
        fault_set(fault,
                  "%s: the private key is encrypted: give its passphrase with --key-passphrase-env or "
                  "--key-passphrase-file",
                  file->path);
        return NULL;
    }
    BIO *reader = pem_file_reader(file);
    ERR_clear_error();
    EVP_PKEY *key = reader ? PEM_read_bio_PrivateKey(reader, NULL, on_passphrase, (void *)passphrase) : NULL;
    BIO_free(reader);
    if (key) {
        ERR_clear_error();
        return key;
    }
    if (form == KEY_ENCRYPTED)
        fault_of_encrypted_key(file->path, fault);
    else
        fault_set(fault, "%s: the private key cannot be read: %s", file->path, library_error_take());
    return NULL;
}

struct evp_pkey_st *private_key_load(const char *path, const struct passphrase *passphrase, struct log *log,
                                     struct fault *fault)
{
    struct pem_file file;

    if (!pem_file_read(&file, path, fault)) {
        fault_wrap(fault, "private key");
        return NULL;
    }
    EVP_PKEY *key = key_decode(&file, passphrase, fault);
    if (key)
        warn_if_shared(&file, log);
    pem_file_wipe(&file);
    return key;
}
