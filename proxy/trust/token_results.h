/* Signatures that a token makes for TLS handshakes, on their way from the token's threads to the worker that
 * has asked for them.
 *
 * A worker may end before a token has answered, so the results are shared. */
#ifndef HUSK_TRUST_TOKEN_RESULTS_H
#define HUSK_TRUST_TOKEN_RESULTS_H

#include "trust/token_sign.h"

#include <sys/queue.h>

struct token_key;
struct token_results; /* shared */

/* One signature. A handshake needs at most one. */
struct token_signature {
    STAILQ_ENTRY(token_signature) next; /* of the key's queue, later of the results */
    struct token_key *key;              /* borrowed */
    struct token_request request;
    struct token_output output;
    struct fault fault; /* why there is no output */
    bool is_made;
    enum { SIGNATURE_NEW, SIGNATURE_QUEUED, SIGNATURE_TAKEN, SIGNATURE_FINISHED } state; /* of the key */
    /* Of the thread that asks. */
    struct token_results *results; /* shared while the signature is on its way; NULL: the thread waits */
    void (*on_finished)(void *owner);
    void *owner; /* borrowed */
    uint64_t begun_us, duration_us;
    bool is_awaited;   /* on its way */
    bool is_abandoned; /* nobody waits any more: it is freed when it arrives; set under the lock of the key */
};

STAILQ_HEAD(token_signatures, token_signature);

/* `on_result` runs in a thread of a token: it must make the worker call token_results_deliver soon. NULL when
 * out of memory. */
MUST_CHECK struct token_results *token_results_new(void (*on_result)(void *owner), void *owner);
struct token_results *token_results_share(struct token_results *results);
/* Frees signatures that have arrived and were not delivered. NULL is fine. */
void token_results_release(struct token_results *results);

/* After this call `on_result` does not run. */
void token_results_close(struct token_results *results);

/* In a thread of a token: takes the signature, and its share of the results. */
void token_results_put(struct token_signature *signature);

/* In the worker: runs on_finished of each signature that has arrived; frees those that were abandoned. */
void token_results_deliver(struct token_results *results);

#endif
