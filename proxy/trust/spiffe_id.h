/* SPIFFE IDs (SPIFFE-ID, 2): "spiffe://", a trust domain, and a path. Pure. */
#ifndef HUSK_TRUST_SPIFFE_ID_H
#define HUSK_TRUST_SPIFFE_ID_H

#include <stdbool.h>

#define SPIFFE_DOMAIN_LETTERS "abcdefghijklmnopqrstuvwxyz0123456789.-_"

enum {
    SPIFFE_ID_BYTES = 2049,    /* SPIFFE-ID, 2.3, and the NUL */
    SPIFFE_DOMAIN_BYTES = 256, /* the same */
};

/* Reads the ID of a workload, which has a path that is not "/" (X509-SVID, 5.2). Fills `domain` with its
 * trust domain. False: the text is no such ID. */
bool spiffe_id_read(const char *text, char domain[SPIFFE_DOMAIN_BYTES]);

/* Reads the ID of a trust domain, which has no path. */
bool spiffe_id_read_domain(const char *text, char domain[SPIFFE_DOMAIN_BYTES]);

#endif
