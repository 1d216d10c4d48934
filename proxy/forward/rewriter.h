/* Plans changes to a message's head and option: what to cut out, what to put in, and where. Bodies are never
 * touched.
 *
 * Pure: takes a scanned message's spans and gives edits; whoever holds the bytes applies them. */
#ifndef HUSK_FORWARD_REWRITER_H
#define HUSK_FORWARD_REWRITER_H

#include "forward/scanner.h"

enum {
    REWRITE_EDITS_MAX = 4,
    REWRITE_PREFIX_BYTES_MAX = 256,
    REWRITE_BYTES_MAX = REWRITE_PREFIX_BYTES_MAX + 64,
    CHUNK_ID_BYTES = 24,                       /* base64 of 16 bytes, as agents write ids */
    CHUNK_ID_VALUE_BYTES = CHUNK_ID_BYTES + 1, /* as a msgpack str, header included */
};

/* At `at` (offset in the original message), `remove` bytes are replaced by bytes[insert.start …
 * insert.end-1]. */
struct edit {
    uint64_t at;
    uint32_t remove;
    struct span insert;
};

struct rewrite {
    unsigned count;                       /* 0: the message stays as it is */
    struct edit edits[REWRITE_EDITS_MAX]; /* in order of `at`, not overlapping */
    uint32_t used;
    uint8_t bytes[REWRITE_BYTES_MAX];
    struct span chunk; /* the chunk id's value in the rewritten message; empty when it has none */
    int64_t growth;    /* bytes the message gains; never negative */
};

/* Writes a chunk id value (msgpack fixstr header and 24 base64 characters) made of 16 random bytes. */
void chunk_id_write(uint8_t value[CHUNK_ID_VALUE_BYTES], const uint8_t random[16]);

/* Plans the changes to a message whose scanner is at SCANNER_END: puts `prefix` (may be empty) in front of
 * the tag, and, if the message has no chunk and `chunk_value` is not NULL, adds it: array header 2→3 or 3→4
 * with a new option map, or a pair more (the last) in the option map, or a map in place of a nil option.
 * Headers keep their width, and grow (fixmap→map16 …) only where they must. */
void rewrite_plan(struct rewrite *rewrite, const struct scanner *message, const char *prefix,
                  size_t prefix_length, const uint8_t chunk_value[CHUNK_ID_VALUE_BYTES]);

/* The same at SCANNER_HEAD, for a message that is streamed: what must be changed in the head (array header,
 * tag), before it is known whether there is a chunk. These are the first edits that rewrite_plan will have at
 * SCANNER_END; its others are all at or behind the body's end. */
void rewrite_plan_head(struct rewrite *rewrite, const struct scanner *message, const char *prefix,
                       size_t prefix_length, const uint8_t chunk_value[CHUNK_ID_VALUE_BYTES]);

#endif
