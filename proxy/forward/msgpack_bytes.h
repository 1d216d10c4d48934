/* MessagePack in short contiguous bytes: for acks, handshakes and headers. Pure.
 *
 * Reading is bounded by a limit and needs neither recursion nor a stack. It is not resumable: a caller with
 * incomplete bytes reads again from the start when it has more. Long messages are read by the scanner.
 *
 * Source: MessagePack specification, "Formats". */
#ifndef HUSK_FORWARD_MSGPACK_BYTES_H
#define HUSK_FORWARD_MSGPACK_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum msgpack_kind {
    MSGPACK_NIL,
    MSGPACK_BOOL,
    MSGPACK_NUMBER, /* integer or float */
    MSGPACK_STR,
    MSGPACK_BIN,
    MSGPACK_EXT,
    MSGPACK_ARRAY,
    MSGPACK_MAP,
    MSGPACK_RESERVED, /* 0xc1, which the specification never uses */
};

enum msgpack_bytes_state {
    MSGPACK_BYTES_GOOD,
    MSGPACK_BYTES_SHORT, /* valid so far, but incomplete */
    MSGPACK_BYTES_BAD,   /* not the expected value, or longer than the limit; more bytes cannot change that */
};

/* Borrows the bytes. After the first failure all reads fail. */
struct msgpack_bytes {
    const uint8_t *bytes;
    size_t length;
    size_t limit; /* maximum length of everything that is read */
    size_t at;    /* bytes read so far */
    enum msgpack_bytes_state state;
};

/* One value, or the header of an array or map. `body` borrows from the bytes read. */
struct msgpack_item {
    enum msgpack_kind kind;
    uint64_t count;      /* elements of an array, pairs of a map, 1 for true; otherwise bytes of the body */
    const uint8_t *body; /* of a str or bin */
    size_t start;        /* offset of its header */
};

void msgpack_bytes_init(struct msgpack_bytes *reader, const uint8_t *bytes, size_t length, size_t limit);

/* Reads one item. False: see `state`. */
bool msgpack_bytes_next(struct msgpack_bytes *reader, struct msgpack_item *item);
/* Reads one item, which must be of this kind. */
bool msgpack_bytes_expect(struct msgpack_bytes *reader, enum msgpack_kind kind, struct msgpack_item *item);
/* Reads one item, which must be a str or bin. */
bool msgpack_bytes_expect_text(struct msgpack_bytes *reader, struct msgpack_item *item);
/* Reads one value with all values inside it; `item` is the outermost item. */
bool msgpack_bytes_next_whole(struct msgpack_bytes *reader, struct msgpack_item *item);
/* Whether the item that was read is an integer of any format that is not negative; its value if it is,
 * otherwise 0. */
bool msgpack_bytes_integer(const struct msgpack_bytes *reader, const struct msgpack_item *item,
                           uint64_t *value);
/* Sets the state to MSGPACK_BYTES_BAD; returns false. */
bool msgpack_bytes_refuse(struct msgpack_bytes *reader);

/* Whether the item is a str or bin with exactly these bytes. */
bool msgpack_item_is(const struct msgpack_item *item, const char *text);

enum { MSGPACK_HEADER_BYTES_MAX = 5, MSGPACK_INTEGER_BYTES_MAX = 9 };

/* Writes the header of a str, bin, array or map in the shortest form that has at least `width_min` bytes.
 * Returns its length. */
size_t msgpack_bytes_put_header(uint8_t to[MSGPACK_HEADER_BYTES_MAX], enum msgpack_kind kind, uint32_t count,
                                size_t width_min);
/* Writes an integer in the shortest form. Returns its length. */
size_t msgpack_bytes_put_integer(uint8_t to[MSGPACK_INTEGER_BYTES_MAX], uint64_t value);
/* Writes a str with the bytes of `text`: at most MSGPACK_HEADER_BYTES_MAX more than its length. Returns the
 * length of the str. */
size_t msgpack_bytes_put_str(uint8_t *to, const char *text);

#endif
