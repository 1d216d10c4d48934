#include "pki/file_writer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/bio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char temporary_prefix[] = ".husk-", temporary_suffix[] = ".tmp";

static bool bytes_write(int fd, const uint8_t *bytes, size_t length)
{
    while (length) {
        ssize_t written = write(fd, bytes, length);
        if (written < 0 && errno != EINTR)
            return false;
        if (written > 0) {
            bytes += written;
            length -= (size_t)written;
        }
    }
    return true;
}

/* The length of the part of the path before the name, with its slash. */
static int folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? (int)(slash - path) + 1 : 0;
}

/* Writes the names in the folder of `path` to the disk. */
static bool folder_sync(const char *path)
{
    char folder[PATH_MAX];

    snprintf(folder, sizeof folder, "%.*s.", folder_length(path), path);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    int error = fsync(fd) == 0 ? 0 : errno;
    close(fd);
    errno = error;
    return !error;
}

/* The mode, the group and the owner of the file `like`; without such a file the mode is 0600. */
static bool rights_set(int fd, const char *like)
{
    struct stat made, wanted;

    if (fstat(fd, &made) != 0)
        return false;
    wanted = made;
    wanted.st_mode = 0600;
    if (like && stat(like, &wanted) != 0 && errno != ENOENT)
        return false;
    bool is_same = wanted.st_uid == made.st_uid && wanted.st_gid == made.st_gid;
    return (is_same || fchown(fd, wanted.st_uid, wanted.st_gid) == 0) &&
           fchmod(fd, wanted.st_mode & ACCESSPERMS) == 0;
}

/* `like`: a file with the wanted rights; NULL: none. */
static bool temporary_write(char temporary[PATH_MAX], const char *path, const char *like, BIO *content)
{
    const uint8_t *bytes;
    size_t length;
    int folder = folder_length(path);

    if (snprintf(temporary, PATH_MAX, "%.*s%s%sXXXXXX%s", folder, path, temporary_prefix, path + folder,
                 temporary_suffix) >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return false;
    }
    int fd = mkostemps(temporary, sizeof temporary_suffix - 1, O_CLOEXEC);
    if (fd < 0)
        return false;
    bool is_written = rights_set(fd, like) && BIO_mem_contents(content, &bytes, &length) &&
                      bytes_write(fd, bytes, length) && fsync(fd) == 0;
    int error = is_written ? 0 : errno;
    if (close(fd) == 0 && is_written)
        return true;
    error = error ? error : errno;
    unlink(temporary);
    errno = error;
    return false;
}

static bool fault_of_errno(const char *path, struct fault *fault)
{
    const char *advice =
        errno == EACCES || errno == EPERM || errno == EROFS
            ? ": run husk pki as the owner of the directory, or as root if the file has another owner or "
              "group, which renew keeps"
            : "";

    fault_set(fault, "%s: %s%s", path, strerror(errno), advice);
    return false;
}

bool file_writer_create(const char *path, BIO *content, struct fault *fault)
{
    char temporary[PATH_MAX];

    if (!temporary_write(temporary, path, NULL, content))
        return fault_of_errno(path, fault);
    bool is_made = link(temporary, path) == 0;
    int error = errno;
    unlink(temporary);
    errno = error;
    return (is_made && folder_sync(path)) || fault_of_errno(path, fault);
}

/* Gives a temporary file its name. */
static bool commit(const char *temporary, const char *path, struct fault *fault)
{
    if (rename(temporary, path) == 0)
        return folder_sync(path) || fault_of_errno(path, fault);
    (void)fault_of_errno(path, fault);
    unlink(temporary);
    return false;
}

bool file_writer_replace(const char *path, const char *like, BIO *content, struct fault *fault)
{
    char temporary[PATH_MAX];

    if (!temporary_write(temporary, path, like, content))
        return fault_of_errno(path, fault);
    return commit(temporary, path, fault);
}

bool file_writer_link(const char *path, const char *target, struct fault *fault)
{
    char temporary[PATH_MAX];
    int length = folder_length(path);

    snprintf(temporary, sizeof temporary, "%.*s%s%s%s", length, path, temporary_prefix, path + length,
             temporary_suffix);
    unlink(temporary);
    if (symlink(target, temporary) != 0)
        return fault_of_errno(path, fault);
    return commit(temporary, path, fault);
}

bool file_writer_folder(const char *path, mode_t mode, struct fault *fault)
{
    if (mkdir(path, mode) == 0)
        return (chmod(path, mode) == 0 && folder_sync(path)) || fault_of_errno(path, fault);
    return errno == EEXIST || fault_of_errno(path, fault);
}

void file_writer_sweep(const char *directory)
{
    DIR *entries = opendir(directory);
    int folder = entries ? dirfd(entries) : -1;
    const struct dirent *entry;

    while (folder >= 0 && (entry = readdir(entries))) {
        size_t length = strlen(entry->d_name), suffix = sizeof temporary_suffix - 1;
        if (strncmp(entry->d_name, temporary_prefix, sizeof temporary_prefix - 1) == 0 && length > suffix &&
            strcmp(entry->d_name + length - suffix, temporary_suffix) == 0)
            unlinkat(folder, entry->d_name, 0);
    }
    if (entries)
        closedir(entries);
}
