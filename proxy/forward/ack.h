/* {"ack": id}: read from an aggregator, written to an agent. Pure.
 *
 * Ids are opaque: an agent gets its id with the same type (str or bin) and the same bytes. An aggregator may
 * answer with the other type: Vector's acks are always str. */
#ifndef HUSK_FORWARD_ACK_H
#define HUSK_FORWARD_ACK_H

#include "forward/scanner.h"

enum {
    ACK_ID_BYTES_MAX = SCANNER_CHUNK_BYTES_MAX, /* value of an id, header included */
    ACK_FRONT_BYTES = 5, /* of an ack that ack_write writes, in front of the id value */
    ACK_BYTES_MAX = ACK_ID_BYTES_MAX + 16,
};

enum ack_status {
    ACK_MORE,  /* the bytes are an incomplete ack */
    ACK_FOUND, /* the first `taken` bytes are an ack; `id` is its id value in these bytes, header included */
    ACK_NEGATIVE,  /* the first `taken` bytes are a map without "ack": the aggregator refuses a message.
                      Vector's `fluent` source sends {} then */
    ACK_MALFORMED, /* neither, or longer than ACK_BYTES_MAX; reported as soon as more bytes cannot change
                      that */
};

/* Reads the answer at the front of `bytes`. Skips keys other than "ack"; refuses a second "ack". *taken is 0
 * unless the status is ACK_FOUND or ACK_NEGATIVE. */
enum ack_status ack_parse(const uint8_t *bytes, size_t length, size_t *taken, struct span *id);

/* Writes the ack for an id value (header included, at most ACK_ID_BYTES_MAX bytes). Returns the length of the
 * ack. */
size_t ack_write(uint8_t bytes[ACK_BYTES_MAX], const uint8_t *id_value, size_t id_length);

/* The offset of the bytes of an id in its value; `length` if the value is no id. */
size_t ack_id_body(const uint8_t *value, size_t length);

/* How two id values compare. The form of the headers does not matter. */
enum ack_id_match {
    ACK_IDS_DIFFER,     /* other bytes, or one of them is no id value */
    ACK_IDS_SAME_BYTES, /* but one is a str and the other one a bin */
    ACK_IDS_EQUAL,
};
enum ack_id_match ack_id_compare(const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length);

#endif
