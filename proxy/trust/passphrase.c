#include "trust/passphrase.h"

#include "trust/pem_file.h"

#include <openssl/mem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SOURCE_BYTES = FAULT_TEXT_BYTES / 2 };

/* The fault starts with `source`, which is a noun. */
static bool passphrase_set(struct passphrase *passphrase, const char *bytes, size_t length,
                           const char *source, struct fault *fault)
{
    if (length == 0) {
        fault_set(fault, "%s is empty", source);
        return false;
    }
    if (length > sizeof passphrase->bytes) {
        fault_set(fault, "%s is longer than %d bytes", source, PASSPHRASE_BYTES_MAX);
        return false;
    }
    if (memchr(bytes, 0, length)) {
        fault_set(fault, "%s contains a NUL byte: is the file UTF-16?", source);
        return false;
    }
    memcpy(passphrase->bytes, bytes, length);
    passphrase->length = length;
    passphrase->given = true;
    return true;
}

static bool passphrase_from_env(struct passphrase *passphrase, const char *env, struct fault *fault)
{
    const char *value = getenv(env);
    char source[SOURCE_BYTES];

    snprintf(source, sizeof source, "environment variable %s", env);
    if (value)
        return passphrase_set(passphrase, value, strlen(value), source, fault);
    fault_set(fault, "%s is not set", source);
    return false;
}

static bool passphrase_from_file(struct passphrase *passphrase, const char *path, struct fault *fault)
{
    char source[SOURCE_BYTES];
    struct pem_file file;

    if (!pem_file_read(&file, path, fault))
        return false;
    const char *newline = memchr(file.bytes, '\n', file.length);
    size_t length = newline ? (size_t)(newline - file.bytes) : file.length;
    if (length && file.bytes[length - 1] == '\r')
        length--;
    snprintf(source, sizeof source, "%s: the first line", path);
    bool loaded = passphrase_set(passphrase, file.bytes, length, source, fault);
    pem_file_wipe(&file);
    return loaded;
}

bool passphrase_load(struct passphrase *passphrase, const char *env, const char *file, struct fault *fault)
{
    passphrase->given = false;
    passphrase->length = 0;
    if (env && file) {
        fault_set(fault, "a variable and a file are given; give only one of the two");
        return false;
    }
    if (env)
        return passphrase_from_env(passphrase, env, fault);
    return !file || passphrase_from_file(passphrase, file, fault);
}

void passphrase_wipe(struct passphrase *passphrase)
{
    OPENSSL_cleanse(passphrase, sizeof *passphrase);
}
