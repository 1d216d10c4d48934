#include "trust/client_certificate.h"

#include <openssl/ssl.h>

int client_certificate_verify_mode(enum client_certificate certificate)
{
    switch (certificate) {
    case CLIENT_CERTIFICATE_NONE:
        return SSL_VERIFY_NONE;
    case CLIENT_CERTIFICATE_OPTIONAL:
        return SSL_VERIFY_PEER;
    default:
        return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    }
}

void client_certificate_warn(enum client_certificate certificate, struct log *log)
{
    struct log_line line;

    if (certificate == CLIENT_CERTIFICATE_REQUIRE)
        return;
    log_begin_words(&line, log, LOG_WARN, SIDE_DOWNSTREAM,
                    "--client-certificate: clients without a certificate are admitted");
    log_end(&line);
}
