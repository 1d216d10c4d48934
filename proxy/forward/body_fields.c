#include "forward/body_fields.h"

#include "forward/body_bytes.h"
#include "forward/body_option.h"
#include "forward/entries.h"

#include <stdlib.h>
#include <string.h>

enum { EVENT_CAPACITY_MIN = 1024 };

/* One message that gets fields. */
struct job {
    struct body_rewriter *rewriter;
    const struct batch_message *message;
    const struct record_fields *fields;
    struct body_option option; /* not in Message mode */
    enum compression compression;
    uint64_t inflated_max, content_max; /* longest plain body without the fields, and with them */
    struct buffer content;              /* the new entries, plain; in Message mode the new message */
    struct entries entries;
    uint64_t left_out; /* entries */
    bool has_array;    /* an entry is an array */

    /* The current event, if the end of a slice cuts it. */
    uint8_t *event;
    size_t event_length, event_capacity;
};

enum outcome { OUTCOME_GOOD, OUTCOME_REFUSED, OUTCOME_TOO_LONG, OUTCOME_NO_MEMORY };

/* ---- events ---- */

/* Adds an event with the fields to the new body. The value at the offset `at` comes before the record. */
static enum outcome event_put(struct job *job, const uint8_t *bytes, size_t length, size_t at)
{
    struct record_event event = record_event_find(bytes, length, at);

    if (!record_fields_put(job->fields, &event, &job->content))
        return OUTCOME_NO_MEMORY;
    return job->content.length > job->content_max ? OUTCOME_TOO_LONG : OUTCOME_GOOD;
}

/* An entry is complete. */
static enum outcome entry_end(struct job *job, const uint8_t *bytes, size_t length)
{
    job->has_array |= shapes[*bytes].kind == KIND_ARRAY;
    if (job->entries.last == ENTRY_INVALID) {
        job->left_out++;
        return OUTCOME_GOOD;
    }
    return event_put(job, bytes, length, shapes[*bytes].header);
}

/* Keeps bytes of an event that goes on in the next slice. */
static bool event_gather(struct job *job, const uint8_t *bytes, size_t length)
{
    size_t needed = job->event_length + length,
           capacity = job->event_capacity ? job->event_capacity : EVENT_CAPACITY_MIN;

    while (capacity < needed)
        capacity *= 2;
    if (capacity > job->event_capacity) {
        uint8_t *event = realloc(job->event, capacity);
        if (!event)
            return false;
        job->event = event;
        job->event_capacity = capacity;
    }
    memcpy(job->event + job->event_length, bytes, length);
    job->event_length += length;
    return true;
}

/* Ends the event whose last bytes these are. */
static enum outcome last_bytes_take(struct job *job, const uint8_t *bytes, size_t length)
{
    if (!job->event_length)
        return entry_end(job, bytes, length);
    if (!event_gather(job, bytes, length))
        return OUTCOME_NO_MEMORY;
    enum outcome outcome = entry_end(job, job->event, job->event_length);
    job->event_length = 0;
    return outcome;
}

/* ---- the body ---- */

static enum outcome plain_take(struct job *job, const uint8_t *bytes, size_t length)
{
    const uint8_t *begin = bytes, *end = bytes + length; /* begin: of the current event */

    if (job->compression != COMPRESSION_OFF && length > job->inflated_max - job->entries.bytes)
        return OUTCOME_TOO_LONG;
    while (bytes < end) {
        uint64_t count = job->entries.count;
        bool goes;
        bytes += entries_feed_one(&job->entries, bytes, (size_t)(end - bytes), &goes);
        if (job->entries.refused)
            return OUTCOME_REFUSED;
        if (job->entries.count == count)
            continue;
        enum outcome outcome = last_bytes_take(job, begin, (size_t)(bytes - begin));
        if (outcome != OUTCOME_GOOD)
            return outcome;
        begin = bytes;
    }
    return begin == end || event_gather(job, begin, (size_t)(end - begin)) ? OUTCOME_GOOD : OUTCOME_NO_MEMORY;
}

static int on_inflated(void *job, const uint8_t *plain, size_t length)
{
    return (int)plain_take(job, plain, length);
}

static enum outcome compressed_take(struct job *job, const uint8_t *bytes, size_t length)
{
    int status = inflater_feed(&job->rewriter->inflater, bytes, length, on_inflated, job);

    return status == INFLATER_BROKEN ? OUTCOME_REFUSED : (enum outcome)status;
}

/* Reads the entries, from the offset `start` of the message. */
static enum outcome entries_read(struct job *job, uint64_t start)
{
    const struct batch_message *message = job->message;
    struct span rest = { start, message->scanner->body.end };
    bool is_compressed = job->compression != COMPRESSION_OFF;
    enum outcome outcome = OUTCOME_GOOD;
    size_t length;

    entries_init(&job->entries);
    if (is_compressed && !inflater_begin(&job->rewriter->inflater, job->compression))
        return OUTCOME_NO_MEMORY;
    for (; rest.start < rest.end && outcome == OUTCOME_GOOD; rest.start += length) {
        const uint8_t *bytes = body_bytes_view(message->bytes, message->start, rest, &length);
        outcome = is_compressed ? compressed_take(job, bytes, length) : plain_take(job, bytes, length);
    }
    if (outcome != OUTCOME_GOOD)
        return outcome;
    bool is_whole = entries_is_between(&job->entries) &&
                    (!is_compressed || inflater_is_between(&job->rewriter->inflater));
    return is_whole ? OUTCOME_GOOD : OUTCOME_REFUSED;
}

static enum body_fields_status status_of(enum outcome outcome)
{
    return outcome == OUTCOME_REFUSED    ? BODY_FIELDS_REFUSED
           : outcome == OUTCOME_TOO_LONG ? BODY_FIELDS_TOO_LONG
           : outcome == OUTCOME_GOOD     ? BODY_FIELDS_ADDED
                                         : BODY_FIELDS_NO_MEMORY;
}

static bool old_put(const struct job *job, struct buffer *to, uint64_t start, uint64_t end)
{
    return body_bytes_copy(to, job->message->bytes, job->message->start, (struct span) { start, end });
}

/* ---- Message mode ---- */

/* The body: a time and a record. */
static enum outcome body_put(struct job *job)
{
    struct span rest = job->message->scanner->body;
    const struct buffer *source = job->message->bytes;
    size_t length, start = job->message->start;

    const uint8_t *bytes = body_bytes_view(source, start, rest, &length);
    if (length == rest.end - rest.start)
        return event_put(job, bytes, length, 0);
    for (; rest.start < rest.end; rest.start += length) {
        bytes = body_bytes_view(source, start, rest, &length);
        if (!event_gather(job, bytes, length))
            return OUTCOME_NO_MEMORY;
    }
    return event_put(job, job->event, job->event_length, 0);
}

static enum body_fields_status message_mode_add(struct job *job, struct buffer *to)
{
    const struct scanner *scanner = job->message->scanner;

    if (scanner_invalid_events(scanner))
        return BODY_FIELDS_EMPTY;
    if (!old_put(job, &job->content, 0, scanner->body.start))
        return BODY_FIELDS_NO_MEMORY;
    enum outcome outcome = body_put(job);
    bool done = old_put(job, &job->content, scanner->body.end, scanner->length) &&
                buffer_move(to, &job->content, job->content.length);
    return done ? status_of(outcome) : BODY_FIELDS_NO_MEMORY;
}

/* ---- Forward and PackedForward mode ---- */

/* Whether the option must be written anew. */
static bool changes_option(const struct job *job)
{
    uint32_t compressed_keys = job->message->scanner->option_pairs - job->option.count;

    return !job->option.is_unreadable && ((job->left_out && job->option.has_size) || compressed_keys > 1);
}

static bool option_put(const struct job *job, struct buffer *to)
{
    const struct scanner *scanner = job->message->scanner;
    const struct body_option_change change = {
        .compression = job->option.compression,
        .count = job->entries.count - job->left_out,
        .size = job->left_out ? BODY_SIZE_CORRECTED : BODY_SIZE_KEPT,
    };
    uint64_t width = scanner->option_header.end - scanner->option_header.start;
    uint8_t bytes[BODY_OPTION_BYTES_MAX + BODY_OPTION_GROWTH_MAX];

    if (!changes_option(job))
        return old_put(job, to, scanner->body.end, scanner->length);
    return buffer_append(to, bytes, body_option_write(bytes, &job->option, &change, (size_t)width));
}

/* Compresses the new entries as the old ones. */
static bool content_compress(struct job *job)
{
    struct compressor *compressor = &job->rewriter->compressor;
    struct buffer compressed;
    size_t length;

    if (job->compression == COMPRESSION_OFF)
        return true;
    buffer_init(&compressed, job->content.pool);
    bool done = compressor_begin(compressor, job->compression, job->content.length);
    while (done && job->content.length) {
        const uint8_t *bytes = buffer_view(&job->content, 0, &length);
        done = compressor_put(compressor, bytes, length, &compressed);
        buffer_consume(&job->content, length);
    }
    done = done && compressor_end(compressor, &compressed);
    buffer_clear(&job->content);
    job->content = compressed;
    return done;
}

static bool entries_put(struct job *job, struct buffer *to, uint8_t first)
{
    const struct scanner *scanner = job->message->scanner;
    bool is_forward = scanner->mode == SCANNER_FORWARD;
    enum msgpack_kind kind = is_forward                       ? MSGPACK_ARRAY
                             : shapes[first].kind == KIND_STR ? MSGPACK_STR
                                                              : MSGPACK_BIN;

    return content_compress(job) && old_put(job, to, 0, scanner->body.start) &&
           body_bytes_put_header(to, kind,
                                 is_forward ? job->entries.count - job->left_out : job->content.length,
                                 shapes[first].header) &&
           buffer_move(to, &job->content, job->content.length) && option_put(job, to);
}

static enum body_fields_status entries_add(struct job *job, struct buffer *to)
{
    const struct batch_message *message = job->message;
    const struct scanner *scanner = message->scanner;
    bool is_packed = scanner->mode == SCANNER_PACKED;
    uint8_t first;

    (void)buffer_peek(message->bytes, message->start + (size_t)scanner->body.start, &first, 1);
    body_option_read(&job->option, message->bytes, message->start, scanner);
    if (is_packed && job->option.is_unreadable)
        return BODY_FIELDS_REFUSED;
    /* In Forward mode the option cannot describe the body. */
    job->compression = is_packed ? job->option.compression : COMPRESSION_OFF;
    if (job->compression != COMPRESSION_OFF)
        job->content_max = job->inflated_max;
    enum outcome outcome = entries_read(job, scanner->body.start + shapes[first].header);
    if (outcome != OUTCOME_GOOD)
        return status_of(outcome);
    if (!job->has_array && (is_packed || !job->entries.count))
        return BODY_FIELDS_NO_EVENTS;
    if (job->left_out == job->entries.count)
        return BODY_FIELDS_EMPTY;
    if (job->left_out && job->option.is_unreadable)
        return BODY_FIELDS_REFUSED; /* "size" cannot be corrected */
    return entries_put(job, to, first) ? BODY_FIELDS_ADDED : BODY_FIELDS_NO_MEMORY;
}

enum body_fields_status body_fields_add(struct body_rewriter *rewriter, const struct batch_message *message,
                                        const struct record_fields *fields,
                                        const struct body_fields_options *options, struct body_result *result)
{
    bool is_message = message->scanner->mode == SCANNER_MESSAGE;
    struct job job = { .rewriter = rewriter,
                       .message = message,
                       .fields = fields,
                       .inflated_max = options->inflated_max,
                       .content_max = options->message_max };

    *result = (struct body_result) { 0 };
    buffer_init(&result->bytes, message->bytes->pool);
    buffer_init(&job.content, message->bytes->pool);
    enum body_fields_status status =
        is_message ? message_mode_add(&job, &result->bytes) : entries_add(&job, &result->bytes);
    memcpy(result->faults, job.entries.faults, sizeof result->faults);
    if (status == BODY_FIELDS_ADDED && result->bytes.length > options->message_max)
        status = BODY_FIELDS_TOO_LONG;
    if (status != BODY_FIELDS_ADDED)
        buffer_clear(&result->bytes);
    buffer_clear(&job.content);
    free(job.event);
    return status;
}
