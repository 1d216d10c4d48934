/* A message too large to be held whole: it goes upstream while it is read.
 *
 *   WAITING ──exchange leases it a carrier──▶ FLOWING ──its last byte──▶ filed with the carrier
 *      ▲                                         │
 *      └── carrier ends, all of it is kept ──────┘   (not kept: its agent is reset)
 *
 * Between the intake that reads it and the carrier it has to itself; belongs to the intake. Its bytes are
 * kept as well, if it is to be protected, for as long as there is room for them. The option is held back
 * until it is whole: there the ack is asked for. */
#ifndef HUSK_DELIVERY_CUT_THROUGH_H
#define HUSK_DELIVERY_CUT_THROUGH_H

#include "forward/scanner.h"
#include "delivery/message.h"

#include <sys/queue.h>

struct carrier;

enum { STREAM_OPTION_BYTES_MAX = 65536 }; /* longest option of a message that is streamed */

struct stream {
    TAILQ_ENTRY(stream) waiting; /* in the exchange's list while it has no carrier */
    struct intake *intake;       /* borrowed: its owner */
    struct carrier *carrier;     /* leased; NULL: waiting for one */
    struct message *message;     /* owned: what is kept of it, and what its end will say */
    uint64_t waiting_since_ms;
    uint64_t taken;       /* bytes of it, as read, that were moved on */
    bool has_chunk_value; /* the head has promised our own chunk id */
    uint8_t chunk_value[CHUNK_ID_VALUE_BYTES];
};

/* Begins one for the message at the front of the intake's bytes, whose head is scanned. NULL when out of
 * memory. */
struct stream *stream_open(struct intake *intake, const struct scanner *scanner);

/* Moves on what has been scanned, as far as its carrier takes it. False when out of memory. */
MUST_CHECK bool stream_flow(struct stream *stream, const struct scanner *scanner);

/* Its last byte is scanned: hands it over, and frees the stream. False when out of memory: then the stream
 * stays. */
MUST_CHECK bool stream_finish(struct stream *stream, const struct scanner *scanner);

/* A carrier is its own now: gives it what is kept. */
void stream_lease(struct stream *stream, struct carrier *carrier);

/* Its carrier has ended. True when it can begin again on another one. */
MUST_CHECK bool stream_lost(struct stream *stream);

/* Its agent is gone in the middle of it. Ends its carrier, if it has one, and frees the stream. */
void stream_abandon(struct stream *stream);

/* It waits, or its carrier takes no more for the moment: its agent is not to be read. */
bool stream_is_blocked(const struct stream *stream);

#endif
