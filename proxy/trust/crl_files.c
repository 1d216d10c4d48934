#include "trust/crl_files.h"

#include "trust/file_stamp.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool is_directory(const char *path)
{
    struct stat facts;

    return stat(path, &facts) == 0 && S_ISDIR(facts.st_mode);
}

static bool out_of_memory(const char *path, struct fault *fault)
{
    fault_set(fault, "%s: out of memory", path);
    return false;
}

/* Takes `path`, which is NULL when out of memory. */
static bool file_add(struct crl_files *files, char *path)
{
    char **paths = path ? realloc(files->paths, (files->count + 1) * sizeof *paths) : NULL;

    if (!paths) {
        free(path);
        return false;
    }
    files->paths = paths;
    paths[files->count++] = path;
    return true;
}

static bool directory_read(struct crl_files *files, const char *directory, DIR *stream, struct fault *fault)
{
    const struct dirent *entry;

    while (errno = 0, (entry = readdir(stream))) {
        char *path = NULL;
        if (entry->d_name[0] == '.')
            continue;
        if (asprintf(&path, "%s/%s", directory, entry->d_name) < 0)
            return out_of_memory(directory, fault);
        if (is_directory(path))
            free(path);
        else if (!file_add(files, path))
            return out_of_memory(directory, fault);
    }
    if (errno)
        fault_set(fault, "%s: %s", directory, strerror(errno));
    return !errno;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

bool crl_files_find(struct crl_files *files, const char *path, struct fault *fault)
{
    *files = (struct crl_files) { 0 };
    if (!is_directory(path))
        return file_add(files, strdup(path)) || out_of_memory(path, fault);
    DIR *stream = opendir(path);
    if (!stream) {
        fault_set(fault, "%s: %s", path, strerror(errno));
        return false;
    }
    bool is_read = directory_read(files, path, stream, fault);
    closedir(stream);
    if (!is_read)
        return false;
    if (!files->count) {
        fault_set(fault, "%s: the directory has no file: put the revocation lists of the CAs there", path);
        return false;
    }
    qsort(files->paths, files->count, sizeof *files->paths, compare);
    return true;
}

void crl_files_deinit(struct crl_files *files)
{
    for (size_t i = 0; i < files->count; i++)
        free(files->paths[i]);
    free(files->paths);
    *files = (struct crl_files) { 0 };
}

uint64_t crl_files_stamp(const char *path)
{
    struct crl_files files;
    struct fault fault;
    uint64_t stamp = file_stamp(path);

    if (crl_files_find(&files, path, &fault)) {
        for (size_t i = 0; i < files.count; i++)
            stamp = stamp * 31 + file_stamp(files.paths[i]);
    }
    crl_files_deinit(&files);
    return stamp;
}
