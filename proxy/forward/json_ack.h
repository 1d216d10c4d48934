/* Reads {"ack": "id"} as JSON text (RFC 8259) from an aggregator. Vector before 0.31 sends such acks, and
 * Fluentd sends them to clients that speak JSON. Pure. */
#ifndef HUSK_FORWARD_JSON_ACK_H
#define HUSK_FORWARD_JSON_ACK_H

#include "forward/ack.h"

enum {
    JSON_ACK_BYTES_MAX = 6 * ACK_ID_BYTES_MAX + 64, /* an escaped byte of an id takes up to 6 bytes */
    JSON_ACK_DEPTH_MAX = 16,                        /* of values other than the id */
};

/* The id of an ack as an id value: a MessagePack str with its header. */
struct json_ack {
    uint8_t id[ACK_ID_BYTES_MAX];
    size_t id_length; /* 0: the answer names no message */
};

/* Whether an answer begins with this byte, in JSON and not in MessagePack. */
static inline bool json_ack_begins(uint8_t first_byte)
{
    return first_byte == '{';
}

/* Whether this byte may stand between two answers. */
static inline bool json_ack_is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

/* Reads the answer at the front of `bytes`, which begins with json_ack_begins. Like ack_parse: skips other
 * members, refuses a second "ack" and an answer longer than JSON_ACK_BYTES_MAX. */
enum ack_status json_ack_parse(const uint8_t *bytes, size_t length, size_t *taken, struct json_ack *ack);

#endif
