/* Plans changes to the head and the option of a message. Bodies do not change.
 *
 * Pure: turns the spans of a scanned message into edits. The owner of the bytes applies the edits. */
#ifndef HUSK_FORWARD_REWRITER_H
#define HUSK_FORWARD_REWRITER_H

#include "forward/scanner.h"

enum {
    REWRITE_EDITS_MAX = 4,
    REWRITE_PREFIX_BYTES_MAX = 256,
    REWRITE_BYTES_MAX = REWRITE_PREFIX_BYTES_MAX + 64,
    CHUNK_ID_BYTES = 24,                       /* base64 of 16 bytes, like ids of agents */
    CHUNK_ID_VALUE_BYTES = CHUNK_ID_BYTES + 1, /* as a MessagePack str, header included */
};

/* Replaces `remove` bytes at `at`, an offset in the original message, by bytes[insert.start …
 * insert.end-1]. */
struct edit {
    uint64_t at;
    uint32_t remove;
    struct span insert;
};

struct rewrite {
    unsigned count;                       /* 0: the message does not change */
    struct edit edits[REWRITE_EDITS_MAX]; /* in order of `at`, not overlapping */
    uint32_t used;
    uint8_t bytes[REWRITE_BYTES_MAX];
    struct span chunk; /* value of the chunk id in the rewritten message; empty: none */
    int64_t growth;    /* bytes that the message grows; never negative */
};

/* Makes a chunk id value from 16 random bytes: MessagePack fixstr header, 22 base64 characters, and "~1". The
 * end tells another husk that a husk made the id, and that this husk speaks version 1 of the link
 * (docs/link.md). */
void chunk_id_write(uint8_t value[CHUNK_ID_VALUE_BYTES], const uint8_t random[16]);
/* Whether a chunk id value was made by chunk_id_write, of this husk or another one. */
bool chunk_id_is_of_husk(const uint8_t *value, size_t length);

/* Plans the changes to a message, not a foreign value, whose scanner is at SCANNER_END. Puts `prefix` (may be
 * empty) before the tag. If the message has no chunk and `chunk_value` is not NULL, adds the chunk: as the
 * last pair of the option map, as a map that replaces a nil option, or as a new option (array header 2→3 or
 * 3→4). A header keeps its width, and grows (fixmap→map16 …) only if it must. */
void rewrite_plan(struct rewrite *rewrite, const struct scanner *message, const char *prefix,
                  size_t prefix_length, const uint8_t chunk_value[CHUNK_ID_VALUE_BYTES]);

/* The same at SCANNER_HEAD, for a cut-through message: plans the changes to the head (array header, tag)
 * before the scanner knows whether the message has a chunk. These edits are the first ones that rewrite_plan
 * makes at SCANNER_END. All other edits of rewrite_plan are at or after the end of the body. */
void rewrite_plan_head(struct rewrite *rewrite, const struct scanner *message, const char *prefix,
                       size_t prefix_length, const uint8_t chunk_value[CHUNK_ID_VALUE_BYTES]);

#endif
