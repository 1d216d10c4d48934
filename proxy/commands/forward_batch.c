#include "commands/forward_batch.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

enum { EVENT_TIME_EXT = 0, EVENT_TIME_BYTES = 8 };

void forward_batch_init(struct forward_batch *batch, const char *tag, enum forward_mode mode)
{
    *batch = (struct forward_batch) { .tag = tag, .mode = mode };
    msgpack_sbuffer_init(&batch->entries);
}

void forward_batch_deinit(struct forward_batch *batch)
{
    msgpack_sbuffer_destroy(&batch->entries);
}

static bool memory_sufficed(int failures, struct fault *fault)
{
    if (failures)
        fault_set(fault, "out of memory");
    return !failures;
}

bool forward_batch_add(struct forward_batch *batch, const struct timespec *time,
                       const msgpack_sbuffer *record, struct fault *fault)
{
    uint32_t halves[2] = { htonl((uint32_t)time->tv_sec), htonl((uint32_t)time->tv_nsec) };
    msgpack_packer packer;
    int failures = 0;

    static_assert(sizeof halves == EVENT_TIME_BYTES, "EventTime");
    assert(batch->mode != FORWARD_MODE_MESSAGE || batch->count == 0);
    msgpack_packer_init(&packer, &batch->entries, msgpack_sbuffer_write);
    if (batch->mode != FORWARD_MODE_MESSAGE)
        failures |= msgpack_pack_array(&packer, 2);
    failures |= msgpack_pack_ext_with_body(&packer, halves, sizeof halves, EVENT_TIME_EXT);
    failures |= msgpack_sbuffer_write(&batch->entries, record->data, record->size);
    batch->count++;
    return memory_sufficed(failures, fault);
}

/* Packs the option map. Like agents, adds `size` in modes in which a message can contain several events. */
static int option_pack(msgpack_packer *packer, const struct forward_batch *batch, const char *chunk)
{
    bool has_size = batch->mode != FORWARD_MODE_MESSAGE;
    int failures = msgpack_pack_map(packer, (chunk ? 1U : 0U) + (has_size ? 1U : 0U));

    if (chunk) {
        failures |= msgpack_pack_str_with_body(packer, "chunk", strlen("chunk"));
        failures |= msgpack_pack_str_with_body(packer, chunk, strlen(chunk));
    }
    if (has_size) {
        failures |= msgpack_pack_str_with_body(packer, "size", strlen("size"));
        failures |= msgpack_pack_uint64(packer, batch->count);
    }
    return failures;
}

bool forward_batch_encode(struct forward_batch *batch, const char *chunk, msgpack_sbuffer *message,
                          struct fault *fault)
{
    bool has_option = chunk || batch->mode != FORWARD_MODE_MESSAGE;
    size_t elements = (batch->mode == FORWARD_MODE_MESSAGE ? 3U : 2U) + (has_option ? 1U : 0U);
    msgpack_packer packer;

    msgpack_sbuffer_clear(message);
    msgpack_packer_init(&packer, message, msgpack_sbuffer_write);
    int failures = msgpack_pack_array(&packer, elements);
    failures |= msgpack_pack_str_with_body(&packer, batch->tag, strlen(batch->tag));
    if (batch->mode == FORWARD_MODE_FORWARD)
        failures |= msgpack_pack_array(&packer, batch->count);
    if (batch->mode == FORWARD_MODE_PACKED)
        failures |= msgpack_pack_bin(&packer, batch->entries.size);
    failures |= msgpack_sbuffer_write(message, batch->entries.data, batch->entries.size);
    if (has_option)
        failures |= option_pack(&packer, batch, chunk);
    msgpack_sbuffer_clear(&batch->entries);
    batch->count = 0;
    return memory_sufficed(failures, fault);
}
