/* A stream of FetchX509SVID from a SPIFFE Workload API (SPIFFE Workload API, 5.2.1): the newest answer, and
 * what is wrong with the stream.
 *
 * Owns the connection and the bytes of the newest answer, which have private keys and are wiped when they are
 * replaced. Lives on the loop of the control thread. When the stream ends, the answer stays, and husk dials
 * again after a pause that doubles, up to a limit, and is shortened by a random part. PERMISSION_DENIED
 * withdraws the answer (SPIFFE Workload API, 5.2.1). Knows nothing of X.509. */
#ifndef HUSK_CONTROL_WORKLOAD_API_H
#define HUSK_CONTROL_WORKLOAD_API_H

#include "base/fault.h"
#include "base/log.h"
#include "control/grpc_call.h"
#include "trust/svid.h"
#include "wire/address.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

enum { WORKLOAD_API_RETRY_MIN_MS = 100 };

struct workload_api_limits {
    uint64_t answer_ms;     /* for the connect, and then for the first answer, which a server sends without
                               delay (SPIFFE Workload API, 4.3) */
    uint64_t message_bytes; /* of an answer; a longer one ends the stream */
    uint64_t retry_max_ms;  /* the longest pause between two attempts, at least 1 */
};

struct workload_api_options {
    struct ev_loop *loop; /* borrowed */
    struct log *log;      /* borrowed */
    const char *socket;   /* an address of wire/address.h, without a host that DNS knows; copied */
    struct workload_api_limits limits;
    void (*on_answer)(void *owner); /* the answer differs from the one before, or is withdrawn */
    void *owner;
};

struct workload_api {
    struct workload_api_options options;
    char socket[ADDRESS_TEXT_BYTES];
    struct socket_address address;
    int fd; /* -1: none */
    ev_io readable, writable;
    ev_timer timer; /* the end of the wait for an answer, or of a pause */
    struct grpc_call *call;
    struct {
        const uint8_t *bytes; /* of the call, not written yet */
        size_t length;
    } unsent;
    uint64_t retry_ms; /* the next pause */
    uint8_t *answer;   /* owned; NULL: none yet */
    size_t answer_bytes;
    bool is_withdrawn;  /* there was an answer, and the server has taken it back */
    uint64_t answers;   /* that differ from the one before; a withdrawal counts */
    uint64_t received;  /* all answers */
    uint64_t failures;  /* ends of a stream, and failed attempts */
    int code;           /* of the gRPC status of the last stream that ended; -1: it had none */
    struct fault fault; /* why there is no stream, or no answer on it yet; empty: nothing is wrong */
};

/* Copies the options, whose socket is good, and begins to dial. The struct does not move until
 * workload_api_close. */
void workload_api_open(struct workload_api *api, const struct workload_api_options *options);
void workload_api_close(struct workload_api *api);

/* The newest answer, borrowed until the next one or the close. False: there is none, or it is withdrawn. */
bool workload_api_answer(const struct workload_api *api, struct svid_message *answer);

/* Why there is no answer, in words. */
void workload_api_describe(const struct workload_api *api, struct fault *fault);

#endif
