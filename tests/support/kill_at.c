/* A library for LD_PRELOAD: the process kills itself at its KILL_AT-th call that changes a file, counted
 * from 1. A write is done half before. At the end the number of calls is added to the file KILL_COUNT, if it
 * is set. */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

typedef ssize_t write_function(int, const void *, size_t);
typedef int pair_function(const char *, const char *);
typedef int one_function(const char *);
typedef int number_function(int);
typedef int mode_function(int, mode_t);
typedef int path_mode_function(const char *, mode_t);
typedef int at_function(int, const char *, int);
typedef int temporary_function(char *, int, int);

static long calls;

static int is_time(void)
{
    const char *at = getenv("KILL_AT");

    calls++;
    return at && atol(at) == calls;
}

static void maybe_die(void)
{
    if (is_time())
        kill(getpid(), SIGKILL);
}

static int is_file(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

ssize_t write(int fd, const void *bytes, size_t length)
{
    write_function *real = (write_function *)dlsym(RTLD_NEXT, "write");

    if (is_file(fd) && is_time()) {
        (void)!real(fd, bytes, length / 2);
        kill(getpid(), SIGKILL);
    }
    return real(fd, bytes, length);
}

int fsync(int fd)
{
    maybe_die();
    return ((number_function *)dlsym(RTLD_NEXT, "fsync"))(fd);
}

int fchmod(int fd, mode_t mode)
{
    maybe_die();
    return ((mode_function *)dlsym(RTLD_NEXT, "fchmod"))(fd, mode);
}

int mkostemps(char *path, int suffix, int flags)
{
    maybe_die();
    return ((temporary_function *)dlsym(RTLD_NEXT, "mkostemps"))(path, suffix, flags);
}

int link(const char *from, const char *to)
{
    maybe_die();
    return ((pair_function *)dlsym(RTLD_NEXT, "link"))(from, to);
}

int rename(const char *from, const char *to)
{
    maybe_die();
    return ((pair_function *)dlsym(RTLD_NEXT, "rename"))(from, to);
}

int unlink(const char *path)
{
    maybe_die();
    return ((one_function *)dlsym(RTLD_NEXT, "unlink"))(path);
}

int unlinkat(int folder, const char *path, int flags)
{
    maybe_die();
    return ((at_function *)dlsym(RTLD_NEXT, "unlinkat"))(folder, path, flags);
}

int symlink(const char *target, const char *path)
{
    maybe_die();
    return ((pair_function *)dlsym(RTLD_NEXT, "symlink"))(target, path);
}

int mkdir(const char *path, mode_t mode)
{
    maybe_die();
    return ((path_mode_function *)dlsym(RTLD_NEXT, "mkdir"))(path, mode);
}

int rmdir(const char *path)
{
    maybe_die();
    return ((one_function *)dlsym(RTLD_NEXT, "rmdir"))(path);
}

__attribute__((destructor)) static void calls_write(void)
{
    const char *path = getenv("KILL_COUNT");
    FILE *file = path ? fopen(path, "we") : NULL;

    if (file) {
        fprintf(file, "%ld\n", calls);
        fclose(file);
    }
}
