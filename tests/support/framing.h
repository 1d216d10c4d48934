/* A framer on a link, what goes in, and a trace of what comes out. For unit tests. */
#ifndef HUSK_TESTS_SUPPORT_FRAMING_H
#define HUSK_TESTS_SUPPORT_FRAMING_H

#include "delivery/framer.h"

enum {
    FRAMING_NOW_MS = 1000,
    FRAMING_TAG_BYTES = 20, /* limits of the route */
    FRAMING_MESSAGE_BYTES = 2000,
    FRAMING_CUT_THROUGH_BYTES = 1000,
    FRAMING_STREAM_BYTES = 16384,
};

/* Messages and frames as bytes. A tag and an id have one byte. The tags a and b are allowed. */
#define PLAIN(tag) "\x93\xa1" tag "\x01\x80"
#define OPTION(id)                                                                                           \
    "\x81\xa5"                                                                                               \
    "chunk\xa1" id
#define ASKED(tag, id) "\x94\xa1" tag "\x01\x80" OPTION(id)
#define FRAME(sender)  "\x81\xa6sender" sender
#define GONE(sender)   "\x81\xa4gone" sender

struct framing {
    struct route_options route;
    struct buffer_pool pool;
    struct body_filter bodies;
    struct body_metrics metrics;
    struct chunk_ids ids;
    struct framer_shared shared;
    struct message_policy policy;
    struct message_meters meters;
    struct message_permit permit;
    struct framer framer;
    enum framer_source source_after_message, source_after_frame;
    bool sets_source;
    enum end_reason frame_verdict;
    /* What came out: "m" for each message, "f1" and "g1" for frames, "r1:json" for a refused message with the
     * id "1", "x" for a large message that is dropped, "e" for the end of one, "s1" for a message with the id
     * "1" of which nothing is left, "i2:record:a" for 2 invalid events of a message with the tag "a". */
    char trace[256];
    struct buffer messages; /* their bytes */
    /* A large message. */
    unsigned large_calls;
    size_t take_limit; /* most bytes that on_large takes */
    size_t large_taken;
    /* What goes in. */
    uint8_t stream[FRAMING_STREAM_BYTES];
    size_t stream_length;
};

/* Passthrough, so that the bytes of a message stay as they are. */
void framing_open(struct framing *framing);
void framing_close(struct framing *framing);
/* Another connection, without bytes. */
void framing_restart(struct framing *framing);

/* ---- what goes in ---- */

/* Appends bytes to the stream. */
void framing_put(struct framing *framing, const void *bytes, size_t length);
#define FRAMING_PUT(framing, literal) framing_put(framing, literal, sizeof(literal) - 1)
/* Appends `count` bytes of this value. */
void framing_fill(struct framing *framing, unsigned count, char byte);
/* The husk sends the bytes `from` … `end` - 1 of the stream. */
enum end_reason framing_receive(struct framing *framing, size_t from, size_t end);

/* ---- what comes out; each fails the test unless it is so ---- */

/* Clears the trace. */
void framing_expect_trace(struct framing *framing, const char *trace);
/* As framing_expect_trace, and nothing of the stream is left. */
void framing_expect_end(struct framing *framing, const char *trace);
/* Sends the whole stream wherever it is cut, and byte by byte: the trace, and `length` bytes of all messages
 * that are handed up. */
void framing_expect_at_every_cut(struct framing *framing, const char *trace, const void *messages,
                                 size_t length);
#define FRAMING_EXPECT_AT_EVERY_CUT(framing, trace, messages)                                                \
    framing_expect_at_every_cut(framing, trace, messages, sizeof(messages) - 1)
/* Sends the whole stream at once: it ends the connection for `reason`. */
void framing_expect_failure(struct framing *framing, enum end_reason reason, const char *trace);

#endif
