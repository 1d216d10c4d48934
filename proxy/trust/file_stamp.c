#include "trust/file_stamp.h"

#include "base/hash.h"

#include <stddef.h>
#include <sys/stat.h>

uint64_t file_stamp(const char *path)
{
    struct stat facts;

    if (stat(path, &facts) != 0)
        return 0;
    const uint64_t words[] = { facts.st_dev,
                               facts.st_ino,
                               (uint64_t)facts.st_size,
                               (uint64_t)facts.st_mtim.tv_sec,
                               (uint64_t)facts.st_mtim.tv_nsec,
                               (uint64_t)facts.st_ctim.tv_sec,
                               (uint64_t)facts.st_ctim.tv_nsec };
    return hash_bytes(NULL, words, sizeof words);
}
