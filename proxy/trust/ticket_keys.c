#include "trust/ticket_keys.h"

#include "base/regular_file.h"

#include <errno.h>
#include <openssl/base64.h>
#include <openssl/cipher.h>
#include <openssl/digest.h>
#include <openssl/hmac.h>
#include <openssl/mem.h>
#include <openssl/rand.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SHORT_BYTES = 48,
    LONG_BYTES = 80,
    FILE_BYTES_MAX = 4096, /* TICKET_KEYS_MAX keys in base64, with space for blanks */
};

#define EXPECTED "expected keys of 80 bytes, one key of 48 bytes, or a key in base64 on each line"

struct ticket_key {
    uint8_t name[TICKET_KEY_NAME_BYTES];
    uint8_t hmac[32], aes[32];
    unsigned length; /* of `hmac` and of `aes`: 16 or 32 */
};

struct ticket_keys {
    size_t count;
    struct ticket_key items[TICKET_KEYS_MAX];
};

/* ---- reading ---- */

static bool key_add(struct ticket_keys *keys, const uint8_t *bytes, size_t length)
{
    struct ticket_key *key = &keys->items[keys->count];
    const uint8_t *after = bytes + TICKET_KEY_NAME_BYTES;

    if ((length != SHORT_BYTES && length != LONG_BYTES) || keys->count == TICKET_KEYS_MAX)
        return false;
    key->length = length == SHORT_BYTES ? 16 : 32;
    memcpy(key->name, bytes, sizeof key->name);
    memcpy(length == SHORT_BYTES ? key->aes : key->hmac, after, key->length);
    memcpy(length == SHORT_BYTES ? key->hmac : key->aes, after + key->length, key->length);
    keys->count++;
    return true;
}

static bool is_text(const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        bool is_blank = bytes[i] == '\t' || bytes[i] == '\r' || bytes[i] == '\n';
        if ((bytes[i] < ' ' && !is_blank) || bytes[i] > '~')
            return false;
    }
    return true;
}

static bool line_read(struct ticket_keys *keys, const char *line, size_t length)
{
    uint8_t bytes[LONG_BYTES + 3]; /* EVP_DecodeBase64 needs space for whole groups */
    size_t count;
    bool is_good = EVP_DecodeBase64(bytes, &count, sizeof bytes, (const uint8_t *)line, length) &&
                   key_add(keys, bytes, count);

    OPENSSL_cleanse(bytes, sizeof bytes);
    return is_good;
}

static bool text_read(struct ticket_keys *keys, const char *text, const char *path, struct fault *fault)
{
    static const char blanks[] = " \t\r";
    size_t number = 1;

    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n', number++) {
        const char *start = line + strspn(line, blanks);
        size_t length = strcspn(start, " \t\r\n");
        if (!length)
            continue;
        if (keys->count == TICKET_KEYS_MAX) {
            fault_set(fault, "%s: line %zu: more than %d keys", path, number, TICKET_KEYS_MAX);
            return false;
        }
        if (start[length + strspn(start + length, blanks)] > '\n' || !line_read(keys, start, length)) {
            fault_set(fault, "%s: line %zu: is not a ticket key: " EXPECTED, path, number);
            return false;
        }
    }
    return true;
}

static bool bytes_read(struct ticket_keys *keys, const uint8_t *bytes, size_t length, const char *path,
                       struct fault *fault)
{
    size_t step = length == SHORT_BYTES ? SHORT_BYTES : LONG_BYTES;

    if (length % step || length / step > TICKET_KEYS_MAX) {
        fault_set(fault, "%s: has %zu bytes: " EXPECTED ", at most %d keys", path, length, TICKET_KEYS_MAX);
        return false;
    }
    for (size_t at = 0; at < length; at += step)
        (void)!key_add(keys, bytes + at, step);
    return true;
}

static bool names_differ(const struct ticket_keys *keys, const char *path, struct fault *fault)
{
    for (size_t i = 1; i < keys->count; i++) {
        for (size_t k = 0; k < i; k++) {
            if (memcmp(keys->items[i].name, keys->items[k].name, TICKET_KEY_NAME_BYTES) != 0)
                continue;
            fault_set(fault, "%s: keys %zu and %zu have the same name, which is their first 16 bytes", path,
                      k + 1, i + 1);
            return false;
        }
    }
    return true;
}

static bool contents_read(struct ticket_keys *keys, const char *bytes, size_t length, const char *path,
                          struct fault *fault)
{
    if (length > FILE_BYTES_MAX) {
        fault_set(fault, "%s: has more than %d bytes: " EXPECTED, path, FILE_BYTES_MAX);
        return false;
    }
    if (!(is_text((const uint8_t *)bytes, length)
              ? text_read(keys, bytes, path, fault)
              : bytes_read(keys, (const uint8_t *)bytes, length, path, fault)))
        return false;
    if (!keys->count) {
        fault_set(fault, "%s: has no ticket key: " EXPECTED, path);
        return false;
    }
    return names_differ(keys, path, fault);
}

/* The bytes of the file, up to one more than FILE_BYTES_MAX. -1: the fault says why not. */
static ssize_t file_read(const char *path, char *bytes, struct fault *fault)
{
    int fd = regular_file_open(path, fault);
    size_t length = 0;
    ssize_t got = 1;

    if (fd < 0) {
        fault_wrap(fault, "%s", path);
        return -1;
    }
    while (length <= FILE_BYTES_MAX && got > 0) {
        got = read(fd, bytes + length, FILE_BYTES_MAX + 1 - length);
        length += got > 0 ? (size_t)got : 0;
    }
    if (got < 0)
        fault_set(fault, "%s: %s", path, strerror(errno));
    close(fd);
    return got < 0 ? -1 : (ssize_t)length;
}

struct ticket_keys *ticket_keys_load(const char *path, struct fault *fault)
{
    char bytes[FILE_BYTES_MAX + 2];
    struct ticket_keys *keys = calloc(1, sizeof *keys);
    ssize_t length = -1;
    bool is_good = false;

    if (!keys) {
        fault_set(fault, "%s: out of memory", path);
        return NULL;
    }
    length = file_read(path, bytes, fault);
    if (length >= 0) {
        bytes[length] = '\0';
        is_good = contents_read(keys, bytes, (size_t)length, path, fault);
    }
    OPENSSL_cleanse(bytes, sizeof bytes);
    if (is_good)
        return keys;
    ticket_keys_free(keys);
    return NULL;
}

size_t ticket_keys_count(const struct ticket_keys *keys)
{
    return keys->count;
}

void ticket_keys_free(struct ticket_keys *keys)
{
    if (keys)
        OPENSSL_cleanse(keys, sizeof *keys);
    free(keys);
}

/* ---- tickets ---- */

static const EVP_CIPHER *cipher_of(const struct ticket_key *key)
{
    return key->length == 16 ? EVP_aes_128_cbc() : EVP_aes_256_cbc();
}

int ticket_keys_encrypt(const struct ticket_keys *keys, const struct ticket_cipher *ticket)
{
    const struct ticket_key *key = &keys->items[0];
    const EVP_CIPHER *cipher = cipher_of(key);

    memcpy(ticket->name, key->name, sizeof key->name);
    return RAND_bytes(ticket->iv, EVP_CIPHER_iv_length(cipher)) &&
                   EVP_EncryptInit_ex(ticket->cipher, cipher, NULL, key->aes, ticket->iv) &&
                   HMAC_Init_ex(ticket->hmac, key->hmac, key->length, EVP_sha256(), NULL)
               ? 1
               : -1;
}

int ticket_keys_decrypt(const struct ticket_keys *keys, const struct ticket_cipher *ticket)
{
    size_t at = 0;

    while (at < keys->count && memcmp(keys->items[at].name, ticket->name, TICKET_KEY_NAME_BYTES) != 0)
        at++;
    if (at == keys->count)
        return 0;
    const struct ticket_key *key = &keys->items[at];
    if (!EVP_DecryptInit_ex(ticket->cipher, cipher_of(key), NULL, key->aes, ticket->iv) ||
        !HMAC_Init_ex(ticket->hmac, key->hmac, key->length, EVP_sha256(), NULL))
        return -1;
    return at ? 2 : 1;
}
