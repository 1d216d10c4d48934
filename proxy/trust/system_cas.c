#include "trust/system_cas.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const places[] = {
    "/etc/ssl/certs/ca-certificates.crt", /* Debian, Ubuntu, Alpine, Arch */
    "/etc/pki/tls/certs/ca-bundle.crt",   /* Fedora, RHEL */
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem", /* openSUSE */
    "/etc/ssl/cert.pem",
};

const char *system_cas_find(struct fault *fault)
{
    const char *given = getenv("SSL_CERT_FILE");

    if (given && given[0] && access(given, F_OK) == 0)
        return given;
    if (given && given[0]) {
        fault_set(fault, "--ca system: the environment variable SSL_CERT_FILE names %s: %s", given,
                  strerror(errno));
        return NULL;
    }
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (access(places[i], F_OK) == 0)
            return places[i];
    }
    fault_set(fault,
              "--ca system: the system has no file of CAs at %s or another usual place: install the package "
              "ca-certificates, or name the file in the environment variable SSL_CERT_FILE",
              places[0]);
    return NULL;
}
