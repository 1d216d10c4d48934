#include "base/regular_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *failure_phrase(const char *path, int error)
{
    struct stat status;

    return error == ENOENT && lstat(path, &status) == 0 ? "a symbolic link to a file that does not exist"
                                                        : strerror(error);
}

/* The process has no right to read the file, or to enter a directory of the path. The fault names the user of
 * husk and the owner of the file, because an operator cannot easily see them in a container or a service. */
static void denied_set(struct fault *fault, const char *path)
{
    struct stat status;
    unsigned uid = geteuid(), gid = getegid();

    if (stat(path, &status) == 0)
        fault_set(
            fault,
            "Permission denied: husk runs as user %u and group %u, the file is of user %u and group %u with "
            "mode %04o: let a group of husk read the file",
            uid, gid, (unsigned)status.st_uid, (unsigned)status.st_gid, status.st_mode & 07777U);
    else
        fault_set(fault,
                  "Permission denied: husk runs as user %u and group %u: let a group of husk enter "
                  "each directory of the path",
                  uid, gid);
}

/* O_NONBLOCK: to open a FIFO would wait for a writer. */
int regular_file_open(const char *path, struct fault *fault)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat status;

    if (descriptor < 0 && errno == EACCES)
        denied_set(fault, path);
    else if (descriptor < 0 || fstat(descriptor, &status) < 0)
        fault_set(fault, "%s%s", failure_phrase(path, errno),
                  strchr(path, '$') ? "; a configuration file has variables as ${NAME}" : "");
    else if (!S_ISREG(status.st_mode))
        fault_set(fault, "it is %s, not a regular file",
                  S_ISDIR(status.st_mode) ? "a directory" : "a device, socket or pipe");
    else
        return descriptor;
    if (descriptor >= 0)
        close(descriptor);
    return -1;
}
