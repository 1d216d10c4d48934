/* An X.509-SVID with its key, the trust bundles and the revocation lists, read from an answer of the SPIFFE
 * Workload API. Knows the message and X.509; knows nothing of the connection that brought it.
 *
 * The key is in memory that is wiped when it is freed. */
#ifndef HUSK_TRUST_SVID_H
#define HUSK_TRUST_SVID_H

#include "base/fault.h"
#include "trust/certificate_facts.h"
#include "trust/revocation.h"
#include "trust/svid_bundles.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct evp_pkey_st;

/* An X509SVIDResponse (SPIFFE Workload API, 5.1). Borrowed. */
struct svid_message {
    const uint8_t *bytes;
    size_t length;
};

/* Where an X.509-SVID comes from, and which one of several is taken. All texts are borrowed. */
struct svid_source {
    const char
        *socket; /* of the Workload API: an address of wire/address.h; NULL: the credentials are files */
    const char *spiffe_id; /* NULL: any */
    const char *hint;      /* NULL: any */
};

struct svid {
    struct stack_st_X509 *chain; /* leaf first */
    struct evp_pkey_st *key;
    struct svid_bundles *bundles; /* our own trust domain first */
    struct stack_st_X509 *cas;    /* of all bundles */
    struct revocation *revocation;
    char id[SPIFFE_ID_BYTES];
};

/* Whether husk is built with what reads the Workload API: libnghttp2 and libprotobuf-c. */
bool svid_is_built_in(void);

bool svid_source_equal(const struct svid_source *a, const struct svid_source *b);

/* Whether the message has SVIDs, and none that fits `source`: each message has all SVIDs, so the server has
 * taken back the one that was in use (SPIFFE Workload API, 5.2.1). */
bool svid_is_redacted(const struct svid_message *message, const struct svid_source *source);

/* Reads the first SVID of the message that fits `source` (SPIFFE Workload API, 5.3: the first is the
 * default), all bundles, and the lists of the message and of `lists`. Checks that everything that the
 * standard requires is there, that the SVID is a leaf, that its chain is in order and valid now, and that its
 * key fits. The owner frees `svid`, which is all zeros before, also after a failure. The fault begins with
 * the socket. */
MUST_CHECK bool svid_read(struct svid *svid, const struct svid_message *message,
                          const struct svid_source *source, const struct revocation_options *lists,
                          struct fault *fault);
void svid_deinit(struct svid *svid);

/* The same, to tell what the SVID says. */
MUST_CHECK bool svid_inspect(struct certificate_facts *leaf, const struct svid_message *message,
                             const struct svid_source *source, const struct revocation_options *lists,
                             struct fault *fault);

#endif
