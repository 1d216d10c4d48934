#include "wire/resolver_memory.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Stands before the bytes of a block. */
struct header {
    alignas(max_align_t) size_t bytes; /* without the header */
};

static struct header *header_of(void *bytes)
{
    return (struct header *)bytes - 1;
}

void *resolver_memory_get(size_t bytes)
{
    struct header *header;

    if (bytes > SIZE_MAX - sizeof *header)
        return NULL;
    if (bytes < RESOLVER_MEMORY_MAPPED_BYTES) {
        header = malloc(sizeof *header + bytes);
    } else {
        header =
            mmap(NULL, sizeof *header + bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (header == MAP_FAILED)
            header = NULL;
    }
    if (!header)
        return NULL;
    header->bytes = bytes;
    return header + 1;
}

void resolver_memory_free(void *bytes)
{
    if (!bytes)
        return;
    struct header *header = header_of(bytes);
    if (header->bytes < RESOLVER_MEMORY_MAPPED_BYTES)
        free(header);
    else
        munmap(header, sizeof *header + header->bytes);
}

void *resolver_memory_resize(void *old, size_t bytes)
{
    void *new = resolver_memory_get(bytes);

    if (old && new) {
        size_t kept = header_of(old)->bytes;
        memcpy(new, old, kept < bytes ? kept : bytes);
        resolver_memory_free(old);
    }
    return new;
}
