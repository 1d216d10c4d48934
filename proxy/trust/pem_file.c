#include "trust/pem_file.h"

#include "base/regular_file.h"

#include <errno.h>
#include <openssl/mem.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FIRST_CAPACITY = 16 * 1024 };

/* Doubles the capacity. Wipes the old bytes, which realloc would not do. */
static bool file_grow(struct pem_file *file, size_t *capacity)
{
    size_t larger = *capacity ? *capacity * 2 : FIRST_CAPACITY;
    char *bytes = malloc(larger);

    if (!bytes)
        return false;
    if (file->bytes) {
        memcpy(bytes, file->bytes, file->length);
        OPENSSL_cleanse(file->bytes, file->length);
        free(file->bytes);
    }
    file->bytes = bytes;
    *capacity = larger;
    return true;
}

static bool file_read_all(struct pem_file *file, int fd, size_t bytes_max, struct fault *fault)
{
    size_t capacity = 0;

    for (;;) {
        if (file->length == capacity && !file_grow(file, &capacity)) {
            fault_set(fault, "%s: out of memory", file->path);
            return false;
        }
        ssize_t got = read(fd, file->bytes + file->length, capacity - file->length);
        if (got == 0)
            return true;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            fault_set(fault, "%s: %s", file->path, strerror(errno));
            return false;
        }
        file->length += (size_t)got;
        if (file->length > bytes_max) {
            fault_set(fault, "%s: larger than %zu bytes: not a PEM file?", file->path, bytes_max);
            return false;
        }
    }
}

bool pem_file_read(struct pem_file *file, const char *path, struct fault *fault)
{
    return pem_file_read_large(file, path, PEM_FILE_BYTES_MAX, fault);
}

bool pem_file_read_large(struct pem_file *file, const char *path, size_t bytes_max, struct fault *fault)
{
    int fd = regular_file_open(path, fault);

    *file = (struct pem_file) { .path = path };
    if (fd < 0) {
        fault_wrap(fault, "%s", path);
        goto fail;
    }
    if (!file_read_all(file, fd, bytes_max, fault))
        goto fail;
    close(fd);
    return true;
fail:
    if (fd >= 0)
        close(fd);
    pem_file_wipe(file);
    return false;
}

void pem_file_wipe(struct pem_file *file)
{
    if (file->bytes)
        OPENSSL_cleanse(file->bytes, file->length);
    free(file->bytes);
    file->bytes = NULL;
    file->length = 0;
}
