/* What the first byte of a MessagePack value says: for walks over bytes that need not be contiguous. Pure.
 *
 * Source: MessagePack specification, "Formats". */
#ifndef HUSK_FORWARD_SHAPE_H
#define HUSK_FORWARD_SHAPE_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

enum kind {
    KIND_UNUSED,
    KIND_NIL,
    KIND_BOOL,
    KIND_INT,
    KIND_FLOAT,
    KIND_STR,
    KIND_BIN,
    KIND_EXT,
    KIND_ARRAY,
    KIND_MAP
};

enum { SHAPE_HEADER_BYTES_MAX = 5 };

/* What a first byte says. The value's size is `inherent` plus the big-endian number in the header's other
 * bytes: elements of an array, pairs of a map, else body bytes. An ext's type counts as body. */
struct shape {
    uint8_t kind;
    uint8_t header;   /* its bytes: 1, 2, 3 or 5 */
    uint8_t shift;    /* drops from four bytes those that are no part of the header */
    uint8_t inherent; /* size without that number */
};

extern const struct shape shapes[256];

/* The size a header announces; needs SHAPE_HEADER_BYTES_MAX readable bytes, whatever they are after the
 * header. */
static inline uint64_t shape_size(const struct shape *shape, const uint8_t *header)
{
    uint32_t number;

    if (shape->header == 1)
        return shape->inherent;
    memcpy(&number, header + 1, sizeof number);
    return shape->inherent + ((uint64_t)be32toh(number) >> shape->shift);
}

/* A set of kinds. */
#define KIND_ONLY(kind) (1U << (kind))

enum {
    KINDS_STRING = KIND_ONLY(KIND_STR) | KIND_ONLY(KIND_BIN),
    KINDS_TIME = KIND_ONLY(KIND_NIL) | KIND_ONLY(KIND_INT) | KIND_ONLY(KIND_FLOAT) | KIND_ONLY(KIND_EXT),
};

#endif
