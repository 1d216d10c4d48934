/* Finds the messages in a stream of Forward: where each begins and ends, its tag, body and option.
 *
 * Pure, resumable at every byte, allocation-free, without recursion. Fed any slices, it gives the same
 * answers at the same bytes however they are cut. Body bytes of a bin or str are skipped in O(1). Positions
 * are offsets from the first byte of the message; the bytes themselves stay with the caller.
 *
 * Source: Forward Protocol Specification v1 (Message, Forward, PackedForward, CompressedPackedForward modes),
 * and what agents really send: EventTime as any ext, integer and float times (nil too: Fluentd reads it as
 * now), [[time, metadata], record] entries, str or bin anywhere an id, tag or body may be either, nil option,
 * unknown option keys. Frames are strict: an entry is [time, record], a record a map. What is inside a record
 * is only walked.
 *
 * Of an option key given twice the last one counts, as in Fluentd: a pair added to an option goes last. */
#ifndef HUSK_FORWARD_SCANNER_H
#define HUSK_FORWARD_SCANNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct scanner_limits {
    uint32_t tag_bytes;     /* longest tag */
    uint64_t message_bytes; /* longest message, headers included; at least 1 */
    uint32_t depth;         /* maps and arrays within each other, the record (or option) being the first;
                               1 … SCANNER_DEPTH_MAX */
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
    SCANNER_MORE,    /* all bytes taken; the message goes on, or none has begun */
    SCANNER_HEAD,    /* array, tag, mode and has_option are known, and the next byte is the body's first (so
                        this may have taken nothing); once for each message; feed the rest */
    SCANNER_END,     /* the message's last byte is taken; all its spans are known; feed the rest for the next
                        one */
    SCANNER_REFUSED, /* see refusal; nothing more is read from this stream */
};

enum scanner_refusal {
    SCANNER_NOT_REFUSED,
    SCANNER_NOT_FORWARD, /* not an array of 2 to 4 elements, a tag, body, entry, time or record of the wrong
                            shape, or the byte c1, which MessagePack does not use */
    SCANNER_JSON,        /* the first byte of the stream is '{' or '[': as MessagePack these are the integers
                            123 and 91, which begin no message */
    SCANNER_TAG_TOO_LONG,
    SCANNER_TOO_LONG,   /* decided as soon as a header announces more bytes, or more elements, than may still
                           follow */
    SCANNER_TOO_DEEP,   /* decided at the header of the map or array that is too deep */
    SCANNER_BAD_OPTION, /* option is neither map nor nil; or chunk is none of str, bin and nil, or longer than
                           SCANNER_CHUNK_BYTES_MAX */
};

struct scanner {
    struct scanner_limits limits;

    /* The message under way, or after SCANNER_END the one that has just ended. */
    uint64_t length;    /* bytes of it taken so far; after SCANNER_REFUSED, where that was decided */
    uint64_t announced; /* bytes it will have at least, as the headers so far say; at the end, length */
    enum scanner_mode mode;
    bool has_option;           /* an option element is there, perhaps nil */
    struct span array;         /* the outer array's header */
    struct span tag;           /* the tag's bytes, without header */
    struct span tag_value;     /* with header */
    struct span body;          /* time and record, or entries, with headers */
    struct span option;        /* with header; nil is one byte */
    struct span option_header; /* of its map; empty for nil */
    uint32_t option_pairs;     /* pairs in the map */
    struct span chunk;         /* the chunk id's value, with header (its type is its first byte); empty: no
                                  ack asked (no chunk, or nil) */
    struct span compressed;    /* value of "compressed", without header; empty: not compressed ("text" stays
                                  as it says) */
    uint64_t entries; /* SCANNER_FORWARD: entries; SCANNER_MESSAGE: 1; SCANNER_PACKED: value of "size",
                         unchecked, or 0 */

    enum scanner_refusal refusal;

    /* Inside: how far the walk has come (private). */
    uint64_t skip;           /* body bytes of the value under way still to come */
    uint32_t elements;       /* entries, or option pairs, not complete yet */
    uint8_t place;           /* in the message's frame */
    uint8_t option_key;      /* whose value is next */
    uint8_t array_elements;  /* of the outer array */
    uint8_t depth, floor;    /* maps and arrays open in `left`, and how many of them are frame */
    uint8_t begun;           /* the stream's first byte was seen */
    uint8_t gathered_length; /* bytes in `gathered` */
    uint8_t gathered[12];    /* a header the slice's end cut, or a short key or number, with its first
                                byte */
    uint32_t left[SCANNER_DEPTH_MAX]; /* values not complete yet in each open map or array */
};

void scanner_init(struct scanner *scanner, const struct scanner_limits *limits);

/* What it is fed next is not the beginning of its stream. */
static inline void scanner_go_on(struct scanner *scanner)
{
    scanner->begun = 1;
}

/* Takes bytes up to the next event; returns how many it took. With SCANNER_END the next call begins a new
 * message. */
size_t scanner_feed(struct scanner *scanner, const uint8_t *bytes, size_t length,
                    enum scanner_status *status);

/* Whether the message that has ended has a chunk id, and so asks for an ack. */
static inline bool scanner_asks_ack(const struct scanner *scanner)
{
    return scanner->chunk.end > scanner->chunk.start;
}

/* True between two messages: the stream may end here without anything being cut. */
bool scanner_is_between(const struct scanner *scanner);

/* "not_forward", "json", "tag_too_long"… */
const char *scanner_refusal_name(enum scanner_refusal refusal);

#endif
