/* What the two sides of a TLS connection agreed on. */
#ifndef HUSK_WIRE_TLS_FACTS_H
#define HUSK_WIRE_TLS_FACTS_H

#include "base/metrics.h"

#include <stdbool.h>

struct ssl_st;

struct tls_facts {
    enum metrics_tls_version version;
    enum metrics_cipher cipher;
    enum metrics_group group; /* of a session that TLS 1.2 resumes: the group of its first handshake */
    bool resumed;
};

/* Only after the handshake. */
struct tls_facts tls_facts_of(const struct ssl_st *ssl);

#endif
