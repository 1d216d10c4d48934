/* Finds the messages in one agent's bytes, judges them, and hands them up: whole ones, several of them as a
 * batch where they come together, and large ones while they are read.
 *
 * The only part of delivery that knows the scanner's life. Owns the bytes of the message under way and, while
 * a message is under way, the state of the scan. Knows neither connections nor loops: bytes and the time go
 * in, messages come out. Belongs to its worker's thread. */
#ifndef HUSK_DELIVERY_FRAMER_H
#define HUSK_DELIVERY_FRAMER_H

#include "base/buffer.h"
#include "base/end_reason.h"
#include "delivery/body_filter.h"
#include "delivery/chunk_ids.h"
#include "delivery/message.h"
#include "delivery/message_policy.h"
#include "forward/scanner.h"
#include "runtime/route.h"

/* Handed up synchronously. A result other than END_NONE says why the agent's bytes cannot go on. */
struct framer_events {
    /* A message or batch is whole. The owner takes it. */
    void (*on_message)(void *owner, struct message *message);
    /* A message that is too large to hold is under way. The owner may take bytes that `scanner` has scanned
     * off the front of framer_bytes. Called each time bytes have come. */
    enum end_reason (*on_large)(void *owner, const struct scanner *scanner);
    /* The same, once the last byte is scanned. The owner takes all bytes of the message. */
    enum end_reason (*on_large_end)(void *owner, const struct scanner *scanner);
};

/* Two scanners, so that one still tells about the last whole message while the other is in the next one. */
struct framer_scan {
    struct scanner scanners[2];
    unsigned at; /* the one in use */
};

/* What the framers of one worker share. */
struct framer_shared {
    const struct framer_events *events; /* borrowed, as are the next three */
    const struct route_options *route;
    struct body_filter *bodies;
    struct chunk_ids *chunk_ids;
    struct framer_scan *spare; /* owned: for the next scan; NULL: none */
};

struct framer {
    struct framer_shared *shared;  /* borrowed */
    void *owner;                   /* borrowed: of the events */
    struct message_permit *permit; /* borrowed: what the agent may write */
    struct buffer incoming;        /* the message under way, and bytes behind it */
    struct framer_scan *scan;      /* owned; NULL: between two messages */
    size_t scanned_bytes;          /* of incoming */
    size_t batch_bytes;            /* of them, whole messages that are not handed up yet */
    unsigned batch_count;          /* and how many messages */
    bool is_cut_through;           /* the message under way has been handed up as a large one */
    bool has_found;                /* a message has been handed up */
    uint64_t batch_events;         /* in the batch, as far as its messages say how many */
};

void framer_init(struct framer *framer, struct framer_shared *shared, struct buffer_pool *pool, void *owner,
                 struct message_permit *permit);
void framer_deinit(struct framer *framer);
/* Frees what the framers shared. */
void framer_shared_deinit(struct framer_shared *shared);

/* Where the agent's bytes are to be put. */
static inline struct buffer *framer_bytes(struct framer *framer)
{
    return &framer->incoming;
}

/* Scans what has come and hands up what is whole, as far as rate limits allow. END_NONE, or why the bytes
 * cannot go on.
 */
enum end_reason framer_advance(struct framer *framer, uint64_t now_ms);

/* How long a rate limit makes the next message wait; 0: it need not. While it waits the message is not
 * scanned. An agent that has sent nothing more does not wait, so that its end is seen. */
uint64_t framer_wait_ms(const struct framer *framer, uint64_t now_ms);

/* The agent has sent a part of a message, and the rest is still to come. */
bool framer_is_mid_message(const struct framer *framer);

/* Not a byte of a message has come. */
bool framer_is_untouched(const struct framer *framer);

/* How many bytes may be held of what is not whole. */
size_t framer_window(const struct framer *framer);
/* How many bytes the message under way has, as far as its headers say. */
size_t framer_announced_bytes(const struct framer *framer);

/* Between two messages: the state of the scan goes back. */
void framer_rest(struct framer *framer);

#endif
