#include "check/listen_address.h"

#include "base/clock.h"
#include "check/connection.h"
#include "check/subject.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CONNECT_TIMEOUT_MS = 2000, ACCESS_BITS = 0777 };

void listen_address_subject(struct subject *subject, const struct report *report,
                            const struct listen_address *listen)
{
    char text[ADDRESS_TEXT_BYTES];

    socket_address_format(listen->address, text, sizeof text);
    subject_of_item(subject, report->words, listen->setting, listen->index, text);
}

/* Without the port, agents with UDP heartbeats take husk for dead. husk starts all the same. */
static void heartbeats_check(struct report *report, const struct subject *subject,
                             const struct listen_address *listen)
{
    struct fault fault;

    if (!listen->takes_heartbeats || listen->address->storage.ss_family == AF_UNIX)
        return;
    int fd = socket_bind_datagram(listen->address, &fault);
    if (fd >= 0) {
        close(fd);
        return;
    }
    report_add(report, FINDING_WARNING, subject, "UDP heartbeats will not be answered: %s", fault.text);
    report_advise(report, "free the UDP port, or set --udp-heartbeats off");
}

/* The first directory of the path that other users may not enter. False: there is none. */
static bool closed_directory_find(const char *path, char directory[PATH_MAX], mode_t *mode)
{
    struct stat facts;

    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        size_t length = slash == path ? 1 : (size_t)(slash - path);
        if (length >= PATH_MAX)
            return false;
        memcpy(directory, path, length);
        directory[length] = '\0';
        if (stat(directory, &facts) == 0 && !(facts.st_mode & S_IXOTH)) {
            *mode = facts.st_mode & ACCESS_BITS;
            return true;
        }
    }
    return false;
}

/* The file may be open to all users, and its directory closed to them. */
static void directory_check(struct report *report, const struct subject *subject,
                            const struct listen_address *listen)
{
    const char *path = socket_address_path(listen->address);
    char directory[PATH_MAX];
    mode_t mode;

    if (!path || !listen->access || !(listen->access->mode & S_IWOTH) ||
        !closed_directory_find(path, directory, &mode))
        return;
    report_add(report, FINDING_NOTE, subject,
               "only users who may enter the directory %s (mode %04o) can connect", directory,
               (unsigned)mode);
}

static enum end_reason try_to_connect(const struct socket_address *address)
{
    int fd;
    enum end_reason reason = connection_open(address, clock_monotonic_ms() + CONNECT_TIMEOUT_MS, &fd);

    if (fd >= 0)
        close(fd);
    return reason;
}

void listen_address_check_free(struct report *report, const struct listen_address *listen)
{
    struct subject subject;
    struct fault fault;

    listen_address_subject(&subject, report, listen);
    int fd = socket_listen(listen->address, SOCKET_EXCLUSIVE, listen->access, &fault);
    if (fd < 0) {
        bool is_taken = errno == EADDRINUSE; /* with another error, who answers is on another machine */
        report_add(report, FINDING_PROBLEM, &subject, "%s", fault.text);
        if (is_taken && try_to_connect(listen->address) == END_NONE)
            report_advise(report,
                          "a program listens there: if it is a husk with these settings, add --running");
        return;
    }
    struct socket_file file = socket_file_of(listen->address);
    socket_file_remove(&file, listen->address);
    close(fd);
    report_add(report, FINDING_OK, &subject, "husk can listen there");
    directory_check(report, &subject, listen);
    heartbeats_check(report, &subject, listen);
}

bool listen_address_check_running(struct report *report, const struct listen_address *listen)
{
    enum end_reason reason = try_to_connect(listen->address);
    struct subject subject;

    listen_address_subject(&subject, report, listen);
    if (reason == END_NONE) {
        report_add(report, FINDING_OK, &subject, "a program accepts connections there");
        return true;
    }
    report_add(report, FINDING_PROBLEM, &subject, "no program accepts connections there: %s",
               end_reason_phrase(reason));
    report_advise(report, "start husk with these settings, or leave --running out");
    return false;
}
