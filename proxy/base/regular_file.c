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

/* O_NONBLOCK: to open a FIFO would wait for a writer. */
int regular_file_open(const char *path, struct fault *fault)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat status;

    if (descriptor < 0 || fstat(descriptor, &status) < 0)
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
