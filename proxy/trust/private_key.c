#include "trust/private_key.h"

#include "trust/library_error.h"
#include "trust/pem_block.h"
#include "trust/pem_file.h"

#include <openssl/bio.h>
#include <openssl/cipher.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs8.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What may stand in the file beside the key. */
enum { BESIDE_THE_KEY = PEM_ONLY(PEM_CERTIFICATE) | PEM_ONLY(PEM_PARAMETERS) };

static void absence_fault(struct pem_file *file, struct fault *fault)
{
    if (pem_file_looks_like_der(file))
        fault_set(
            fault,
            "%.160s: holds no private key in PEM form, it looks like DER: convert a DER key with: openssl "
            "pkey -inform DER -in %.160s -out NEW.key.pem; a PKCS#12 file belongs in --keystore",
            file->path, file->path);
    else
        fault_set(fault, "%s: holds %s", file->path,
                  pem_file_has(file, PEM_CERTIFICATE)
                      ? "a certificate and no private key: were the files of certificate and key swapped?"
                      : "no private key in PEM form");
}

/* Finds the one private key of the file, which may contain certificates, too. */
static bool key_find(struct pem_file *file, struct pem_block *key, struct fault *fault)
{
    struct pem_scan scan;
    struct pem_block block;
    enum pem_found found;

    *key = (struct pem_block) { 0 };
    pem_scan_start(&scan, file);
    while ((found = pem_scan_next_of(&scan, PEM_PRIVATE_KEY, BESIDE_THE_KEY, &block, fault)) ==
           PEM_FOUND_BLOCK) {
        if (key->text) {
            fault_set(fault, "%s: line %zu: a second private key, after that of line %zu", file->path,
                      block.line, key->line);
            return false;
        }
        *key = block;
    }
    if (found == PEM_FOUND_END && !key->text)
        absence_fault(file, fault);
    return found == PEM_FOUND_END && key->text;
}

/* PKCS#8 marks an encrypted key in the label, the older forms in a header (RFC 1421, 4.6.1.1). */
static bool is_encrypted(const struct pem_block *block)
{
    return memmem(block->label, block->label_length, "ENCRYPTED", 9) ||
           memmem(block->text, block->length, "4,ENCRYPTED", 11);
}

static bool is_openssh(const struct pem_block *block)
{
    return memmem(block->label, block->label_length, "OPENSSH", 7);
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

bool private_key_is_unsupported_encryption(uint32_t error)
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
        is_unsupported |= private_key_is_unsupported_encryption(error);
    if (is_unsupported)
        fault_set(fault,
                  "%.160s: the key's encryption is not supported; convert it with: openssl pkcs8 -topk8 -v2 "
                  "aes-256-cbc -v2prf hmacWithSHA256 -in %.160s -out NEW.key.pem",
                  path, path);
    else
        fault_set(fault, "%s: the passphrase does not decrypt the private key", path);
}

static EVP_PKEY *key_decode(struct pem_file *file, const struct passphrase *passphrase, struct fault *fault)
{
    struct pem_block block;

    if (!key_find(file, &block, fault))
        return NULL;
    if (is_encrypted(&block) && !passphrase->given) {
        fault_set(fault,
                  "%s: the private key is encrypted: give its passphrase with --key-passphrase-env or "
                  "--key-passphrase-file",
                  file->path);
        return NULL;
    }
    BIO *reader = pem_block_reader(&block);
    ERR_clear_error();
    EVP_PKEY *key = reader ? PEM_read_bio_PrivateKey(reader, NULL, on_passphrase, (void *)passphrase) : NULL;
    BIO_free(reader);
    if (key) {
        ERR_clear_error();
        return key;
    }
    if (is_encrypted(&block))
        fault_of_encrypted_key(file->path, fault);
    else if (is_openssh(&block))
        fault_set(
            fault,
            "%.160s: line %zu: the private key is in the form of OpenSSH; convert it in its place with: "
            "ssh-keygen -p -m PKCS8 -f %.160s",
            file->path, block.line, file->path);
    else
        fault_set(
            fault,
            "%.160s: line %zu: the private key cannot be read: %s: it is damaged, or of a kind or curve "
            "that husk does not support; make a new key with: openssl ecparam -name prime256v1 -genkey "
            "-noout -out NEW.key.pem",
            file->path, block.line, library_error_take());
    return NULL;
}

struct evp_pkey_st *private_key_load(const char *path, const struct passphrase *passphrase,
                                     struct fault *fault)
{
    struct pem_file file;

    if (!pem_file_read(&file, path, fault)) {
        fault_wrap(fault, "private key");
        return NULL;
    }
    EVP_PKEY *key = key_decode(&file, passphrase, fault);
    pem_file_wipe(&file);
    return key;
}

bool private_key_is_encrypted(const char *path)
{
    struct pem_file file;
    struct pem_block block;
    struct fault ignored;

    bool is_locked =
        pem_file_read(&file, path, &ignored) && key_find(&file, &block, &ignored) && is_encrypted(&block);
    pem_file_wipe(&file);
    return is_locked;
}

bool private_key_opens(const char *path, const struct passphrase *passphrase)
{
    struct fault ignored;
    EVP_PKEY *key = private_key_load(path, passphrase, &ignored);

    EVP_PKEY_free(key);
    return key;
}

/* Such a file has no secret. */
static bool has_only_certificates(const char *path)
{
    struct pem_file file;
    struct pem_scan scan;
    struct pem_block block;
    struct fault ignored;
    enum pem_found found = PEM_FOUND_FAULT;
    unsigned count = 0;

    if (pem_file_read(&file, path, &ignored)) {
        pem_scan_start(&scan, &file);
        while ((found = pem_scan_next_of(&scan, PEM_CERTIFICATE, 0, &block, &ignored)) == PEM_FOUND_BLOCK)
            count++;
    }
    pem_file_wipe(&file);
    return found == PEM_FOUND_END && count;
}

bool private_key_is_shared(const char *path, unsigned *mode)
{
    struct stat status;

    if (stat(path, &status) != 0 || !S_ISREG(status.st_mode)) /* a device holds no secret */
        return false;
    /* husk can read a file of another owner only through its group, as in a Kubernetes Secret with fsGroup:
     * then group permission is no reason to warn. */
    mode_t too_open = status.st_uid == geteuid() ? S_IRGRP | S_IROTH : S_IROTH;
    *mode = status.st_mode & 07777;
    return (status.st_mode & too_open) && !has_only_certificates(path);
}

void private_key_warn_if_shared(const char *path, const char *what, struct log *log)
{
    struct log_line line;
    unsigned bits;
    char mode[8], text[80];

    if (!private_key_is_shared(path, &bits))
        return;
    snprintf(mode, sizeof mode, "%04o", bits);
    snprintf(text, sizeof text, "the %s can be read by others than its owner", what);
    log_begin(&line, log, LOG_WARN, text);
    log_text(&line, "file", path);
    log_text(&line, "mode", mode);
    log_end(&line);
}
