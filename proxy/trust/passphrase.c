#include "trust/passphrase.h"

#include "trust/pem_file.h"

#include <limits.h>
#include <openssl/mem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SOURCE_BYTES = FAULT_TEXT_BYTES / 2,
    STACK_BYTES = 16 * 1024 /* several times what BoringSSL uses to decrypt a key */
};

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

const char *passphrase_variable_shown(const char *env)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";

    return getenv(env) || (strchr(env, '_') && !env[strspn(env, letters)]) ? env : NULL;
}

const char *passphrase_path_shown(const char *path)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');

    if (access(path, F_OK) == 0 || path[0] == '/')
        return path;
    if (!slash || slash - path >= PATH_MAX)
        return NULL;
    snprintf(directory, sizeof directory, "%.*s", (int)(slash - path), path);
    return access(directory, F_OK) == 0 ? path : NULL;
}

static bool passphrase_from_env(struct passphrase *passphrase, const char *env, struct fault *fault)
{
    const char *value = getenv(env);
    char source[SOURCE_BYTES];

    snprintf(source, sizeof source, "environment variable %s", env);
    if (value)
        return passphrase_set(passphrase, value, strlen(value), source, fault);
    if (passphrase_variable_shown(env))
        fault_set(fault, "%s is not set", source);
    else
        fault_set(fault,
                  "no environment variable has this name: write the name of a variable, not its value");
    return false;
}

static bool passphrase_from_file(struct passphrase *passphrase, const char *path, struct fault *fault)
{
    char source[SOURCE_BYTES];
    struct pem_file file;

    if (!passphrase_path_shown(path)) {
        fault_set(fault, "no file has this name: write the path of a file with the secret, not the secret");
        return false;
    }
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

/* HMAC_Init_ex, which PBKDF2 calls, leaves a copy of the passphrase in its part of the stack. */
__attribute__((noinline)) static void stack_wipe(void)
{
    char below[STACK_BYTES];

    OPENSSL_cleanse(below, sizeof below);
}

void passphrase_wipe(struct passphrase *passphrase)
{
    OPENSSL_cleanse(passphrase, sizeof *passphrase);
    stack_wipe();
}
