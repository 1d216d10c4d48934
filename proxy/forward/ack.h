/* {"ack": id}: read from an aggregator, written to an agent. Pure.
 *
 * Ids are opaque: type (str or bin) and bytes stay unchanged. */
#ifndef HUSK_FORWARD_ACK_H
#define HUSK_FORWARD_ACK_H

#include "forward/scanner.h"

enum {
    ACK_ID_BYTES_MAX = SCANNER_CHUNK_BYTES_MAX, /* value of an id, header included */
    ACK_BYTES_MAX = ACK_ID_BYTES_MAX + 16,
};

enum ack_status {
    ACK_MORE,  /* the bytes are an incomplete ack */
    ACK_FOUND, /* the first `taken` bytes are an ack; `id` is its id value in these bytes, header included */
    ACK_REFUSED, /* not an ack, or longer than ACK_BYTES_MAX; reported as soon as more bytes cannot change
                    that */
};

/* Reads the ack at the front of `bytes`. Skips keys other than "ack"; refuses a second "ack". *taken is 0
 * unless the status is ACK_FOUND. */
enum ack_status ack_parse(const uint8_t *bytes, size_t length, size_t *taken, struct span *id);

/* Writes the ack for an id value (header included, at most ACK_ID_BYTES_MAX bytes). Returns the length of the
 * ack. */
size_t ack_write(uint8_t bytes[ACK_BYTES_MAX], const uint8_t *id_value, size_t id_length);

/* Whether both are id values of the same kind (str or bin) with the same bytes. The form of the headers does
 * not matter. */
bool ack_id_equal(const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length);

#endif
