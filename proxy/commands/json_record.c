#include "commands/json_record.h"

#include "commands/utf8.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

enum {
    NESTING_MAX = 100,
    HEADER_BYTES = 5, /* array32 or map32: the count is known only at the end */
    NUMBER_BYTES = 512,
    FIXED_COUNT_MAX = 15
};

/* Sizes of containers come first in MessagePack and last in JSON: headers are patched. */
struct container {
    size_t header_at;
    uint32_t items; /* members of a map count twice: key and value */
};

struct reading {
    msgpack_sbuffer *record;
    msgpack_packer packer;
    struct container open[NESTING_MAX];
    size_t depth;
    const char *complaint; /* why a callback stopped the parser */
};

static int stop(struct reading *reading, const char *complaint)
{
    reading->complaint = complaint;
    return 0;
}

/* Counts a value (or key) of the innermost container. Nothing but an object may stand outside of all. */
static bool item_count(struct reading *reading)
{
    if (reading->depth == 0)
        return stop(reading, "not an object");
    reading->open[reading->depth - 1].items++;
    return true;
}

static int packed(struct reading *reading, int outcome)
{
    return outcome == 0 ? 1 : stop(reading, "out of memory");
}

static int on_null(void *target)
{
    struct reading *reading = target;

    return item_count(reading) && packed(reading, msgpack_pack_nil(&reading->packer));
}

static int on_boolean(void *target, int value)
{
    struct reading *reading = target;

    if (!item_count(reading))
        return 0;
    return packed(reading,
                  value ? msgpack_pack_true(&reading->packer) : msgpack_pack_false(&reading->packer));
}

static int on_number(void *target, const char *digits, size_t length)
{
    struct reading *reading = target;
    char text[NUMBER_BYTES];

    if (!item_count(reading))
        return 0;
    if (length >= sizeof text)
        return stop(reading, "a number of more than 500 digits");
    memcpy(text, digits, length);
    text[length] = '\0';
    errno = 0;
    if (!strpbrk(text, ".eE")) {
        if (text[0] == '-') {
            int64_t number = strtoll(text, NULL, 10);
            if (errno == 0)
                return packed(reading, msgpack_pack_int64(&reading->packer, number));
        } else {
            uint64_t number = strtoull(text, NULL, 10);
            if (errno == 0)
                return packed(reading, msgpack_pack_uint64(&reading->packer, number));
        }
    }
    return packed(reading, msgpack_pack_double(&reading->packer, strtod(text, NULL)));
}

static int on_string(void *target, const unsigned char *text, size_t length)
{
    struct reading *reading = target;

    if (!item_count(reading))
        return 0;
    return packed(reading, msgpack_pack_str_with_body(&reading->packer, text, length));
}

static int container_open(struct reading *reading)
{
    static const char placeholder[HEADER_BYTES];

    if (reading->depth == NESTING_MAX)
        return stop(reading, "nested deeper than 100 levels");
    reading->open[reading->depth++] = (struct container) { .header_at = reading->record->size };
    return packed(reading, msgpack_sbuffer_write(reading->record, placeholder, sizeof placeholder));
}

/* First bytes of the two forms of a container's header. */
struct container_kind {
    unsigned char fixed; /* or'ed with a count up to FIXED_COUNT_MAX */
    unsigned char wide;  /* followed by the count in 32 bits */
    uint32_t items_each; /* items that make up one of the count */
};
static const struct container_kind map_kind = { 0x80, 0xdf, 2 }, array_kind = { 0x90, 0xdd, 1 };

/* Writes the header into the place kept for it: five bytes, or one when the count is small. */
static int container_close(struct reading *reading, const struct container_kind *kind)
{
    msgpack_sbuffer *record = reading->record;
    const struct container *closed = &reading->open[--reading->depth];
    uint32_t count = closed->items / kind->items_each;
    char *header = record->data + closed->header_at;

    if (count > FIXED_COUNT_MAX) {
        header[0] = (char)kind->wide;
        for (int i = 0; i < 4; i++)
            header[1 + i] = (char)(count >> (24 - 8 * i));
        return 1;
    }
    header[0] = (char)(kind->fixed | count);
    size_t body_bytes = (size_t)(record->data + record->size - (header + HEADER_BYTES));
    memmove(header + 1, header + HEADER_BYTES, body_bytes);
    record->size -= HEADER_BYTES - 1;
    return 1;
}

static int on_map_start(void *target)
{
    struct reading *reading = target;

    return (reading->depth == 0 || item_count(reading)) && container_open(reading);
}

static int on_map_end(void *target)
{
    return container_close(target, &map_kind);
}

static int on_array_start(void *target)
{
    struct reading *reading = target;

    return item_count(reading) && container_open(reading);
}

static int on_array_end(void *target)
{
    return container_close(target, &array_kind);
}

static const yajl_callbacks callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_boolean,
    .yajl_number = on_number,
    .yajl_string = on_string,
    .yajl_start_map = on_map_start,
    .yajl_map_key = on_string,
    .yajl_end_map = on_map_end,
    .yajl_start_array = on_array_start,
    .yajl_end_array = on_array_end,
};

/* yajl ends its complaints with a newline; a fault is one line without. */
static void complaint_copy(struct fault *fault, yajl_handle parser)
{
    unsigned char *text = yajl_get_error(parser, 0, NULL, 0);

    fault_set(fault, "%.*s", text ? (int)strcspn((char *)text, "\n") : 0, text ? (char *)text : "");
    if (text)
        yajl_free_error(parser, text);
}

bool json_record_append(msgpack_sbuffer *record, const char *line, size_t length, struct fault *fault)
{
    struct reading reading = { .record = record };
    size_t size_before = record->size;

    if (!utf8_is_valid(line, length)) { /* stricter than yajl, which lets encoded surrogates pass */
        fault_set(fault, "not UTF-8");
        return false;
    }
    msgpack_packer_init(&reading.packer, record, msgpack_sbuffer_write);
    yajl_handle parser = yajl_alloc(&callbacks, NULL, &reading);
    if (!parser) {
        fault_set(fault, "out of memory");
        return false;
    }
    yajl_status status = yajl_parse(parser, (const unsigned char *)line, length);
    if (status == yajl_status_ok)
        status = yajl_complete_parse(parser);
    if (status != yajl_status_ok) {
        if (reading.complaint)
            fault_set(fault, "%s", reading.complaint);
        else
            complaint_copy(fault, parser);
        record->size = size_before;
    }
    yajl_free(parser);
    return status == yajl_status_ok;
}
