#include "delivery/agent_acks.h"

#include "forward/ack.h"

#include <stdlib.h>
#include <string.h>

struct agent_ack {
    TAILQ_ENTRY(agent_ack) link;
    uint64_t ordinal, end;
    uint64_t refused;
    enum end_reason reason;
    bool offers_link;
    unsigned id_length; /* 0: only a record of what was refused */
    uint8_t id[];
};

static unsigned ack_bytes(const struct agent_ack *ack)
{
    return ack->id_length ? ACK_FRONT_BYTES + ack->id_length : 0;
}

void agent_acks_init(struct agent_acks *acks, uint64_t sender)
{
    *acks = (struct agent_acks) { .sender = sender };
    TAILQ_INIT(&acks->queue);
}

bool agent_acks_is_empty(const struct agent_acks *acks)
{
    return !acks->bytes;
}

bool agent_acks_add(struct agent_acks *acks, const struct agent_answer *answer)
{
    struct agent_ack *last = TAILQ_LAST(&acks->queue, agent_ack_queue);

    if (!answer->id_length && last && !last->id_length &&
        last->end == answer->end) { /* one record for both */
        last->refused += answer->refused;
        return true;
    }
    struct agent_ack *ack = malloc(sizeof *ack + answer->id_length);
    if (!ack)
        return false;
    ack->ordinal = answer->ordinal;
    ack->end = answer->end;
    ack->refused = answer->refused;
    ack->reason = answer->reason;
    ack->offers_link = answer->offers_link;
    ack->id_length = (unsigned)answer->id_length;
    memcpy(ack->id, answer->id, answer->id_length);
    TAILQ_INSERT_TAIL(&acks->queue, ack, link);
    acks->bytes += ack_bytes(ack);
    acks->record_count += !ack->id_length;
    return true;
}

static void ack_free(struct agent_acks *acks, struct agent_ack *ack)
{
    TAILQ_REMOVE(&acks->queue, ack, link);
    acks->bytes -= ack_bytes(ack);
    acks->record_count -= !ack->id_length;
    free(ack);
}

void agent_acks_clear(struct agent_acks *acks)
{
    for (struct agent_ack *ack = TAILQ_FIRST(&acks->queue), *next; ack; ack = next) {
        next = TAILQ_NEXT(ack, link);
        ack_free(acks, ack);
    }
}

unsigned agent_acks_limit(struct agent_acks *acks, size_t limit_bytes)
{
    struct agent_ack *ack = TAILQ_LAST(&acks->queue, agent_ack_queue), *previous;
    unsigned count = 0;

    for (; ack && acks->bytes > limit_bytes; ack = previous) {
        previous = TAILQ_PREV(ack, agent_ack_queue, link);
        count += ack->id_length > 0;
        ack_free(acks, ack);
    }
    return count;
}

/* Adds to `ack` what was refused of the early parts of its batch. Their records are empty afterwards. */
static void refusals_collect(struct agent_acks *acks, struct agent_ack *ack)
{
    struct agent_ack *other;

    TAILQ_FOREACH (other, &acks->queue, link) {
        if (other->id_length || other->end != ack->end || !other->refused)
            continue;
        if (!ack->refused)
            ack->reason = other->reason;
        ack->refused += other->refused;
        other->refused = 0;
    }
}

static bool is_ready(const struct agent_ack *ack, uint64_t end)
{
    return ack->id_length && ack->ordinal < end;
}

static size_t ack_put(const struct agent_acks *acks, const struct agent_ack *ack,
                      uint8_t bytes[LINK_ACK_BYTES_MAX])
{
    const struct link_ack frame = {
        .id = ack->id,
        .id_length = ack->id_length,
        .sender = acks->sender,
        .refused = ack->refused,
        .reason = ack->refused ? end_reason_name(ack->reason) : NULL,
        .version = ack->offers_link ? LINK_VERSION : 0,
    };

    return link_write_ack(bytes, &frame);
}

bool agent_acks_gather(struct agent_acks *acks, uint64_t end, struct buffer *out, size_t limit_bytes)
{
    uint8_t bytes[LINK_ACK_BYTES_MAX];
    struct agent_ack *ack, *next;

    TAILQ_FOREACH (ack, &acks->queue, link) {
        if (!acks->record_count)
            break;
        if (is_ready(ack, end))
            refusals_collect(acks, ack);
    }
    for (ack = TAILQ_FIRST(&acks->queue); ack; ack = next) {
        next = TAILQ_NEXT(ack, link);
        if (!ack->id_length && !ack->refused)
            ack_free(acks, ack); /* an empty record */
        else if (is_ready(ack, end)) {
            size_t length = ack_put(acks, ack, bytes);
            if (out->length + length > limit_bytes)
                break;
            if (!buffer_append(out, bytes, length))
                return false;
            ack_free(acks, ack);
        }
    }
    return true;
}
