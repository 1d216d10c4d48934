#include "delivery/agent_acks.h"

#include "forward/ack.h"

#include <stdlib.h>

struct agent_ack {
    TAILQ_ENTRY(agent_ack) link;
    uint64_t ordinal; /* of its message */
    size_t length;
    uint8_t bytes[];
};

void agent_acks_init(struct agent_acks *acks)
{
    acks->bytes = 0;
    TAILQ_INIT(&acks->queue);
}

bool agent_acks_is_empty(const struct agent_acks *acks)
{
    return TAILQ_EMPTY(&acks->queue);
}

bool agent_acks_add(struct agent_acks *acks, const struct message *message)
{
    size_t bytes_max = message->entry.id_length + ACK_BYTES_MAX - ACK_ID_BYTES_MAX;
    struct agent_ack *ack = malloc(sizeof *ack + bytes_max);

    if (!ack)
        return false;
    ack->ordinal = message->ordinal;
    ack->length = ack_write(ack->bytes, message->entry.id, message->entry.id_length);
    TAILQ_INSERT_TAIL(&acks->queue, ack, link);
    acks->bytes += ack->length;
    return true;
}

static void ack_free(struct agent_acks *acks, struct agent_ack *ack)
{
    TAILQ_REMOVE(&acks->queue, ack, link);
    acks->bytes -= ack->length;
    free(ack);
}

void agent_acks_clear(struct agent_acks *acks)
{
    for (struct agent_ack *ack = TAILQ_FIRST(&acks->queue), *next; ack; ack = next) {
        next = TAILQ_NEXT(ack, link);
        ack_free(acks, ack);
    }
}

bool agent_acks_gather(struct agent_acks *acks, uint64_t end, struct buffer *out, size_t limit_bytes)
{
    for (struct agent_ack *ack = TAILQ_FIRST(&acks->queue), *next; ack; ack = next) {
        next = TAILQ_NEXT(ack, link);
        if (ack->ordinal >= end)
            continue;
        if (out->length + ack->length > limit_bytes)
            break;
        if (!buffer_append(out, ack->bytes, ack->length))
            return false;
        ack_free(acks, ack);
    }
    return true;
}
