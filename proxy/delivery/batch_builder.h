/* Makes struct message of an agent's messages: of one, or of several that become one batch
 * (forward/batch_encoder.h). Inserts tag prefixes and chunk ids, and calls body_filter.h to rewrite bodies. A
 * batch gets the fields of --add-identity when it is complete; the limits of a batch count them.
 *
 * A framer has a builder while it finds messages, and while a batch waits for further messages
 * (--batch-delay). Knows neither agent nor aggregator. Belongs to its worker's thread. */
#ifndef HUSK_DELIVERY_BATCH_BUILDER_H
#define HUSK_DELIVERY_BATCH_BUILDER_H

#include "base/buffer.h"
#include "delivery/body_filter.h"
#include "delivery/chunk_ids.h"
#include "delivery/message.h"
#include "delivery/message_policy.h"
#include "forward/batch_encoder.h"
#include "runtime/route.h"

/* What the builders of one worker share. */
struct batch_builder_shared {
    const struct route_options *route; /* borrowed, as are the next three */
    struct body_filter *bodies;
    struct chunk_ids *chunk_ids;
    struct buffer_pool *pool;
    struct batch_builder *spare; /* owned: kept for the next one; NULL: none */
};

struct batch_builder {
    struct batch_builder_shared *shared; /* borrowed */

    /* The batch. */
    unsigned count;    /* messages in it; 0: it is empty */
    uint64_t events;   /* events in them, as far as known */
    uint64_t due_ms;   /* when --batch-delay ends for the batch, on the reactor's clock */
    size_t held_bytes; /* bytes at the front of the agent's bytes that are in the batch and not encoded yet:
                          its only message, or in passthrough all its messages */
    struct scanner first; /* describes its only message */
    struct batch_encoder encoder;
};

/* The message of an agent that has just ended. All pointers are borrowed. */
struct batch_candidate {
    struct buffer *incoming;             /* the bytes of the agent; the message begins after held_bytes */
    struct scanner *scanner;             /* at SCANNER_END */
    const struct message_permit *permit; /* of the agent */
    uint64_t now_ms;                     /* on the reactor's clock */
};

/* An empty builder. The caller must close it. NULL when out of memory. */
struct batch_builder *batch_builder_open(struct batch_builder_shared *shared);
/* Frees the builder, and loses the messages in its batch. */
void batch_builder_close(struct batch_builder *builder);
/* Frees what the builders shared. */
void batch_builder_shared_deinit(struct batch_builder_shared *shared);

/* The bytes that the batch holds, beyond held_bytes. */
size_t batch_builder_bytes(const struct batch_builder *builder);

/* The number of messages that the message counts as: a batch of another husk has one for each event. */
uint64_t batch_builder_count(const struct batch_builder *builder, const struct batch_candidate *candidate);
/* The number of events in a message that may be in a batch with others; 0: it must go alone. */
uint64_t batch_builder_events(const struct batch_builder *builder, const struct batch_candidate *candidate);
/* Whether a message that may be in a batch, with `events` events, may join the batch of the builder. An empty
 * batch takes any. */
bool batch_builder_takes(const struct batch_builder *builder, const struct batch_candidate *candidate,
                         uint64_t events);
/* Adds the message. False when out of memory: the messages of the batch are lost. */
MUST_CHECK bool batch_builder_add(struct batch_builder *builder, const struct batch_candidate *candidate,
                                  uint64_t events);
/* Removes the batch from the builder, and held_bytes bytes from the bytes of the agent. END_NONE and the
 * message; or why the messages are lost. */
enum end_reason batch_builder_finish(struct batch_builder *builder, struct buffer *incoming,
                                     const struct message_permit *permit, struct message **message);
/* Removes a message that goes alone from the bytes of the agent; the builder must be empty. END_NONE and the
 * message; END_NO_MEMORY; or why the message must not be sent: its bytes stay then. */
enum end_reason batch_builder_pass(struct batch_builder *builder, const struct batch_candidate *candidate,
                                   struct message **message);
/* Leaves out the invalid events of a message that joins no batch, see body_filter_skip_invalid. The builder
 * must be empty. False when out of memory: the bytes of the agent are incomplete then. */
MUST_CHECK bool batch_builder_skip_invalid(struct batch_builder *builder,
                                           const struct batch_candidate *candidate);

#endif
