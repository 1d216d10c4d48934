#include "commands/json_record.h"

#include "base/utf8.h"

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

/* MessagePack writes the size of a container first; in JSON it is known last. So headers are filled in at the
 * end. */
struct container {
    size_t header_at;
    uint32_t items; /* a member of a map counts twice: key and value */
};

struct conversion {
    msgpack_sbuffer *record;
    msgpack_packer packer;
    struct container open[NESTING_MAX];
    size_t depth;
    const char *error; /* why a callback stopped the parser */
};

static int stop(struct conversion *conversion, const char *error)
{
    conversion->error = error;
    return 0;
}

/* Counts a value (or key) of the innermost container. Outside of all containers only an object is allowed. */
static bool item_count(struct conversion *conversion)
{
    if (conversion->depth == 0)
        return stop(conversion, "not an object");
    conversion->open[conversion->depth - 1].items++;
    return true;
}

static int packed(struct conversion *conversion, int outcome)
{
    return outcome == 0 ? 1 : stop(conversion, "out of memory");
}

static int on_null(void *target)
{
    struct conversion *conversion = target;

    return item_count(conversion) && packed(conversion, msgpack_pack_nil(&conversion->packer));
}

static int on_boolean(void *target, int value)
{
    struct conversion *conversion = target;

    if (!item_count(conversion))
        return 0;
    return packed(conversion,
                  value ? msgpack_pack_true(&conversion->packer) : msgpack_pack_false(&conversion->packer));
}

static int on_number(void *target, const char *digits, size_t length)
{
    struct conversion *conversion = target;
    char text[NUMBER_BYTES];

    if (!item_count(conversion))
        return 0;
    if (length >= sizeof text)
        return stop(conversion, "a number of more than 500 digits");
    memcpy(text, digits, length);
    text[length] = '\0';
    errno = 0;
    if (!strpbrk(text, ".eE")) {
        if (text[0] == '-') {
            int64_t number = strtoll(text, NULL, 10);
            if (errno == 0)
                return packed(conversion, msgpack_pack_int64(&conversion->packer, number));
        } else {
            uint64_t number = strtoull(text, NULL, 10);
            if (errno == 0)
                return packed(conversion, msgpack_pack_uint64(&conversion->packer, number));
        }
    }
    return packed(conversion, msgpack_pack_double(&conversion->packer, strtod(text, NULL)));
}

static int on_string(void *target, const unsigned char *text, size_t length)
{
    struct conversion *conversion = target;

    if (!item_count(conversion))
        return 0;
    return packed(conversion, msgpack_pack_str_with_body(&conversion->packer, text, length));
}

static int container_open(struct conversion *conversion)
{
    static const char placeholder[HEADER_BYTES];

    if (conversion->depth == NESTING_MAX)
        return stop(conversion, "nested deeper than 100 levels");
    conversion->open[conversion->depth++] = (struct container) { .header_at = conversion->record->size };
    return packed(conversion, msgpack_sbuffer_write(conversion->record, placeholder, sizeof placeholder));
}

/* The first bytes of the two forms of a container's header. */
struct container_kind {
    unsigned char fixed; /* or'ed with a count up to FIXED_COUNT_MAX */
    unsigned char wide;  /* followed by the count in 32 bits */
    uint32_t items_each; /* items per counted element */
};
static const struct container_kind map_kind = { 0x80, 0xdf, 2 }, array_kind = { 0x90, 0xdd, 1 };

/* Writes the header into the reserved place: five bytes, or one if the count is small. */
static int container_close(struct conversion *conversion, const struct container_kind *kind)
{
    msgpack_sbuffer *record = conversion->record;
    const struct container *closed = &conversion->open[--conversion->depth];
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
    struct conversion *conversion = target;

    return (conversion->depth == 0 || item_count(conversion)) && container_open(conversion);
}

static int on_map_end(void *target)
{
    return container_close(target, &map_kind);
}

static int on_array_start(void *target)
{
    struct conversion *conversion = target;

    return item_count(conversion) && container_open(conversion);
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

/* The messages of yajl end with a newline; a fault is one line without newline. */
static void yajl_error_copy(struct fault *fault, yajl_handle parser)
{
    unsigned char *text = yajl_get_error(parser, 0, NULL, 0);

    fault_set(fault, "%.*s", text ? (int)strcspn((char *)text, "\n") : 0, text ? (char *)text : "");
    if (text)
        yajl_free_error(parser, text);
}

bool json_record_append(msgpack_sbuffer *record, const char *line, size_t length, struct fault *fault)
{
    struct conversion conversion = { .record = record };
    size_t size_before = record->size;

    if (!utf8_is_valid(line, length)) { /* stricter than yajl, which accepts encoded surrogates */
        fault_set(fault, "not UTF-8");
        return false;
    }
    msgpack_packer_init(&conversion.packer, record, msgpack_sbuffer_write);
    yajl_handle parser = yajl_alloc(&callbacks, NULL, &conversion);
    if (!parser) {
        fault_set(fault, "out of memory");
        return false;
    }
    yajl_status status = yajl_parse(parser, (const unsigned char *)line, length);
    if (status == yajl_status_ok)
        status = yajl_complete_parse(parser);
    if (status != yajl_status_ok) {
        if (conversion.error)
            fault_set(fault, "%s", conversion.error);
        else
            yajl_error_copy(fault, parser);
        record->size = size_before;
    }
    yajl_free(parser);
    return status == yajl_status_ok;
}
