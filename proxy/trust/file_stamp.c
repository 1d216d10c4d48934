#include "trust/file_stamp.h"

#include <stddef.h>
#include <sys/stat.h>

/* FNV-1a over 64-bit words. */
static uint64_t mix(uint64_t hash, uint64_t word)
{
    return (hash ^ word) * UINT64_C(1099511628211);
}

uint64_t file_stamp(const char *path)
{
    struct stat facts;
    uint64_t hash = UINT64_C(14695981039346656037);

    if (stat(path, &facts) != 0)
        return 0;
    hash = mix(hash, facts.st_dev);
    hash = mix(hash, facts.st_ino);
    hash = mix(hash, (uint64_t)facts.st_size);
    hash = mix(hash, (uint64_t)facts.st_mtim.tv_sec);
    hash = mix(hash, (uint64_t)facts.st_mtim.tv_nsec);
    return mix(hash, (uint64_t)facts.st_ctim.tv_nsec);
}
