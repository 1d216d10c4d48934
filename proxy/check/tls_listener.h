/* Tests the TLS of a listener as its clients see it: TLS handshakes between the credentials of the listener
 * and a client, in memory, and, if asked to, with a husk that runs.
 *
 * Says what was tested, and what was not: without a certificate of a client nobody knows whether this client
 * is admitted. */
#ifndef HUSK_CHECK_TLS_LISTENER_H
#define HUSK_CHECK_TLS_LISTENER_H

#include "check/listen_address.h"
#include "check/report.h"
#include "trust/certificate_facts.h"
#include "trust/credentials.h"

#include <stdint.h>

/* Everything is borrowed. The files of `server` have no problem (check/tls_files.h). */
struct tls_listener {
    const struct credentials_options *server; /* of the listener */
    const struct certificate_facts *leaf;     /* its own certificate */
    /* The client: its certificate, key and passphrase, and the CAs that it knows. cert_file NULL: there is no
     * certificate of a client; ca_file NULL: the CAs of the listener. */
    const struct credentials_options *client;
    const struct listen_address *addresses; /* of a husk that runs, to be called; may be NULL */
    size_t address_count;
    uint64_t timeout_ms; /* longest wait for one of them */
};

void tls_listener_check(struct report *report, const struct tls_listener *listener);

#endif
