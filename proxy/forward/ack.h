/* {"ack": id}: read from an aggregator, written for an agent. Pure.
 *
 * Ids are opaque: type (str or bin) and bytes are kept as they are. */
#ifndef HUSK_FORWARD_ACK_H
#define HUSK_FORWARD_ACK_H

#include "forward/scanner.h"

enum {
    ACK_ID_BYTES_MAX = SCANNER_CHUNK_BYTES_MAX, /* an id's value, header included */
    ACK_BYTES_MAX = ACK_ID_BYTES_MAX + 16,
};

enum ack_status {
    ACK_MORE,    /* the bytes do not hold a whole message yet */
    ACK_FOUND,   /* `taken` bytes are an ack; `id` is its value, header included, within them */
    ACK_REFUSED, /* not an ack, or longer than ACK_BYTES_MAX; said as soon as no further byte can help */
};

/* Reads the ack at the front of `bytes`. Other keys beside "ack" are skipped; a second "ack" is refused.
 * Unless ACK_FOUND, `taken` is 0. */
enum ack_status ack_parse(const uint8_t *bytes, size_t length, size_t *taken, struct span *id);

/* Writes the ack for an id value (header included, at most ACK_ID_BYTES_MAX); returns its length. */
size_t ack_write(uint8_t bytes[ACK_BYTES_MAX], const uint8_t *id_value, size_t id_length);

/* The id's bytes are equal and of the same kind (str or bin), however their headers are written. What is no
 * id value equals nothing. */
bool ack_id_equal(const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length);

#endif
