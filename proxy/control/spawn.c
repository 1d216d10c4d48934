#include "control/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

enum {
    FIRST_FD = 3, /* SD_LISTEN_FDS_START */
    PID_BYTES = 32,
    NUMBER_DIGITS_MAX = 20,
    WORDS_STEP_BYTES = 4096,
    EXEC_FAILED_STATUS = 127
};

static const char listen_pid[] = "LISTEN_PID=", listen_fds[] = "LISTEN_FDS=",
                  listen_names[] = "LISTEN_FDNAMES=", watchdog_pid[] = "WATCHDOG_PID=";

/* Everything that the child needs after fork, when only async-signal-safe functions are allowed. */
struct spawn {
    const char *path;
    char *words; /* of `argv` */
    char **argv, **envp;
    char *listen_names, listen_fds[PID_BYTES];
    char listen_pid[PID_BYTES], watchdog_pid[PID_BYTES]; /* the child appends its number */
    int *fds; /* duplicates, above the numbers that the child uses */
    unsigned fd_count;
    sigset_t mask; /* of the child */
};

/* ---- sockets ---- */

bool spawn_sockets_add(struct spawn_sockets *sockets, int fd, const char *name)
{
    struct spawn_socket *items = realloc(sockets->items, (sockets->count + 1) * sizeof *items);

    if (!items)
        return false;
    sockets->items = items;
    struct spawn_socket *added = &items[sockets->count++];
    added->fd = fd;
    snprintf(added->name, sizeof added->name, "%s", name);
    return true;
}

void spawn_sockets_free(struct spawn_sockets *sockets)
{
    free(sockets->items);
    *sockets = (struct spawn_sockets) { 0 };
}

static bool fds_prepare(struct spawn *spawn, const struct spawn_sockets *sockets, struct fault *fault)
{
    if (!(spawn->fds = calloc(sockets->count + 1, sizeof *spawn->fds))) {
        fault_set(fault, "out of memory");
        return false;
    }
    for (unsigned i = 0; i < sockets->count; i++) {
        int fd = fcntl(sockets->items[i].fd, F_DUPFD_CLOEXEC, FIRST_FD + (int)sockets->count);
        if (fd < 0) {
            fault_set(fault, "cannot hand over the sockets: %s", strerror(errno));
            return false;
        }
        spawn->fds[spawn->fd_count++] = fd;
    }
    return true;
}

/* ---- arguments ---- */

const char *spawn_path(void)
{
    return (const char *)getauxval(AT_EXECFN);
}

/* Reads the arguments of this process, each with its zero. */
static bool words_read(struct spawn *spawn, size_t *length, struct fault *fault)
{
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : 1;

    for (*length = 0; got > 0; *length += (size_t)got) {
        char *words = realloc(spawn->words, *length + WORDS_STEP_BYTES + 1);
        if (!words)
            got = -1;
        else
            got = read(fd, (spawn->words = words) + *length, WORDS_STEP_BYTES);
        if (got <= 0)
            break;
    }
    if (fd >= 0)
        close(fd);
    if (got == 0 && *length)
        return true;
    fault_set(fault, "cannot read /proc/self/cmdline: %s", strerror(errno));
    return false;
}

static bool argv_prepare(struct spawn *spawn, struct fault *fault)
{
    size_t length, count = 0;

    if (!words_read(spawn, &length, fault))
        return false;
    for (size_t i = 0; i < length; i++)
        count += !spawn->words[i];
    if (!(spawn->argv = calloc(count + 1, sizeof *spawn->argv))) {
        fault_set(fault, "out of memory");
        return false;
    }
    char *word = spawn->words;
    for (size_t i = 0; i < count; i++) {
        spawn->argv[i] = word;
        word += strlen(word) + 1;
    }
    return true;
}

/* ---- environment ---- */

static bool begins_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_replaced(const char *variable)
{
    return begins_with(variable, listen_pid) || begins_with(variable, listen_fds) ||
           begins_with(variable, listen_names) || begins_with(variable, watchdog_pid);
}

static bool names_prepare(struct spawn *spawn, const struct spawn_sockets *sockets)
{
    size_t size = sizeof listen_names + (size_t)sockets->count * INHERITED_NAME_BYTES;

    if (!(spawn->listen_names = calloc(1, size)))
        return false;
    char *end = stpcpy(spawn->listen_names, listen_names);
    for (unsigned i = 0; i < sockets->count; i++)
        end += sprintf(end, "%s%s", i ? ":" : "", sockets->items[i].name);
    return true;
}

static bool envp_prepare(struct spawn *spawn, const struct spawn_sockets *sockets, struct fault *fault)
{
    size_t count = 0, own = 4;

    for (char **variable = environ; *variable; variable++)
        count++;
    spawn->envp = calloc(count + own + 1, sizeof *spawn->envp);
    if (!spawn->envp || !names_prepare(spawn, sockets)) {
        fault_set(fault, "out of memory");
        return false;
    }
    count = 0;
    for (char **variable = environ; *variable; variable++) {
        if (!is_replaced(*variable))
            spawn->envp[count++] = *variable;
    }
    snprintf(spawn->listen_fds, sizeof spawn->listen_fds, "%s%u", listen_fds, sockets->count);
    snprintf(spawn->listen_pid, sizeof spawn->listen_pid, "%s", listen_pid);
    snprintf(spawn->watchdog_pid, sizeof spawn->watchdog_pid, "%s", watchdog_pid);
    spawn->envp[count++] = spawn->listen_fds;
    spawn->envp[count++] = spawn->listen_pid;
    spawn->envp[count++] = spawn->listen_names;
    if (getenv("WATCHDOG_PID"))
        spawn->envp[count] = spawn->watchdog_pid;
    return true;
}

/* ---- the child ---- */

static void number_append(char *text, unsigned long number)
{
    char digits[NUMBER_DIGITS_MAX];
    unsigned count = 0;

    do
        digits[count++] = (char)('0' + number % 10);
    while (number /= 10);
    text += strlen(text);
    while (count)
        *text++ = digits[--count];
    *text = '\0';
}

/* Signals that this process handles are as at its start. SIGHUP and SIGUSR2 would end a program that does not
 * handle them yet. */
static void signals_reset(const sigset_t *mask)
{
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    signal(SIGCHLD, SIG_DFL);
    signal(SIGHUP, SIG_IGN);
    signal(SIGUSR2, SIG_IGN);
    sigprocmask(SIG_SETMASK, mask, NULL);
}

/* Only async-signal-safe functions. */
static _Noreturn void child_run(struct spawn *spawn)
{
    number_append(spawn->listen_pid, (unsigned long)getpid());
    number_append(spawn->watchdog_pid, (unsigned long)getpid());
    for (unsigned i = 0; i < spawn->fd_count; i++) {
        if (dup2(spawn->fds[i], FIRST_FD + (int)i) < 0)
            _exit(EXEC_FAILED_STATUS);
    }
    (void)close_range(FIRST_FD + spawn->fd_count, UINT_MAX, 0); /* all others are close-on-exec, too */
    signals_reset(&spawn->mask);
    execve(spawn->path, spawn->argv, spawn->envp);
    _exit(EXEC_FAILED_STATUS);
}

/* A signal that comes between fork and exec would run a handler of this process in the child. */
static pid_t child_start(struct spawn *spawn, struct fault *fault)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &spawn->mask);
    pid_t child = fork();
    if (child == 0)
        child_run(spawn);
    pthread_sigmask(SIG_SETMASK, &spawn->mask, NULL);
    if (child < 0)
        fault_set(fault, "cannot start a process: %s", strerror(errno));
    return child;
}

static bool path_prepare(struct spawn *spawn, struct fault *fault)
{
    spawn->path = spawn_path();
    if (spawn->path && access(spawn->path, X_OK) == 0)
        return true;
    fault_set(fault, "cannot run %s: %s", spawn->path ? spawn->path : "the program", strerror(errno));
    return false;
}

static void spawn_free(struct spawn *spawn)
{
    while (spawn->fd_count)
        close(spawn->fds[--spawn->fd_count]);
    free(spawn->fds);
    free(spawn->words);
    free(spawn->argv);
    free(spawn->envp);
    free(spawn->listen_names);
}

pid_t spawn_self(const struct spawn_sockets *sockets, struct fault *fault)
{
    struct spawn spawn = { .fds = NULL };
    pid_t child = -1;

    if (path_prepare(&spawn, fault) && argv_prepare(&spawn, fault) && envp_prepare(&spawn, sockets, fault) &&
        fds_prepare(&spawn, sockets, fault))
        child = child_start(&spawn, fault);
    spawn_free(&spawn);
    return child;
}
