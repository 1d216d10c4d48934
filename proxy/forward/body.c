#include "forward/body.h"

#include "forward/entries.h"
#include "forward/msgpack_bytes.h"

#include <assert.h>
#include <string.h>

enum {
    /* Most bytes that a compressed message has in addition: "compressed" and "size" with their values, wider
     * headers, a new option. */
    COMPRESSED_GROWTH_MAX = BODY_COMPRESS_MIN,
    NUMBER_BYTES_MAX = 5,
};

/* What the option of a message says about its body. */
struct option {
    bool is_unreadable; /* too long, or unknown values: the message is not rewritten */
    bool is_log;        /* fluent_signal is absent or 0 */
    bool has_size;
    enum compression compression;
    uint32_t count; /* pairs that stay, i.e. all but "compressed" */
    size_t length;
    uint8_t pairs[BODY_OPTION_BYTES_MAX]; /* the pairs that stay */
};

/* One message being rewritten. */
struct job {
    struct body_rewriter *rewriter;
    const struct buffer *source;
    size_t start; /* offset of the message in `source` */
    const struct scanner *scanner;
    struct option option;
    uint8_t body_first; /* first byte of the header of the body */
    uint64_t contents;  /* offset of the first byte after that header */
    bool strips, compresses;
    enum compression to;    /* compression of the new contents */
    struct buffer *content; /* receives the new contents; NULL: the body is only inspected */
    struct entries entries;
};

enum outcome {
    OUTCOME_GOOD,
    OUTCOME_FOREIGN, /* not log entries */
    OUTCOME_UNREADABLE,
    OUTCOME_NO_MEMORY,
};

void body_rewriter_deinit(struct body_rewriter *rewriter)
{
    compressor_deinit(&rewriter->compressor);
    inflater_deinit(&rewriter->inflater);
}

/* ---- the option ---- */

static void option_read_compressed(struct option *option, const struct msgpack_item *value)
{
    option->is_unreadable = false;
    if (value->kind == MSGPACK_NIL || msgpack_item_is(value, compression_name(COMPRESSION_OFF)))
        option->compression = COMPRESSION_OFF;
    else if (msgpack_item_is(value, compression_name(COMPRESSION_GZIP)))
        option->compression = COMPRESSION_GZIP;
    else if (msgpack_item_is(value, compression_name(COMPRESSION_ZSTD)))
        option->compression = COMPRESSION_ZSTD;
    else
        option->is_unreadable = true;
}

/* Whether a value is an integer 0 in any form. */
static bool is_zero(const struct msgpack_bytes *reader, const struct msgpack_item *value)
{
    uint8_t first = reader->bytes[value->start];

    if (value->kind != MSGPACK_NUMBER || first == 0)
        return value->kind == MSGPACK_NUMBER;
    for (uint64_t i = 0; i < value->count; i++) {
        if (value->body[i])
            return false;
    }
    return shapes[first].kind == KIND_INT && value->count;
}

/* If an option has a key twice, the last one counts. */
static bool option_read_pair(struct option *option, struct msgpack_bytes *reader)
{
    struct msgpack_item key, value;
    size_t start = reader->at;

    if (!msgpack_bytes_next_whole(reader, &key) || !msgpack_bytes_next_whole(reader, &value))
        return false;
    if (msgpack_item_is(&key, "compressed")) {
        option_read_compressed(option, &value);
        return true;
    }
    if (msgpack_item_is(&key, "fluent_signal"))
        option->is_log = is_zero(reader, &value);
    else if (msgpack_item_is(&key, "size"))
        option->has_size = true;
    memcpy(option->pairs + option->length, reader->bytes + start, reader->at - start);
    option->length += reader->at - start;
    option->count++;
    return true;
}

static void option_read(struct job *job)
{
    const struct scanner *scanner = job->scanner;
    struct option *option = &job->option;
    uint8_t bytes[BODY_OPTION_BYTES_MAX];
    size_t length = (size_t)(scanner->option.end - scanner->option_header.end);
    struct msgpack_bytes reader;

    option->is_unreadable = false;
    option->is_log = true;
    option->has_size = false;
    option->compression = COMPRESSION_OFF;
    option->count = 0;
    option->length = 0;
    if (scanner->option_header.end == scanner->option_header.start)
        return; /* the option is absent or nil */
    if (length > sizeof bytes) {
        option->is_unreadable = true;
        return;
    }
    (void)buffer_peek(job->source, job->start + (size_t)scanner->option_header.end, bytes, length);
    msgpack_bytes_init(&reader, bytes, length, length);
    for (uint32_t i = 0; i < scanner->option_pairs; i++) {
        if (!option_read_pair(option, &reader)) {
            option->is_unreadable = true;
            return;
        }
    }
}

/* ---- reading the body ---- */

/* The contiguous bytes of the message from `at`, at most to `end`. */
static const uint8_t *piece_view(const struct job *job, uint64_t at, uint64_t end, size_t *length)
{
    const uint8_t *bytes = buffer_view(job->source, job->start + (size_t)at, length);

    if (*length > end - at)
        *length = (size_t)(end - at);
    return bytes;
}

static bool content_put(const struct job *job, const uint8_t *bytes, size_t length)
{
    if (job->to == COMPRESSION_OFF)
        return buffer_append(job->content, bytes, length);
    return compressor_put(&job->rewriter->compressor, bytes, length, job->content);
}

static enum outcome plain_take(struct job *job, const uint8_t *bytes, size_t length)
{
    bool is_compressed = job->option.compression != COMPRESSION_OFF;

    if (is_compressed && length > job->rewriter->options.inflated_max - job->entries.bytes)
        return OUTCOME_UNREADABLE;
    while (length) {
        bool goes;
        size_t taken = entries_feed(&job->entries, bytes, length, &goes);
        if (job->entries.refused)
            return OUTCOME_FOREIGN;
        if (job->content && !(goes && job->strips) && !content_put(job, bytes, taken))
            return OUTCOME_NO_MEMORY;
        bytes += taken;
        length -= taken;
    }
    return OUTCOME_GOOD;
}

static enum outcome inflated_take(struct job *job, const uint8_t *bytes, size_t length)
{
    struct inflater *inflater = &job->rewriter->inflater;
    enum inflater_status status;
    enum outcome outcome = OUTCOME_GOOD;

    inflater_give(inflater, bytes, length);
    do {
        const uint8_t *plain;
        size_t plain_length;
        status = inflater_next(inflater, &plain, &plain_length);
        if (status == INFLATER_BROKEN)
            return OUTCOME_UNREADABLE;
        if (status == INFLATER_PIECE)
            outcome = plain_take(job, plain, plain_length);
    } while (status == INFLATER_PIECE && outcome == OUTCOME_GOOD);
    return outcome;
}

/* Reads all entries of the body. With `content` it also writes the new contents. */
static enum outcome body_read(struct job *job)
{
    const struct scanner *scanner = job->scanner;
    bool is_compressed = job->option.compression != COMPRESSION_OFF;
    enum outcome outcome = OUTCOME_GOOD;
    size_t length;

    entries_init(&job->entries);
    if (is_compressed && !inflater_begin(&job->rewriter->inflater, job->option.compression))
        return OUTCOME_NO_MEMORY;
    for (uint64_t at = job->contents; at < scanner->body.end && outcome == OUTCOME_GOOD; at += length) {
        const uint8_t *bytes = piece_view(job, at, scanner->body.end, &length);
        outcome = is_compressed ? inflated_take(job, bytes, length) : plain_take(job, bytes, length);
    }
    if (outcome == OUTCOME_GOOD && is_compressed && !inflater_is_between(&job->rewriter->inflater))
        return OUTCOME_UNREADABLE;
    if (outcome == OUTCOME_GOOD && !entries_is_between(&job->entries))
        return OUTCOME_FOREIGN;
    return outcome;
}

/* ---- what to do ---- */

/* Whether the body must be inspected. */
static bool job_begin(struct job *job)
{
    const struct body_options *options = &job->rewriter->options;
    const struct scanner *scanner = job->scanner;

    if (scanner->mode == SCANNER_MESSAGE || !body_options_ask(options))
        return false;
    (void)buffer_peek(job->source, job->start + (size_t)scanner->body.start, &job->body_first, 1);
    job->contents = scanner->body.start + shapes[job->body_first].header;
    option_read(job);
    bool is_compressed = job->option.compression != COMPRESSION_OFF;
    if (job->option.is_unreadable || !job->option.is_log)
        return false;
    if (scanner->mode == SCANNER_FORWARD && is_compressed)
        return false; /* in this mode the option cannot describe the body */
    if (options->strip_metadata)
        return true;
    return !is_compressed && scanner->body.end - job->contents >= options->compress_min;
}

static uint64_t plain_length(const struct job *job)
{
    return job->strips ? job->entries.staying : job->entries.bytes;
}

/* Decides what to do with an inspected body. */
static void job_decide(struct job *job)
{
    const struct body_options *options = &job->rewriter->options;

    job->strips = options->strip_metadata && job->entries.with_metadata;
    job->compresses = options->compress && job->option.compression == COMPRESSION_OFF &&
                      plain_length(job) >= options->compress_min;
    job->to = job->compresses ? options->compress : job->option.compression;
}

/* ---- the new message ---- */

static enum outcome content_make(struct job *job, struct buffer *content)
{
    struct compressor *compressor = &job->rewriter->compressor;
    enum outcome outcome;

    if (job->to != COMPRESSION_OFF && !compressor_begin(compressor, job->to, plain_length(job)))
        return OUTCOME_NO_MEMORY;
    job->content = content;
    outcome = body_read(job);
    job->content = NULL;
    if (outcome == OUTCOME_GOOD && job->to != COMPRESSION_OFF && !compressor_end(compressor, content))
        return OUTCOME_NO_MEMORY;
    return outcome;
}

static bool header_put(struct buffer *to, enum msgpack_kind kind, uint64_t count, uint64_t width_min)
{
    uint8_t header[MSGPACK_HEADER_BYTES_MAX];

    if (count > UINT32_MAX)
        return false;
    return buffer_append(to, header,
                         msgpack_bytes_put_header(header, kind, (uint32_t)count, (size_t)width_min));
}

/* Copies bytes of the old message. */
static bool old_put(const struct job *job, struct buffer *to, uint64_t start, uint64_t end)
{
    size_t length;

    for (uint64_t at = start; at < end; at += length) {
        const uint8_t *bytes = piece_view(job, at, end, &length);
        if (!buffer_append(to, bytes, length))
            return false;
    }
    return true;
}

static bool text_put(struct buffer *to, const char *text)
{
    return header_put(to, MSGPACK_STR, strlen(text), 0) && buffer_append(to, text, strlen(text));
}

static bool number_put(struct buffer *to, uint64_t number)
{
    uint8_t bytes[NUMBER_BYTES_MAX] = { 0xce, (uint8_t)(number >> 24), (uint8_t)(number >> 16),
                                        (uint8_t)(number >> 8), (uint8_t)number };

    assert(number <= UINT32_MAX); /* an entry has at least two bytes of the body */
    return number < 0x80 ? buffer_append(to, bytes + 4, 1) : buffer_append(to, bytes, sizeof bytes);
}

/* The old pairs, then the pairs that a compressed body needs. */
static bool option_put(const struct job *job, struct buffer *to)
{
    const struct option *option = &job->option;
    uint64_t width = job->scanner->option_header.end - job->scanner->option_header.start;
    uint64_t added = option->has_size ? 1 : 2;

    return header_put(to, MSGPACK_MAP, option->count + added, width) &&
           buffer_append(to, option->pairs, option->length) &&
           (option->has_size || (text_put(to, "size") && number_put(to, job->entries.count))) &&
           text_put(to, "compressed") && text_put(to, compression_name(job->to));
}

static bool body_header_put(const struct job *job, struct buffer *to, uint64_t length)
{
    bool is_str = shapes[job->body_first].kind == KIND_STR;
    uint64_t width = job->contents - job->scanner->body.start;

    if (job->compresses)
        return header_put(to, MSGPACK_BIN, length, 0);
    if (job->scanner->mode == SCANNER_FORWARD)
        return old_put(job, to, job->scanner->body.start, job->contents);
    return header_put(to, is_str ? MSGPACK_STR : MSGPACK_BIN, length, width);
}

static bool message_put(const struct job *job, struct buffer *content, struct buffer *to)
{
    const struct scanner *scanner = job->scanner;
    uint64_t width = scanner->array.end - scanner->array.start;
    bool gets_option = job->compresses && !scanner->has_option;

    return (gets_option ? header_put(to, MSGPACK_ARRAY, 3, width)
                        : old_put(job, to, 0, scanner->array.end)) &&
           old_put(job, to, scanner->array.end, scanner->body.start) &&
           body_header_put(job, to, content->length) && buffer_move(to, content, content->length) &&
           (job->compresses ? option_put(job, to) : old_put(job, to, scanner->body.end, scanner->length));
}

/* True when the message was rewritten. If compression makes the body no smaller, the body is only stripped,
 * or not rewritten. */
static bool job_run(struct job *job, struct buffer *to)
{
    struct buffer content;

    buffer_init(&content, to->pool);
    bool made = content_make(job, &content) == OUTCOME_GOOD;
    if (made && job->compresses && content.length + COMPRESSED_GROWTH_MAX > plain_length(job)) {
        buffer_clear(&content);
        job->compresses = false;
        job->to = COMPRESSION_OFF;
        made = job->strips && content_make(job, &content) == OUTCOME_GOOD;
    }
    made = made && message_put(job, &content, to);
    buffer_clear(&content);
    return made;
}

enum body_status body_rewrite(struct body_rewriter *rewriter, const struct buffer *source, size_t start,
                              const struct scanner *scanner, struct body_result *result)
{
    struct job job;

    assert(!rewriter->options.compress || rewriter->options.compress_min >= BODY_COMPRESS_MIN);
    *result = (struct body_result) { 0 };
    buffer_init(&result->bytes, source->pool);
    job.rewriter = rewriter;
    job.source = source;
    job.start = start;
    job.scanner = scanner;
    job.content = NULL;
    if (!job_begin(&job))
        return BODY_UNCHANGED;
    enum outcome outcome = body_read(&job);
    if (outcome != OUTCOME_GOOD)
        return outcome == OUTCOME_UNREADABLE ? BODY_UNREADABLE : BODY_UNCHANGED;
    job_decide(&job);
    if ((!job.strips && !job.compresses) || !job_run(&job, &result->bytes)) {
        buffer_clear(&result->bytes);
        return BODY_UNCHANGED;
    }
    result->is_compressed = job.compresses;
    result->is_stripped = job.strips;
    return BODY_REWRITTEN;
}
