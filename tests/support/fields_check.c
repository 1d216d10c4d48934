#include "support/fields_check.h"

#include "support/scan_check.h"

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

void fields_check_make(struct record_fields *fields, unsigned count)
{
    static const char *const names[RECORD_FIELDS_MAX] = { "peer", "key", "key3", "key4" };
    static const char *const values[RECORD_FIELDS_MAX] = { "a1", "0f", "x", "x" };

    *fields = (struct record_fields) { 0 };
    for (unsigned i = 0; i < count; i++) {
        if (!record_fields_add(fields, names[i], values[i]))
            abort();
    }
}

static void add(struct bytes *to, const uint8_t *from, size_t length)
{
    if (length > sizeof to->at - to->length)
        abort();
    memcpy(to->at + to->length, from, length);
    to->length += length;
}

/* The length of the value at the front, read by msgpack-c; 0: it cannot read the value. *is_named: the value
 * is a str or bin with the name of a field. */
static size_t value_bytes(const uint8_t *bytes, size_t length, const struct record_fields *fields,
                          bool *is_named)
{
    msgpack_unpacked unpacked;
    size_t taken = 0;

    *is_named = false;
    msgpack_unpacked_init(&unpacked);
    if (msgpack_unpack_next(&unpacked, (const char *)bytes, length, &taken) != MSGPACK_UNPACK_SUCCESS)
        taken = 0;
    const msgpack_object *value = &unpacked.data;
    bool is_str = taken && value->type == MSGPACK_OBJECT_STR,
         is_bin = taken && value->type == MSGPACK_OBJECT_BIN;
    for (unsigned i = 0; (is_str || is_bin) && i < fields->count; i++) {
        const char *text = is_str ? value->via.str.ptr : value->via.bin.ptr;
        size_t size = is_str ? value->via.str.size : value->via.bin.size;
        *is_named |=
            size == fields->names[i].length && memcmp(text, fields->pairs + fields->names[i].at, size) == 0;
    }
    msgpack_unpacked_destroy(&unpacked);
    return taken;
}

/* Adds a record that is `length` bytes long. */
static bool record_add(struct bytes *to, const uint8_t *record, size_t length,
                       const struct record_fields *fields)
{
    unsigned width = *record == 0xde ? 3 : *record == 0xdf ? 5 : 1;
    struct bytes *kept = malloc(sizeof *kept);
    uint64_t count = fields->count;
    size_t at = width;

    if (!kept)
        abort();
    kept->length = 0;
    while (at < length) {
        bool is_named, ignored;
        size_t key = value_bytes(record + at, length - at, fields, &is_named);
        size_t value = key ? value_bytes(record + at + key, length - at - key, fields, &ignored) : 0;
        if (!value) {
            free(kept);
            return false;
        }
        if (!is_named) {
            add(kept, record + at, key + value);
            count++;
        }
        at += key + value;
    }
    add(kept, fields->pairs, fields->length);
    width = width < 3 && count > 15 ? 3 : width;
    width = width < 5 && count > UINT16_MAX ? 5 : width;
    const uint8_t header[] = { width == 1   ? (uint8_t)(0x80 + count)
                               : width == 3 ? 0xde
                                            : 0xdf,
                               (uint8_t)(width == 3 ? count >> 8 : count >> 24),
                               (uint8_t)(width == 3 ? count : count >> 16), (uint8_t)(count >> 8),
                               (uint8_t)count };
    add(to, header, width);
    add(to, kept->at, kept->length);
    free(kept);
    return true;
}

/* Adds an event, whose first value begins at the offset `at`. */
static bool event_add(struct bytes *to, const uint8_t *event, size_t length, size_t at,
                      const struct record_fields *fields)
{
    bool ignored;
    size_t first = value_bytes(event + at, length - at, fields, &ignored);

    if (!first)
        return false;
    add(to, event, at + first);
    return record_add(to, event + at + first, length - at - first, fields);
}

/* Adds all valid entries; *left_out: the number of the others. */
static bool entries_add(struct bytes *to, const struct bytes *plain, const struct record_fields *fields,
                        uint64_t *count, uint64_t *left_out)
{
    size_t taken;

    for (size_t at = 0; at < plain->length; at += taken) {
        enum event_fault fault = scan_oracle_entry(plain->at + at, plain->length - at, &taken);
        uint8_t first = plain->at[at];
        if (!taken)
            return false;
        if (fault != EVENT_FAULT_COUNT) {
            *left_out += 1;
            continue;
        }
        *count += 1;
        if (!event_add(to, plain->at + at, taken, first == 0xdc ? 3 : first == 0xdd ? 5 : 1, fields))
            return false;
    }
    return true;
}

static bool scan(struct scanner *scanner, const struct bytes *message)
{
    struct buffer_pool pool = { 0 };
    struct buffer buffer;

    buffer_init(&buffer, &pool);
    body_check_fill(&buffer, message->at, message->length, NULL, 0);
    bool is_whole = body_check_scan(scanner, &buffer, 0) && scanner->length == message->length;
    buffer_clear(&buffer);
    buffer_pool_deinit(&pool);
    return is_whole;
}

static bool spans_equal(const struct bytes *a, struct span of_a, const struct bytes *b, struct span of_b)
{
    return of_a.end - of_a.start == of_b.end - of_b.start &&
           memcmp(a->at + of_a.start, b->at + of_b.start, (size_t)(of_a.end - of_a.start)) == 0;
}

static enum compression compression_of(const struct bytes *message, const struct scanner *scanner)
{
    const struct span *value = &scanner->compressed;
    size_t length = (size_t)(value->end - value->start);

    if (scanner->mode != SCANNER_PACKED || length != 4)
        return COMPRESSION_OFF;
    return memcmp(message->at + value->start, "gzip", 4) == 0   ? COMPRESSION_GZIP
           : memcmp(message->at + value->start, "zstd", 4) == 0 ? COMPRESSION_ZSTD
                                                                : COMPRESSION_OFF;
}

/* The entries, or in Message mode time and record. */
static bool plain_of(struct bytes *plain, const struct bytes *message, const struct scanner *scanner)
{
    if (scanner->mode != SCANNER_MESSAGE)
        return body_check_plain(plain, message, scanner, compression_of(message, scanner));
    plain->length = 0;
    add(plain, message->at + scanner->body.start, (size_t)(scanner->body.end - scanner->body.start));
    return true;
}

static const char *difference_of(const struct bytes *before, const struct scanner *old,
                                 const struct bytes *after, const struct scanner *new,
                                 const struct record_fields *fields)
{
    struct bytes *plain = malloc(3 * sizeof *plain);
    uint64_t count = 0, left_out = 0;
    const char *difference = NULL;

    if (!plain)
        abort();
    plain[2].length = 0;
    if (!plain_of(&plain[0], before, old)) {
        difference = "it was not readable";
    } else if (!plain_of(&plain[1], after, new)) {
        difference = "its body is not readable any more";
    } else if (old->mode == SCANNER_MESSAGE ? event_add(&plain[2], plain[0].at, plain[0].length, 0, fields)
                                            : entries_add(&plain[2], &plain[0], fields, &count, &left_out)) {
        bool is_same =
            plain[1].length == plain[2].length && memcmp(plain[1].at, plain[2].at, plain[1].length) == 0;
        if (!is_same)
            difference = "the entries";
        else if (left_out && old->mode == SCANNER_FORWARD && new->entries != count)
            difference = "the number of entries";
        else if (!left_out && new->option.end - new->option.start > old->option.end - old->option.start)
            difference = "the option grew";
        else if (!left_out && old->mode != SCANNER_PACKED &&
                 !spans_equal(before, old->option, after, new->option))
            difference = "the option";
    }
    free(plain);
    return difference;
}

const char *fields_check_difference(const struct bytes *before, const struct bytes *after,
                                    const struct record_fields *fields)
{
    struct scanner old, new;

    if (!scan(&old, before))
        return "it was no message";
    if (!scan(&new, after))
        return "it is no message any more";
    if (old.mode != new.mode)
        return "the mode";
    const struct span heads[] = { { 0, old.body.start }, { 0, new.body.start } };
    if (!spans_equal(before, heads[0], after, heads[1]))
        return "the bytes before the body";
    if (!spans_equal(before, old.chunk, after, new.chunk))
        return "the chunk id";
    if (compression_of(before, &old) != compression_of(after, &new))
        return "the compression";
    return difference_of(before, &old, after, &new, fields);
}
