/* Forward messages to send. A generator makes each once, and only copies it to sockets after that.
 *
 * Source: Forward Protocol Specification v1; headers as Fluent Bit and Fluentd write them. */
#ifndef HUSK_BENCH_LOAD_MESSAGES_H
#define HUSK_BENCH_LOAD_MESSAGES_H

#include <stddef.h>
#include <stdint.h>

enum message_kind {
    MESSAGE_SINGLE, /* [tag, time, record], as logger libraries send */
    MESSAGE_EVENTS, /* [tag, [[time, record], …]], as Fluent Bit sends: all headers have 32 bits */
    MESSAGE_PACKED, /* [tag, str], as Fluentd sends */
};

enum message_ack { MESSAGE_WITHOUT_ID, MESSAGE_WITH_ID };

enum {
    MESSAGE_ID_BYTES = 24,
    MESSAGE_ACK_BYTES = 1 + 4 + 1 + MESSAGE_ID_BYTES, /* {"ack": id} */
    MESSAGE_BYTES_MIN = 160,
};

struct message {
    uint8_t *bytes; /* owned; the caller frees them */
    size_t length;
    size_t id_at;    /* offset of the id's MESSAGE_ID_BYTES; 0: no id */
    uint32_t events; /* as the sink counts them */
};

/* "single", "events" or "packed". */
enum message_kind message_kind_named(const char *name);

/* Makes a message of exactly `length` bytes, at least MESSAGE_BYTES_MIN. */
struct message message_make(enum message_kind kind, size_t length, enum message_ack ack);

/* Sets the id to a number in decimal digits. */
void message_set_number(struct message *message, uint64_t number);
/* The number in the id of an ack. */
uint64_t message_number(const uint8_t id[MESSAGE_ID_BYTES]);

#endif
