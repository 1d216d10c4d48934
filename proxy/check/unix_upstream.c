#include "check/unix_upstream.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void fault_report(struct report *report, const struct subject *subject, int error)
{
    if (error == EACCES) {
        report_add(report, FINDING_PROBLEM, subject, "this user may not connect to the socket");
        report_advise(report,
                      "give the user of husk the write permission of the file, and the right to enter "
                      "each directory of its path");
    } else if (error == ENOENT) {
        report_add(report, FINDING_WARNING, subject, "there is no file with this name");
        report_advise(report, "start the aggregator; husk starts, and connects when the socket is there");
    } else {
        report_add(report, FINDING_PROBLEM, subject, "%s", strerror(error));
    }
}

void unix_upstream_check(struct report *report, const struct subject *subject, const struct address *address)
{
    struct socket_address socket;
    struct stat facts;

    const char *path = address_to_socket(address, &socket) ? socket_address_path(&socket) : NULL;
    if (!path)
        report_add(report, FINDING_OK, subject, "the name is abstract: no file shows whether it is there");
    else if (stat(path, &facts) == 0 && !S_ISSOCK(facts.st_mode))
        report_add(report, FINDING_PROBLEM, subject, "the file is no socket");
    else if (faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) != 0)
        fault_report(report, subject, errno);
    else
        report_add(report, FINDING_OK, subject, "the socket is there");
}
