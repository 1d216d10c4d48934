/* Forward messages to send, made once: the generators only copy them to sockets.
 *
 * Source: Forward Protocol Specification v1; headers as Fluent Bit and Fluentd write them. */
#ifndef HUSK_BENCH_LOAD_MESSAGES_H
#define HUSK_BENCH_LOAD_MESSAGES_H

#include <stddef.h>
#include <stdint.h>

enum message_kind {
    MESSAGE_SINGLE, /* [tag, time, record]: what a logger library sends */
    MESSAGE_EVENTS, /* [tag, [[time, record], …]]: what Fluent Bit sends, 32-bit headers everywhere */
    MESSAGE_PACKED, /* [tag, str]: what Fluentd sends */
};

enum message_ack { MESSAGE_WITHOUT_ID, MESSAGE_WITH_ID };

enum {
    MESSAGE_ID_BYTES = 24,
    MESSAGE_ACK_BYTES = 1 + 4 + 1 + MESSAGE_ID_BYTES, /* {"ack": id} */
    MESSAGE_BYTES_MIN = 160,
};

struct message {
    uint8_t *bytes; /* the caller frees them */
    size_t length;
    size_t id_at;    /* where its id's MESSAGE_ID_BYTES are; 0: it has none */
    uint32_t events; /* what it counts for at the sink */
};

/* "single", "events" or "packed". */
enum message_kind message_kind_named(const char *name);

/* Of exactly `length` bytes, at least MESSAGE_BYTES_MIN. */
struct message message_make(enum message_kind kind, size_t length, enum message_ack ack);

/* The id as a number in decimal digits. */
void message_set_number(struct message *message, uint64_t number);
/* The number in an ack's id. */
uint64_t message_number(const uint8_t id[MESSAGE_ID_BYTES]);

#endif
