#include "commands/forward_message.h"

#include "commands/gunzip.h"
#include "commands/object_stream.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

enum { EVENT_TIME_EXT = 0, EVENT_TIME_BYTES = 8, TLS_HANDSHAKE_RECORD = 22, PING_ELEMENTS = 6 };

static const msgpack_object nil = { .type = MSGPACK_OBJECT_NIL };

static bool is_text(const msgpack_object *object)
{
    return object->type == MSGPACK_OBJECT_STR || object->type == MSGPACK_OBJECT_BIN;
}

/* str and bin have the same layout in msgpack-c, but separate field names. */
static const char *text_bytes(const msgpack_object *object, size_t *length)
{
    if (object->type == MSGPACK_OBJECT_STR) {
        *length = object->via.str.size;
        return object->via.str.ptr;
    }
    *length = object->via.bin.size;
    return object->via.bin.ptr;
}

bool forward_message_text_equals(const msgpack_object *object, const char *text)
{
    size_t length;

    if (!is_text(object))
        return false;
    const char *bytes = text_bytes(object, &length);
    return length == strlen(text) && memcmp(bytes, text, length) == 0;
}

bool forward_message_event_time(const msgpack_object *object, uint32_t *seconds, uint32_t *nanoseconds)
{
    if (object->type != MSGPACK_OBJECT_EXT || object->via.ext.type != EVENT_TIME_EXT ||
        object->via.ext.size != EVENT_TIME_BYTES)
        return false;
    memcpy(seconds, object->via.ext.ptr, sizeof *seconds);
    memcpy(nanoseconds, object->via.ext.ptr + sizeof *seconds, sizeof *nanoseconds);
    *seconds = ntohl(*seconds);
    *nanoseconds = ntohl(*nanoseconds);
    return true;
}

/* Describes data of another protocol, whose first byte MessagePack reads as a small integer. */
static void other_protocol_describe(const msgpack_object *object, struct fault *fault)
{
    if (object->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
        fault_set(fault, "not Forward: a message is an array");
    else if (object->via.u64 == TLS_HANDSHAKE_RECORD)
        fault_set(fault, "not plain Forward: this looks like TLS");
    else if (object->via.u64 == '{' || object->via.u64 == '[')
        fault_set(fault, "not Forward: this looks like JSON");
    else
        fault_set(fault, "not Forward: the first byte is 0x%02x", (unsigned)object->via.u64);
}

static bool option_read(struct forward_message *message, const msgpack_object *key,
                        const msgpack_object *value, struct fault *fault)
{
    if (forward_message_text_equals(key, "chunk") && value->type != MSGPACK_OBJECT_NIL) {
        if (!is_text(value)) {
            fault_set(fault, "option chunk is neither str nor bin");
            return false;
        }
        message->chunk = *value;
    } else if (forward_message_text_equals(key, "compressed")) {
        message->is_gzip = forward_message_text_equals(value, "gzip");
        if (!message->is_gzip && !forward_message_text_equals(value, "text") &&
            value->type != MSGPACK_OBJECT_NIL) {
            fault_set(fault, "compressed with %s: only gzip is supported",
                      forward_message_text_equals(value, "zstd") ? "zstd" : "an unknown algorithm");
            return false;
        }
    } else if (forward_message_text_equals(key, "fluent_signal")) {
        if (value->type != MSGPACK_OBJECT_POSITIVE_INTEGER || value->via.u64 > FORWARD_TRACES) {
            fault_set(fault, "option fluent_signal is not 0, 1 or 2");
            return false;
        }
        message->signal = (enum forward_signal)value->via.u64;
    }
    return true;
}

static bool options_read(struct forward_message *message, const msgpack_object *option, struct fault *fault)
{
    if (option->type == MSGPACK_OBJECT_NIL) /* sent by old Docker daemons */
        return true;
    if (option->type != MSGPACK_OBJECT_MAP) {
        fault_set(fault, "not Forward: the option is not a map");
        return false;
    }
    for (uint32_t i = 0; i < option->via.map.size; i++) {
        const msgpack_object_kv *pair = &option->via.map.ptr[i];
        if (!option_read(message, &pair->key, &pair->val, fault))
            return false;
    }
    return true;
}

bool forward_message_read(struct forward_message *message, const msgpack_object *object, struct fault *fault)
{
    *message = (struct forward_message) { .record = nil, .chunk = nil };
    if (object->type != MSGPACK_OBJECT_ARRAY) {
        other_protocol_describe(object, fault);
        return false;
    }
    const msgpack_object *items = object->via.array.ptr;
    uint32_t count = object->via.array.size;
    if (count == PING_ELEMENTS && forward_message_text_equals(&items[0], "PING")) {
        fault_set(fault, "the peer requests the shared-key handshake, which is not supported here");
        return false;
    }
    if (count < 2 || count > 4) {
        fault_set(fault, "not Forward: an array of %u elements", count);
        return false;
    }
    if (!is_text(&items[0])) {
        fault_set(fault, "not Forward: the tag is not a string");
        return false;
    }
    message->tag = items[0];
    message->body = items[1];
    uint32_t option_at = 2;
    if (items[1].type != MSGPACK_OBJECT_ARRAY && !is_text(&items[1])) {
        if (count < 3) {
            fault_set(fault, "not Forward: a tag and a time, but no record");
            return false;
        }
        message->record = items[2];
        option_at = 3;
    }
    if (count > option_at + 1) {
        fault_set(fault, "not Forward: %u elements, but %u is the most for this mode", count, option_at + 1);
        return false;
    }
    return count == option_at || options_read(message, &items[option_at], fault);
}

static bool time_is_known(const msgpack_object *time)
{
    uint32_t seconds, nanoseconds;

    switch (time->type) {
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        return true;
    default:
        return forward_message_event_time(time, &seconds, &nanoseconds);
    }
}

/* Fluent Bit 5 writes [time, {metadata}] instead of time. */
static bool time_read(struct forward_event *event, const msgpack_object *time, struct fault *fault)
{
    event->time = *time;
    if (time->type == MSGPACK_OBJECT_ARRAY) {
        const msgpack_object_array *pair = &time->via.array;
        if (pair->size != 2 || pair->ptr[1].type != MSGPACK_OBJECT_MAP) {
            fault_set(fault, "an event's time is an array, but not [time, metadata]");
            return false;
        }
        event->time = pair->ptr[0];
        if (pair->ptr[1].via.map.size > 0)
            event->metadata = pair->ptr[1];
    }
    if (time_is_known(&event->time))
        return true;
    fault_set(fault, "an event's time is neither EventTime nor a number");
    return false;
}

struct visit {
    const struct forward_message *message;
    forward_event_visitor *visit;
    void *target;
};

static bool log_visit(const struct visit *to, const msgpack_object *time, const msgpack_object *record,
                      struct fault *fault)
{
    struct forward_event event = { .tag = to->message->tag, .metadata = nil, .record = *record };

    if (!time_read(&event, time, fault))
        return false;
    if (record->type != MSGPACK_OBJECT_MAP) {
        fault_set(fault, "an event's record is not a map");
        return false;
    }
    to->visit(to->target, &event);
    return true;
}

static bool entry_visit(const struct visit *to, const msgpack_object *entry, struct fault *fault)
{
    if (to->message->signal != FORWARD_LOGS) {
        struct forward_event event = { .tag = to->message->tag,
                                       .time = nil,
                                       .metadata = nil,
                                       .record = *entry,
                                       .signal = to->message->signal };
        to->visit(to->target, &event);
        return true;
    }
    if (entry->type != MSGPACK_OBJECT_ARRAY || entry->via.array.size != 2) {
        fault_set(fault, "an entry is not [time, record]");
        return false;
    }
    return log_visit(to, &entry->via.array.ptr[0], &entry->via.array.ptr[1], fault);
}

static bool packed_visit(const struct visit *to, const char *bytes, size_t length, struct fault *fault)
{
    enum object_stream_state state = OBJECT_BROKEN;
    struct object_stream entries;
    msgpack_object entry;
    bool done = false;

    object_stream_init(&entries, UINT64_MAX); /* the size of the body is limited already */
    if (!object_stream_append(&entries, bytes, length, fault))
        goto out;
    while ((state = object_stream_next(&entries, &entry, fault)) == OBJECT_WHOLE) {
        if (!entry_visit(to, &entry, fault))
            goto out;
    }
    if (state == OBJECT_BROKEN) {
        fault_wrap(fault, "packed entries");
    } else if (object_stream_is_inside(&entries)) {
        fault_set(fault, "packed entries end in the middle of one");
    } else {
        done = true;
    }
out:
    object_stream_deinit(&entries);
    return done;
}

bool forward_message_visit(const struct forward_message *message, size_t limit, forward_event_visitor *visit,
                           void *target, struct fault *fault)
{
    struct visit to = { .message = message, .visit = visit, .target = target };
    const msgpack_object *body = &message->body;

    if (body->type == MSGPACK_OBJECT_ARRAY) {
        for (uint32_t i = 0; i < body->via.array.size; i++) {
            if (!entry_visit(&to, &body->via.array.ptr[i], fault))
                return false;
        }
        return true;
    }
    if (!is_text(body))
        return log_visit(&to, body, &message->record, fault);
    size_t length;
    const char *bytes = text_bytes(body, &length);
    if (!message->is_gzip)
        return packed_visit(&to, bytes, length, fault);
    struct gunzip_text plain;
    if (!gunzip(bytes, length, limit, &plain, fault))
        return false;
    bool done = packed_visit(&to, plain.bytes, plain.length, fault);
    free(plain.bytes);
    return done;
}
