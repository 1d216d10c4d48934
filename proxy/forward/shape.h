/* The meaning of the first byte of a MessagePack value, for walks over bytes that need not be contiguous.
 * Pure.
 *
 * Source: MessagePack specification, "Formats". */
#ifndef HUSK_FORWARD_SHAPE_H
#define HUSK_FORWARD_SHAPE_H

#include <endian.h>
#include <stddef.h>
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

/* What a first byte says. The size of the value is `inherent` plus the big-endian number in the other bytes
 * of the header: elements of an array, pairs of a map, otherwise body bytes. The type of an ext counts as
 * body. */
struct shape {
    uint8_t kind;
    uint8_t header;   /* bytes of the header: 1, 2, 3 or 5 */
    uint8_t shift;    /* by how many bits the four bytes after the first are shifted right */
    uint8_t inherent; /* size without that number */
};

extern const struct shape shapes[256];

/* The size that a header announces. Needs SHAPE_HEADER_BYTES_MAX readable bytes; bytes after the header do
 * not matter. */
static inline uint64_t shape_size(const struct shape *shape, const uint8_t *header)
{
    uint32_t number;

    if (shape->header == 1)
        return shape->inherent;
    memcpy(&number, header + 1, sizeof number);
    return shape->inherent + ((uint64_t)be32toh(number) >> shape->shift);
}

/* A decoded header. */
struct shape_item {
    uint8_t first; /* the first byte */
    uint8_t kind;
    uint8_t header;    /* bytes of the header */
    uint64_t body;     /* bytes after the header */
    uint64_t elements; /* values inside an array or map */
};

/* Needs SHAPE_HEADER_BYTES_MAX readable bytes. */
static inline void shape_item_decode(struct shape_item *item, const uint8_t *header)
{
    const struct shape *shape = &shapes[header[0]];
    uint64_t size = shape_size(shape, header);

    item->first = header[0];
    item->kind = shape->kind;
    item->header = shape->header;
    item->body = shape->kind < KIND_ARRAY ? size : 0;
    item->elements = shape->kind < KIND_ARRAY ? 0 : size << (shape->kind == KIND_MAP);
}

/* The integer in `length` bytes, which are a whole value of KIND_INT; 0 for a negative one. */
static inline uint64_t shape_natural(const uint8_t *value, size_t length)
{
    uint64_t number = 0;

    if (length == 1)
        return value[0] < 0x80 ? value[0] : 0;
    if (value[0] >= 0xd0 && value[1] >= 0x80)
        return 0;
    for (size_t i = 1; i < length; i++)
        number = number << 8 | value[i];
    return number;
}

/* A set of kinds. */
#define KIND_ONLY(kind) (1U << (kind))

enum {
    KINDS_STRING = KIND_ONLY(KIND_STR) | KIND_ONLY(KIND_BIN),
    KINDS_TIME = KIND_ONLY(KIND_NIL) | KIND_ONLY(KIND_INT) | KIND_ONLY(KIND_FLOAT) | KIND_ONLY(KIND_EXT),
};

#endif
