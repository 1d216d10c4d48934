#include "commands/event_json.h"

#include "base/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void hex_print(FILE *out, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        fprintf(out, "%02x", (unsigned char)bytes[i]);
}

static void character_print(FILE *out, unsigned char character)
{
    static const char short_names[] = "\"\"\\\\\bb\ff\nn\rr\tt"; /* pairs: a character and its escape */

    for (const char *pair = short_names; *pair; pair += 2) {
        if ((unsigned char)pair[0] == character) {
            putc_unlocked('\\', out);
            putc_unlocked(pair[1], out);
            return;
        }
    }
    if (character < 0x20 || character == 0x7f)
        fprintf(out, "\\u%04x", character);
    else
        putc_unlocked(character, out);
}

static void text_print(FILE *out, const char *text, size_t length)
{
    putc_unlocked('"', out);
    for (size_t at = 0; at < length;) {
        size_t bytes = utf8_character_bytes(text + at, length - at);
        if (bytes > 1) {
            fwrite_unlocked(text + at, 1, bytes, out);
        } else if (bytes == 1) {
            character_print(out, (unsigned char)text[at]);
        } else {
            fprintf(out, "\\\\x%02x", (unsigned char)text[at]);
            bytes = 1;
        }
        at += bytes;
    }
    putc_unlocked('"', out);
}

/* Prints the shortest decimal that reads back as the same number and does not read back as an integer. */
static void float_print(FILE *out, const msgpack_object *value)
{
    bool is_single = value->type == MSGPACK_OBJECT_FLOAT32;
    double number = value->via.f64;
    char text[40];

    if (!isfinite(number)) {
        fputs("null", out);
        return;
    }
    for (int digits = is_single ? 6 : 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, number);
        if (is_single ? strtof(text, NULL) == (float)number : strtod(text, NULL) == number)
            break;
    }
    fputs(text, out);
    if (!strpbrk(text, ".e"))
        fputs(".0", out);
}

/* JSON keys are strings: any other key is printed as a string with its JSON text. */
static void key_print(FILE *out, const msgpack_object *key)
{
    char *text = NULL;
    size_t length = 0;

    if (key->type == MSGPACK_OBJECT_STR || key->type == MSGPACK_OBJECT_BIN) {
        event_json_print_value(out, key);
        return;
    }
    FILE *memory = open_memstream(&text, &length);
    if (memory) {
        event_json_print_value(memory, key);
        fclose(memory);
    }
    text_print(out, text ? text : "", length);
    free(text);
}

static void array_print(FILE *out, const msgpack_object_array *array)
{
    putc_unlocked('[', out);
    for (uint32_t i = 0; i < array->size; i++) {
        if (i)
            putc_unlocked(',', out);
        event_json_print_value(out, &array->ptr[i]);
    }
    putc_unlocked(']', out);
}

static void map_print(FILE *out, const msgpack_object_map *map)
{
    putc_unlocked('{', out);
    for (uint32_t i = 0; i < map->size; i++) {
        if (i)
            putc_unlocked(',', out);
        key_print(out, &map->ptr[i].key);
        putc_unlocked(':', out);
        event_json_print_value(out, &map->ptr[i].val);
    }
    putc_unlocked('}', out);
}

static void ext_print(FILE *out, const msgpack_object_ext *ext)
{
    fprintf(out, "{\"ext\":%d,\"hex\":\"", ext->type);
    hex_print(out, ext->ptr, ext->size);
    fputs("\"}", out);
}

/* Recursion is bounded: msgpack-c refuses nesting deeper than 32 levels. */
void event_json_print_value(FILE *out, const msgpack_object *value) // NOLINT(misc-no-recursion)
{
    switch (value->type) {
    case MSGPACK_OBJECT_NIL:
        fputs("null", out);
        return;
    case MSGPACK_OBJECT_BOOLEAN:
        fputs(value->via.boolean ? "true" : "false", out);
        return;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        fprintf(out, "%" PRIu64, value->via.u64);
        return;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        fprintf(out, "%" PRId64, value->via.i64);
        return;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        float_print(out, value);
        return;
    case MSGPACK_OBJECT_STR:
        text_print(out, value->via.str.ptr, value->via.str.size);
        return;
    case MSGPACK_OBJECT_BIN:
        text_print(out, value->via.bin.ptr, value->via.bin.size);
        return;
    case MSGPACK_OBJECT_ARRAY:
        array_print(out, &value->via.array);
        return;
    case MSGPACK_OBJECT_MAP:
        map_print(out, &value->via.map);
        return;
    case MSGPACK_OBJECT_EXT:
        ext_print(out, &value->via.ext);
        return;
    }
}

static void time_print(FILE *out, const msgpack_object *value)
{
    uint32_t seconds, nanoseconds;
    struct tm parts;
    char text[32];

    if (!forward_message_event_time(value, &seconds, &nanoseconds) || nanoseconds > 999999999) {
        event_json_print_value(out, value);
        return;
    }
    time_t time = (time_t)seconds;
    gmtime_r(&time, &parts);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    fprintf(out, "\"%s.%09" PRIu32 "Z\"", text, nanoseconds);
}

void event_json_print(FILE *out, const struct forward_event *event)
{
    fputs("{\"tag\":", out);
    event_json_print_value(out, &event->tag);
    if (event->signal == FORWARD_LOGS) {
        fputs(",\"time\":", out);
        time_print(out, &event->time);
    } else {
        fprintf(out, ",\"signal\":\"%s\"", event->signal == FORWARD_METRICS ? "metrics" : "traces");
    }
    if (event->metadata.type == MSGPACK_OBJECT_MAP) {
        fputs(",\"metadata\":", out);
        event_json_print_value(out, &event->metadata);
    }
    fputs(",\"record\":", out);
    event_json_print_value(out, &event->record);
    fputs("}\n", out);
}
