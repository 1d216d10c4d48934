/* Finds the messages in a stream of Forward: where each message begins and ends, its tag, body and option,
 * and whether its events are valid.
 *
 * Pure and resumable at every byte; no allocation, no recursion. The events and their positions do not depend
 * on how the stream is cut into slices. Body bytes of a bin or str are skipped in O(1). Positions are offsets
 * from the first byte of the message; the caller keeps the bytes.
 *
 * Source: Forward Protocol Specification v1 (Message, Forward, PackedForward, CompressedPackedForward modes),
 * and what agents send in practice: EventTime as any ext, integer and float times, nil as a time (Fluentd
 * reads it as now), [[time, metadata], record] entries, str and bin alike for ids, tags and bodies, a nil
 * option, unknown option keys. Values inside a record may be anything.
 *
 * The scanner refuses a stream only if framing is lost or a limit is exceeded; it scans all other well-formed
 * MessagePack to its end. It counts an event whose record is no map, or whose time or entry is wrong, in
 * `faults`. A value that is no Forward message has `is_foreign`.
 *
 * If an option has a key twice, the last one counts, as in Fluentd. */
#ifndef HUSK_FORWARD_SCANNER_H
#define HUSK_FORWARD_SCANNER_H

#include "base/event_fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct scanner_limits {
    uint32_t tag_bytes;     /* longest tag */
    uint64_t message_bytes; /* longest message, headers included; at least 1 */
    uint32_t depth;         /* maps and arrays nested in each other; the record (or option, or a wrong
                               entry) is the first; 1 … SCANNER_DEPTH_MAX */
};

enum {
    SCANNER_DEPTH_MAX = 128,
    SCANNER_CHUNK_BYTES_MAX = 1024, /* longest chunk id value, header included */
};

/* Half-open: bytes start … end-1 of the message; empty: absent. */
struct span {
    uint64_t start, end;
};

enum scanner_mode {
    SCANNER_MESSAGE, /* [tag, time, record, option?] */
    SCANNER_FORWARD, /* [tag, [[time, record], …], option?] */
    SCANNER_PACKED,  /* [tag, bin|str of entries, option?]; compressed or not */
};

enum scanner_status {
    SCANNER_MORE, /* all bytes are taken; the message continues, or none has begun */
    SCANNER_HEAD, /* array, tag, mode and has_option are known, and the next byte is the first of the body
                     (so this call may have taken nothing); once per message, but not for a foreign value
                     without a body; feed the rest */
    SCANNER_END,  /* the last byte of the message, or of a foreign value, is taken, and all spans are known;
                     feed the rest for the next message */
    SCANNER_REFUSED, /* see `refusal`; this stream cannot be read further */
};

enum scanner_refusal {
    SCANNER_NOT_REFUSED,
    SCANNER_NOT_FORWARD, /* framing is lost: an integer where a message begins, as which text and TLS appear;
                            or the byte c1, which MessagePack does not use */
    SCANNER_JSON, /* the first byte of the stream that is no nil is '{' or '[': as MessagePack these are
                     the integers 123 and 91, which begin no message */
    SCANNER_TAG_TOO_LONG,
    SCANNER_TOO_LONG,   /* reported at the first header that announces more bytes or elements than the limit
                           leaves */
    SCANNER_TOO_DEEP,   /* reported at the header of the map or array that is too deep */
    SCANNER_BAD_OPTION, /* chunk is longer than SCANNER_CHUNK_BYTES_MAX */
};

struct scanner {
    struct scanner_limits limits;

    /* The current message, or after SCANNER_END the message that has just ended. */
    uint64_t length;    /* bytes taken so far; after SCANNER_REFUSED, where the refusal was decided */
    uint64_t announced; /* minimum length of the message, by the headers so far; at the end, its length */
    enum scanner_mode mode;
    bool has_option;           /* the message has an option element, which may be nil */
    struct span array;         /* the header of the outer array */
    struct span tag;           /* bytes of the tag, without header */
    struct span tag_value;     /* the tag with header */
    struct span body;          /* time and record, or entries, with headers */
    struct span option;        /* with header; nil is one byte */
    struct span option_header; /* header of the option's map; empty for nil */
    uint32_t option_pairs;     /* pairs in the map */
    struct span chunk;         /* value of the chunk id, with header (the first byte says str or bin); empty:
                                  the agent asks for no ack (no chunk, or nil) */
    struct span compressed;    /* value of "compressed", without header, also if it is "text"; empty: the key
                                  is absent */
    uint64_t entries; /* SCANNER_FORWARD: entries, also invalid ones; SCANNER_MESSAGE: 1; SCANNER_PACKED:
                         value of "size", or 0 if the body is not compressed and too short for so many
                         entries: some loggers write the number of bytes there */
    bool lacks_time;  /* not in SCANNER_PACKED: the time of an event is nil, 0, or in a form that no agent is
                         known to use. Fluentd takes the current time for nil and 0, except in a packed
                         body. */
    bool is_foreign;  /* no Forward message, and so never sent: a value that is no array, an array of another
                         number of elements, or a message whose tag, option or chunk id has the wrong type.
                         Only the spans of what was found are known */
    uint32_t faults[EVENT_FAULT_COUNT]; /* EVENT_FAULT_MESSAGE or _VALUE: 1 if the value is foreign, and no
                                           nil; others: invalid events, not in SCANNER_PACKED */

    enum scanner_refusal refusal;

    /* Private. */
    uint64_t skip;           /* body bytes of the current value that are still missing */
    uint32_t elements;       /* entries or option pairs that are still incomplete */
    uint8_t state;           /* which value of the frame is next */
    uint8_t option_key;      /* the key whose value is next */
    uint8_t array_elements;  /* of the outer array */
    uint8_t depth;           /* open maps and arrays in `left` */
    uint8_t frame_depth;     /* those of them that belong to the frame */
    uint8_t begun;           /* the first byte of the stream that is no nil was seen */
    uint8_t gathered_length; /* bytes in `gathered` */
    uint8_t gathered[12];    /* a header that the end of a slice cuts, or a short key or number with its first
                                byte */
    uint32_t left[SCANNER_DEPTH_MAX]; /* values that each open map or array still lacks */
};

void scanner_init(struct scanner *scanner, const struct scanner_limits *limits);

/* Tells a new scanner that its first byte is not the first of a stream: no SCANNER_JSON then. */
static inline void scanner_go_on(struct scanner *scanner)
{
    scanner->begun = 1;
}

/* Takes bytes up to the next event; returns how many it took. After SCANNER_END the next call begins a new
 * message. */
size_t scanner_feed(struct scanner *scanner, const uint8_t *bytes, size_t length,
                    enum scanner_status *status);

/* Whether the message that has ended has a chunk id, and thereby asks for an ack. */
static inline bool scanner_asks_ack(const struct scanner *scanner)
{
    return scanner->chunk.end > scanner->chunk.start;
}

/* The number of invalid events in the message so far. */
static inline uint64_t scanner_invalid_events(const struct scanner *scanner)
{
    uint64_t count = 0;

    for (unsigned fault = 0; fault < EVENT_FAULT_EVENTS; fault++)
        count += scanner->faults[fault];
    return count;
}

/* True between two messages: a stream that ends here cuts no message. */
bool scanner_is_between(const struct scanner *scanner);

/* "not_forward", "json", "tag_too_long"… */
const char *scanner_refusal_name(enum scanner_refusal refusal);

#endif
