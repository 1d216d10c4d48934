#include "support/scan_check.h"

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

/* ---- the scanner, cut --------------------------------------------------------------------------------- */

static void require(int holds)
{
    if (!holds)
        abort();
}

static void trace_add(struct scan_trace *trace, const struct scanner *scanner, enum scanner_status status,
                      uint64_t at)
{
    require(trace->count < SCAN_EVENTS_MAX);
    trace->events[trace->count++] = (struct scan_event) { status, at, scanner_is_between(scanner), *scanner };
}

void scan_trace_run(struct scan_trace *trace, const struct scanner_limits *limits, const uint8_t *bytes,
                    size_t length, const struct scan_cuts *cuts)
{
    struct scanner scanner;
    enum scanner_status status = SCANNER_MORE;
    bool had_head = false;
    size_t start = 0, cut_count = cuts ? cuts->count : 0;

    trace->count = 0;
    scanner_init(&scanner, limits);
    for (size_t i = 0; i <= cut_count && status != SCANNER_REFUSED; i++) {
        size_t end = i < cut_count ? cuts->at[i] : length;
        uint8_t *slice = malloc(end - start ? end - start : 1);
        size_t at = 0;

        require(slice && end <= length && start <= end);
        if (end - start)
            memcpy(slice, bytes + start, end - start);
        do {
            size_t taken = scanner_feed(&scanner, slice + at, end - start - at, &status);
            require(taken <= end - start - at);
            at += taken;
            if (status == SCANNER_HEAD || status == SCANNER_END) {
                require(!had_head || status == SCANNER_END);
                require(had_head || status == SCANNER_HEAD || scanner.is_foreign);
                had_head = status == SCANNER_HEAD;
                trace_add(trace, &scanner, status, start + at);
            }
        } while (status == SCANNER_HEAD || status == SCANNER_END);
        require(status == SCANNER_REFUSED || at == end - start);
        free(slice);
        start += at;
    }
    trace_add(trace, &scanner, status, start);
}

static bool span_equal(struct span a, struct span b)
{
    return a.start == b.start && a.end == b.end;
}

static const char *event_difference(const struct scan_event *left, const struct scan_event *right)
{
    const struct scanner *a = &left->scanner, *b = &right->scanner;

    if (left->status != right->status)
        return "status";
    if (left->at != right->at || a->length != b->length)
        return "length";
    if (left->between != right->between)
        return "between";
    if (a->refusal != b->refusal)
        return "refusal";
    if (a->mode != b->mode || a->has_option != b->has_option)
        return "mode";
    if (!span_equal(a->array, b->array) || !span_equal(a->tag, b->tag) ||
        !span_equal(a->tag_value, b->tag_value))
        return "tag";
    if (!span_equal(a->body, b->body))
        return "body";
    if (!span_equal(a->option, b->option) || !span_equal(a->option_header, b->option_header) ||
        a->option_pairs != b->option_pairs)
        return "option";
    if (!span_equal(a->chunk, b->chunk))
        return "chunk";
    if (!span_equal(a->compressed, b->compressed))
        return "compressed";
    if (a->entries != b->entries)
        return "entries";
    if (a->lacks_time != b->lacks_time)
        return "lacks_time";
    if (a->is_foreign != b->is_foreign || memcmp(a->faults, b->faults, sizeof a->faults) != 0)
        return "faults";
    /* Both events are at the same byte, so the same headers have been read. */
    return a->announced == b->announced ? NULL : "announced";
}

const char *scan_trace_difference(const struct scan_trace *a, const struct scan_trace *b)
{
    const char *difference = a->count == b->count ? NULL : "count";

    for (unsigned i = 0; i < a->count && !difference; i++)
        difference = event_difference(&a->events[i], &b->events[i]);
    return difference;
}

/* ---- msgpack-c ---------------------------------------------------------------------------------------- */

/* The bytes of a str or bin; false for other types. */
static bool string_of(const msgpack_object *object, const char **bytes, size_t *length)
{
    if (object->type != MSGPACK_OBJECT_STR && object->type != MSGPACK_OBJECT_BIN)
        return false;
    *bytes = object->type == MSGPACK_OBJECT_STR ? object->via.str.ptr : object->via.bin.ptr;
    *length = object->type == MSGPACK_OBJECT_STR ? object->via.str.size : object->via.bin.size;
    return true;
}

static const msgpack_object *last_value(const msgpack_object *option, const char *name)
{
    const msgpack_object *found = NULL;

    for (uint32_t i = 0; i < option->via.map.size; i++) {
        const char *key;
        size_t length;
        if (string_of(&option->via.map.ptr[i].key, &key, &length) && length == strlen(name) &&
            !memcmp(key, name, length))
            found = &option->via.map.ptr[i].val;
    }
    return found;
}

/* Whether the span, from byte `header` on, has the bytes of this string. */
static bool is_span_of(const uint8_t *bytes, struct span span, const msgpack_object *object)
{
    const char *content;
    size_t length;

    if (!object || !string_of(object, &content, &length))
        return span.start == span.end;
    return span.end - span.start == length && (!length || content == (const char *)bytes + span.start);
}

static bool is_value_span_of(const uint8_t *bytes, struct span span, const msgpack_object *object)
{
    static const unsigned headers[] = { [0xc4 - 0xc4] = 2, [0xc5 - 0xc4] = 3, [0xc6 - 0xc4] = 5,
                                        [0xd9 - 0xc4] = 2, [0xda - 0xc4] = 3, [0xdb - 0xc4] = 5 };
    uint8_t first;

    if (!object || object->type == MSGPACK_OBJECT_NIL)
        return span.start == span.end;
    if (span.start == span.end)
        return false;
    first = bytes[span.start];
    span.start += first < 0xc4 ? 1 : headers[first - 0xc4];
    return is_span_of(bytes, span, object);
}

static const char *option_difference(const struct scanner *scanner, const uint8_t *bytes,
                                     const msgpack_object *option)
{
    const msgpack_object *size;
    bool is_map = option && option->type == MSGPACK_OBJECT_MAP;

    if (scanner->option.start != (option ? scanner->body.end : 0) ||
        scanner->option.end != (option ? scanner->length : 0))
        return "oracle: option";
    if (scanner->option_pairs != (is_map ? option->via.map.size : 0) ||
        (scanner->option_header.end > scanner->option_header.start) != is_map)
        return "oracle: option pairs";
    if (!is_value_span_of(bytes, scanner->chunk, is_map ? last_value(option, "chunk") : NULL))
        return "oracle: chunk";
    if (!is_span_of(bytes, scanner->compressed, is_map ? last_value(option, "compressed") : NULL))
        return "oracle: compressed";
    if (scanner->mode != SCANNER_PACKED)
        return NULL;
    size = is_map ? last_value(option, "size") : NULL;
    uint64_t entries = size && size->type == MSGPACK_OBJECT_POSITIVE_INTEGER ? size->via.u64 : 0;
    if (scanner->compressed.end == scanner->compressed.start &&
        entries > (scanner->body.end - scanner->body.start) / 3)
        entries = 0;
    return scanner->entries == entries ? NULL : "oracle: size";
}

/* ---- what is invalid ---- */

static bool is_string(const msgpack_object *object)
{
    return object->type == MSGPACK_OBJECT_STR || object->type == MSGPACK_OBJECT_BIN;
}

static bool is_time(const msgpack_object *object)
{
    return !is_string(object) && object->type != MSGPACK_OBJECT_BOOLEAN &&
           object->type != MSGPACK_OBJECT_ARRAY && object->type != MSGPACK_OBJECT_MAP;
}

/* The fault of an event; EVENT_FAULT_COUNT: none. */
static enum event_fault fault_of_event(const msgpack_object *time, const msgpack_object *record)
{
    if (time->type == MSGPACK_OBJECT_ARRAY && time->via.array.size == 2) {
        if (!is_time(&time->via.array.ptr[0]))
            return EVENT_FAULT_TIME;
        if (time->via.array.ptr[1].type != MSGPACK_OBJECT_MAP)
            return EVENT_FAULT_ENTRY;
    } else if (!is_time(time)) {
        return EVENT_FAULT_TIME;
    }
    return record->type == MSGPACK_OBJECT_MAP ? EVENT_FAULT_COUNT : EVENT_FAULT_RECORD;
}

static enum event_fault fault_of_entry(const msgpack_object *entry)
{
    if (entry->type != MSGPACK_OBJECT_ARRAY || entry->via.array.size != 2)
        return EVENT_FAULT_ENTRY;
    return fault_of_event(&entry->via.array.ptr[0], &entry->via.array.ptr[1]);
}

static bool option_is_foreign(const msgpack_object *option)
{
    if (option->type != MSGPACK_OBJECT_MAP)
        return option->type != MSGPACK_OBJECT_NIL;
    for (uint32_t i = 0; i < option->via.map.size; i++) {
        const msgpack_object *value = &option->via.map.ptr[i].val;
        const char *key;
        size_t length;
        if (string_of(&option->via.map.ptr[i].key, &key, &length) && length == strlen("chunk") &&
            memcmp(key, "chunk", length) == 0 && !is_string(value) && value->type != MSGPACK_OBJECT_NIL)
            return true;
    }
    return false;
}

/* Counts faults, one place more than there are. Returns whether the array is foreign. */
static bool array_faults(const msgpack_object_array *array, uint32_t faults[EVENT_FAULT_COUNT + 1])
{
    const msgpack_object *elements = array->ptr;
    bool is_short = array->size >= 2 && (is_string(&elements[1]) || elements[1].type == MSGPACK_OBJECT_ARRAY);
    uint32_t without_option = is_short ? 2 : 3;

    if (array->size != without_option && array->size != without_option + 1)
        return true;
    if (!is_short)
        faults[is_time(&elements[1]) ? fault_of_event(&elements[1], &elements[2]) : EVENT_FAULT_TIME]++;
    else if (elements[1].type == MSGPACK_OBJECT_ARRAY)
        for (uint32_t i = 0; i < elements[1].via.array.size; i++)
            faults[fault_of_entry(&elements[1].via.array.ptr[i])]++;
    return !is_string(&elements[0]) ||
           (array->size > without_option && option_is_foreign(&elements[without_option]));
}

static const char *faults_difference(const struct scanner *scanner, const msgpack_object *value)
{
    uint32_t faults[EVENT_FAULT_COUNT + 1] = { 0 };
    bool is_foreign = value->type != MSGPACK_OBJECT_ARRAY;

    if (!is_foreign) {
        is_foreign = array_faults(&value->via.array, faults);
        faults[EVENT_FAULT_MESSAGE] = is_foreign;
    } else {
        faults[EVENT_FAULT_VALUE] = value->type != MSGPACK_OBJECT_NIL;
    }
    if (scanner->is_foreign != is_foreign)
        return "oracle: foreign";
    return memcmp(scanner->faults, faults, sizeof scanner->faults) == 0 ? NULL : "oracle: faults";
}

static bool time_is_stated(const msgpack_object *time)
{
    if (time->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
        return time->via.u64;
    if (time->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
        return true;
    return time->type == MSGPACK_OBJECT_EXT && time->via.ext.type == 0 && time->via.ext.size == 8 &&
           memcmp(time->via.ext.ptr, "\0\0\0", 4) != 0;
}

/* Whether each event of a message in Message or Forward mode has a time that is neither nil nor 0. */
static bool times_are_stated(enum scanner_mode mode, const msgpack_object *elements)
{
    if (mode == SCANNER_MESSAGE)
        return time_is_stated(&elements[1]);
    for (uint32_t i = 0; i < elements[1].via.array.size; i++) {
        const msgpack_object *time = elements[1].via.array.ptr[i].via.array.ptr;
        if (!time_is_stated(time->type == MSGPACK_OBJECT_ARRAY ? time->via.array.ptr : time))
            return false;
    }
    return true;
}

static const char *message_difference(const struct scanner *scanner, const uint8_t *bytes,
                                      const msgpack_object *message)
{
    const msgpack_object *elements = message->via.array.ptr;
    msgpack_object_type second;
    enum scanner_mode mode = SCANNER_MESSAGE;
    uint32_t without_option;

    if (message->type != MSGPACK_OBJECT_ARRAY || message->via.array.size < 2)
        return "oracle: array";
    second = elements[1].type;
    if (second == MSGPACK_OBJECT_STR || second == MSGPACK_OBJECT_BIN)
        mode = SCANNER_PACKED;
    else if (second == MSGPACK_OBJECT_ARRAY)
        mode = SCANNER_FORWARD;
    without_option = mode == SCANNER_MESSAGE ? 3 : 2;
    if (scanner->mode != mode || scanner->has_option != (message->via.array.size > without_option))
        return "oracle: mode";
    if (!is_span_of(bytes, scanner->tag, &elements[0]) || scanner->tag_value.end != scanner->tag.end ||
        scanner->tag_value.start != scanner->array.end || scanner->body.start != scanner->tag.end)
        return "oracle: tag";
    if (mode == SCANNER_MESSAGE && scanner->entries != 1)
        return "oracle: entries";
    if (mode == SCANNER_FORWARD && scanner->entries != elements[1].via.array.size)
        return "oracle: entries";
    if (mode != SCANNER_PACKED && !scanner->lacks_time && !scanner_invalid_events(scanner) &&
        !times_are_stated(mode, elements))
        return "oracle: lacks_time";
    return option_difference(scanner, bytes, scanner->has_option ? &elements[without_option] : NULL);
}

const char *scan_oracle_difference(const struct scanner *scanner, const uint8_t *bytes, size_t length)
{
    msgpack_unpacked unpacked;
    size_t at = 0;
    const char *difference;

    msgpack_unpacked_init(&unpacked);
    if (msgpack_unpack_next(&unpacked, (const char *)bytes, length, &at) != MSGPACK_UNPACK_SUCCESS)
        difference = "oracle: not a value";
    else if (at != scanner->length || scanner->announced != at)
        difference = "oracle: length";
    else
        difference = faults_difference(scanner, &unpacked.data);
    if (!difference && !scanner->is_foreign)
        difference = message_difference(scanner, bytes, &unpacked.data);
    msgpack_unpacked_destroy(&unpacked);
    return difference;
}

enum event_fault scan_oracle_entry(const uint8_t *bytes, size_t length, size_t *taken)
{
    msgpack_unpacked unpacked;
    enum event_fault fault = EVENT_FAULT_COUNT;

    *taken = 0;
    msgpack_unpacked_init(&unpacked);
    if (msgpack_unpack_next(&unpacked, (const char *)bytes, length, taken) == MSGPACK_UNPACK_SUCCESS)
        fault = fault_of_entry(&unpacked.data);
    else
        *taken = 0;
    msgpack_unpacked_destroy(&unpacked);
    return fault;
}
