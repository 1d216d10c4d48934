#include "trust/pkcs12_file.h"

#include "trust/certificate_file.h"
#include "trust/library_error.h"
#include "trust/pem_file.h"
#include "trust/private_key.h"

#include <openssl/bytestring.h>
#include <openssl/cipher.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/pkcs8.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>

/* ---- faults ---- */

enum verdict {
    VERDICT_DAMAGED,
    VERDICT_KEY_TYPE,      /* BoringSSL does not know this type of key, or its curve */
    VERDICT_TWO_PASSWORDS, /* the password is right, and does not decrypt what is inside */
    VERDICT_PASSWORD,
    VERDICT_SEVERAL_KEYS,
    VERDICT_UNSUPPORTED,
};

/* How a file begins that Java wrote in a form of its own: JKS and JCEKS. */
static const char java_magic[][5] = { "\xfe\xed\xfe\xed", "\xce\xce\xce\xce" };
enum { JAVA_MAGIC_BYTES = 4 };

static enum verdict verdict_of(uint32_t error)
{
    if (private_key_is_unsupported_encryption(error))
        return VERDICT_UNSUPPORTED;
    if (ERR_GET_LIB(error) == ERR_LIB_CIPHER && ERR_GET_REASON(error) == CIPHER_R_BAD_DECRYPT)
        return VERDICT_TWO_PASSWORDS;
    if (ERR_GET_LIB(error) == ERR_LIB_EVP && ERR_GET_REASON(error) == EVP_R_UNSUPPORTED_ALGORITHM)
        return VERDICT_KEY_TYPE;
    if (ERR_GET_LIB(error) == ERR_LIB_EC && ERR_GET_REASON(error) == EC_R_UNKNOWN_GROUP)
        return VERDICT_KEY_TYPE;
    if (ERR_GET_LIB(error) != ERR_LIB_PKCS8)
        return VERDICT_DAMAGED;
    switch (ERR_GET_REASON(error)) {
    case PKCS8_R_INCORRECT_PASSWORD:
    case PKCS8_R_INVALID_CHARACTERS: /* the passphrase is not UTF-8 */
        return VERDICT_PASSWORD;
    case PKCS8_R_MULTIPLE_PRIVATE_KEYS_IN_PKCS12:
        return VERDICT_SEVERAL_KEYS;
    case PKCS8_R_MISSING_MAC:
    case PKCS8_R_PKCS12_PUBLIC_KEY_INTEGRITY_NOT_SUPPORTED:
    case PKCS8_R_UNKNOWN_DIGEST:
    case PKCS8_R_UNKNOWN_HASH:
        return VERDICT_UNSUPPORTED;
    default:
        return VERDICT_DAMAGED;
    }
}

/* Reads and empties the error queue: the error that says most counts. */
static enum verdict verdict_take(const char **reason)
{
    enum verdict verdict = VERDICT_DAMAGED;
    uint32_t first = ERR_peek_error(), error;

    *reason = first ? ERR_reason_error_string(first) : NULL;
    while ((error = ERR_get_error())) {
        if (verdict_of(error) > verdict)
            verdict = verdict_of(error);
    }
    return verdict;
}

static bool is_of_java(const struct pem_file *file)
{
    return file->length >= JAVA_MAGIC_BYTES && (memcmp(file->bytes, java_magic[0], JAVA_MAGIC_BYTES) == 0 ||
                                                memcmp(file->bytes, java_magic[1], JAVA_MAGIC_BYTES) == 0);
}

/* The file is no PKCS#12 file, or a damaged one. */
static void kind_fault(const struct pem_file *file, const char *reason, struct fault *fault)
{
    if (memmem(file->bytes, file->length, "-----BEGIN ", 11))
        fault_set(fault, "%s: is PEM, not PKCS#12: give it with --cert and --key", file->path);
    else if (is_of_java(file))
        fault_set(
            fault,
            "%.160s: is a keystore of Java (JKS), not PKCS#12; convert it with: keytool -importkeystore "
            "-srckeystore %.160s -destkeystore NEW.p12 -deststoretype PKCS12",
            file->path, file->path);
    else
        fault_set(fault, "%s: is no PKCS#12 file, or a damaged one%s%s", file->path, reason ? ": " : "",
                  reason ? reason : "");
}

static void read_fault(const struct pem_file *file, const struct passphrase *passphrase, enum verdict verdict,
                       const char *reason, struct fault *fault)
{
    switch (verdict) {
    case VERDICT_DAMAGED:
        kind_fault(file, reason, fault);
        break;
    case VERDICT_KEY_TYPE:
        fault_set(fault,
                  "%.160s: the private key cannot be read: %s: it is of a kind or curve that husk does not "
                  "support; make a new key with: openssl ecparam -name prime256v1 -genkey -noout -out "
                  "NEW.key.pem",
                  file->path, reason);
        break;
    case VERDICT_TWO_PASSWORDS:
        fault_set(fault,
                  "%.160s: the password of the PKCS#12 file does not decrypt what is inside, which has "
                  "another password; convert it to PEM with: openssl pkcs12 -in %.160s -twopass -aes256 -out "
                  "NEW.pem, and give NEW.pem with --cert and --key",
                  file->path, file->path);
        break;
    case VERDICT_PASSWORD:
        if (passphrase->given)
            fault_set(fault, "%s: the passphrase does not open the PKCS#12 file", file->path);
        else
            fault_set(fault,
                      "%s: the PKCS#12 file has a password: give it with --key-passphrase-env or "
                      "--key-passphrase-file",
                      file->path);
        break;
    case VERDICT_SEVERAL_KEYS:
        fault_set(fault,
                  "%.160s: holds several private keys; export one of them with: keytool -importkeystore "
                  "-srckeystore %.160s -srcalias ALIAS -destkeystore NEW.p12 -deststoretype PKCS12",
                  file->path, file->path);
        break;
    case VERDICT_UNSUPPORTED:
        fault_set(
            fault,
            "%.160s: the encryption or the protection of the PKCS#12 file is not supported; convert it to "
            "PEM with: openssl pkcs12 -in %.160s -aes256 -out NEW.pem, and give NEW.pem with --cert and "
            "--key",
            file->path, file->path);
        break;
    }
}

/* The file can be read, and lacks the private key, or its certificate. */
static void absence_fault(const struct pkcs12_file *contents, const char *path, struct fault *fault)
{
    size_t count = sk_X509_num(contents->chain);

    if (!contents->key && !count)
        fault_set(fault, "%s: holds no private key and no certificate", path);
    else if (!contents->key)
        fault_set(fault,
                  "%.160s: holds certificates and no private key, as a truststore does; certificates of CAs "
                  "belong in --ca, in PEM form: openssl pkcs12 -in %.160s -nokeys -out NEW.pem",
                  path, path);
    else if (!count)
        fault_set(fault,
                  "%s: holds a private key and no certificate; make the file again with: openssl pkcs12 "
                  "-export -inkey KEY.pem -in CERT.pem -out NEW.p12",
                  path);
    else
        fault_set(fault,
                  "%s: none of its certificates (%zu) belongs to its private key; make the file again with: "
                  "openssl pkcs12 -export -inkey KEY.pem -in CERT.pem -out NEW.p12",
                  path, count);
}

/* ---- contents ---- */

/* NULL and an empty password are two different passwords (RFC 7292, appendix B.1), and programs use both for
 * "no password". */
static bool parse(struct pkcs12_file *contents, const struct pem_file *file,
                  const struct passphrase *passphrase)
{
    char password[PASSPHRASE_BYTES_MAX + 1] = "";
    const char *const passwords[] = { password, NULL };
    bool is_parsed = false;

    if (passphrase->given)
        memcpy(password, passphrase->bytes, passphrase->length);
    for (size_t i = 0; !is_parsed && i < (passphrase->given ? 1 : 2); i++) {
        CBS bytes;
        CBS_init(&bytes, (const uint8_t *)file->bytes, file->length);
        ERR_clear_error();
        is_parsed = PKCS12_get_key_and_certs(&contents->key, contents->chain, &bytes, passwords[i]) &&
                    CBS_len(&bytes) == 0;
    }
    OPENSSL_cleanse(password, sizeof password);
    return is_parsed;
}

static X509 *leaf_take(STACK_OF(X509) * certificates, const EVP_PKEY *key)
{
    for (size_t i = 0; i < sk_X509_num(certificates); i++) {
        if (X509_check_private_key(sk_X509_value(certificates, i), key) == 1)
            return sk_X509_delete(certificates, i);
    }
    return NULL;
}

/* Moves from `certificates` to the chain what has issued one of the chain. Peers need no root. */
static bool chain_extend(STACK_OF(X509) * chain, STACK_OF(X509) * certificates)
{
    for (size_t i = 0; i < sk_X509_num(certificates); i++) {
        X509 *certificate = sk_X509_value(certificates, i);
        if (X509_check_issued(certificate, certificate) == X509_V_OK || !sk_X509_push(chain, certificate))
            continue;
        if (certificate_file_has_place(chain, sk_X509_num(chain) - 1)) {
            (void)sk_X509_delete(certificates, i);
            return true;
        }
        (void)sk_X509_pop(chain);
    }
    return false;
}

static bool chain_order(struct pkcs12_file *contents, const char *path, struct fault *fault)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    X509 *leaf = chain ? leaf_take(contents->chain, contents->key) : NULL;
    bool is_ordered = leaf && sk_X509_push(chain, leaf);

    ERR_clear_error();
    if (!is_ordered) {
        if (chain && !leaf)
            absence_fault(contents, path, fault);
        else
            fault_set(fault, "%s: out of memory", path);
        X509_free(leaf);
        sk_X509_free(chain);
        return false;
    }
    while (chain_extend(chain, contents->chain))
        ;
    ERR_clear_error();
    sk_X509_pop_free(contents->chain, X509_free);
    contents->chain = chain;
    return true;
}

bool pkcs12_file_load(struct pkcs12_file *contents, const char *path, const struct passphrase *passphrase,
                      struct fault *fault)
{
    struct pem_file file;
    bool is_locked = false;

    *contents = (struct pkcs12_file) { .chain = sk_X509_new_null() };
    if (!contents->chain) {
        fault_set(fault, "%s: out of memory", path);
        return false;
    }
    bool is_loaded = pem_file_read(&file, path, fault);
    if (!is_loaded) {
        fault_wrap(fault, "PKCS#12");
    } else if (!parse(contents, &file, passphrase)) {
        const char *reason;
        enum verdict verdict = verdict_take(&reason);
        is_locked = verdict == VERDICT_PASSWORD;
        read_fault(&file, passphrase, verdict, reason, fault);
        is_loaded = false;
    } else if (!contents->key) {
        absence_fault(contents, path, fault);
        is_loaded = false;
    } else {
        is_loaded = chain_order(contents, path, fault);
    }
    pem_file_wipe(&file);
    if (!is_loaded)
        pkcs12_file_deinit(contents);
    contents->is_locked = is_locked;
    return is_loaded;
}

bool pkcs12_file_opens(const char *path, const struct passphrase *passphrase)
{
    struct pkcs12_file contents;
    struct fault ignored;
    bool opens = pkcs12_file_load(&contents, path, passphrase, &ignored);

    pkcs12_file_deinit(&contents);
    return opens;
}

void pkcs12_file_deinit(struct pkcs12_file *contents)
{
    EVP_PKEY_free(contents->key);
    sk_X509_pop_free(contents->chain, X509_free);
    *contents = (struct pkcs12_file) { 0 };
}
