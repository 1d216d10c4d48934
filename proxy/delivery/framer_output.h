/* What a framer (framer.h) holds, and how it hands up what it has found: messages, batches, parts of a large
 * message, and reports of invalid events. Removes the bytes of what is handed up or discarded.
 *
 * Knows the current message by its scanner; drives no scanner. Belongs to its worker's thread. */
#ifndef HUSK_DELIVERY_FRAMER_OUTPUT_H
#define HUSK_DELIVERY_FRAMER_OUTPUT_H

#include "base/buffer.h"
#include "base/end_reason.h"
#include "delivery/batch_builder.h"
#include "delivery/message.h"
#include "delivery/message_policy.h"
#include "delivery/tag_text.h"
#include "forward/link.h"
#include "forward/scanner.h"
#include "runtime/route.h"

/* A message on a link that was refused and whose last byte is scanned. */
struct framer_refusal {
    const uint8_t *id;   /* value of its chunk id, header included; borrowed */
    size_t id_length;    /* 0: it has none */
    uint64_t events;     /* in it; at least 1 */
    bool comes_in_parts; /* a batch that is too long: the calling husk sends its events again, in several
                            messages */
    enum end_reason reason;
};

/* The invalid events of a message, or a foreign value. */
struct framer_invalid {
    const uint32_t *faults;      /* see struct scanner; borrowed */
    bool is_passed;              /* the message is sent upstream with its invalid events */
    uint8_t tag[TAG_TEXT_SHOWN]; /* its first bytes */
    size_t tag_length;           /* of the whole tag; 0: the message has none, or its bytes are gone */
};

typedef enum end_reason (*framer_on_large)(void *owner, const struct scanner *scanner);

/* Synchronous callbacks. A result other than END_NONE says why the connection must end. */
struct framer_events {
    /* A message or batch is whole. The owner takes it. */
    void (*on_message)(void *owner, struct message *message);
    /* A message that is too large to hold is being read. The owner may remove bytes that `scanner` has
     * scanned from the front of framer_bytes. Called each time bytes have arrived. */
    framer_on_large on_large;
    /* The last byte of that message is scanned. The owner removes all bytes of the message. */
    framer_on_large on_large_end;
    /* The rest of the large message is not handed up: the message is refused, or it is a foreign value. */
    void (*on_large_dropped)(void *owner);
    /* Invalid events, or a value that is no Forward message, were found. */
    void (*on_invalid)(void *owner, const struct framer_invalid *invalid);

    /* ---- on a link ---- */

    /* A frame of the calling husk. Messages before it were handed up before. */
    enum end_reason (*on_frame)(void *owner, const struct link_request *frame);
    /* A message was refused. */
    void (*on_refused)(void *owner, const struct framer_refusal *refusal);
};

enum framer_source {
    FRAMER_FROM_AGENT,
    FRAMER_FROM_HUSK, /* perhaps a husk: the peer is treated as an agent, but may send frames */
    FRAMER_FROM_LINK,
};

enum framer_fate {
    FRAMER_HANDS_UP,
    FRAMER_REFUSES, /* on a link: discarded, then on_refused */
    FRAMER_SKIPS,   /* a foreign value: discarded, then handed up without bytes */
};

/* What the framers of one worker share. */
struct framer_shared {
    const struct framer_events *events; /* borrowed, as is the next one */
    const struct route_options *route;
    struct batch_builder_shared building;
    struct scanner *spare; /* owned: kept for the next scan; NULL: none */
};

struct framer {
    struct framer_shared *shared;  /* borrowed */
    void *owner;                   /* borrowed: passed to the callbacks */
    struct message_permit *permit; /* borrowed: what the agent may write */
    struct buffer incoming;        /* bytes of a batch that waits, the current message, and bytes after it */
    struct scanner *scan;          /* owned; NULL: between two messages */
    struct batch_builder *builder; /* owned; NULL: no batch waits */
    size_t scanned_bytes;          /* bytes of `incoming` that are scanned */
    size_t removed_bytes;          /* bytes of the current message that are no longer in `incoming` */
    enum framer_source source;
    enum framer_fate fate;       /* of the current message */
    enum end_reason refused_for; /* FRAMER_REFUSES: the reason */
    bool is_mid_frame;           /* a frame has begun, and the rest is missing */
    bool is_cut_through;         /* the current message is handed up as a large one */
    bool has_found;              /* a message or frame has been found */
    bool is_stopping;            /* nothing is taken after the current message or frame */
    bool is_paused;              /* the same, for a while */
};

/* Each function returns END_NONE, or why the connection must end. */

/* Hands up the batch before the current message. */
enum end_reason framer_output_flush(struct framer *framer);
/* Adds the current message, with this number of events, to the batch. */
enum end_reason framer_output_add(struct framer *framer, const struct batch_candidate *whole,
                                  uint64_t events);
/* Hands up the current message alone; there is no batch before it. On a link, refuses a message that must not
 * be sent. */
enum end_reason framer_output_pass(struct framer *framer, const struct batch_candidate *whole);
/* Hands up the current message as an empty message, and removes its bytes. */
enum end_reason framer_output_skip(struct framer *framer);
/* On a link: removes the current message, whose last byte is scanned, and reports that it is refused. */
void framer_output_refuse(struct framer *framer, enum end_reason reason);
/* Calls a callback for the large message, and subtracts the bytes that the owner has removed. */
enum end_reason framer_output_large(struct framer *framer, framer_on_large on_bytes);
/* The last byte of the large message is scanned. */
enum end_reason framer_output_large_end(struct framer *framer);

/* Removes bytes of the current message up to the offset `end`; there is no batch before it. */
void framer_output_discard(struct framer *framer, uint64_t end);
/* Removes the scanned bytes of the current message. The option, which has the chunk id, stays until the end.
 */
void framer_output_discard_scanned(struct framer *framer);

/* Reports the invalid events of the current message. */
void framer_output_report_invalid(struct framer *framer);

#endif
