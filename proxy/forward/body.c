#include "forward/body.h"

#include "forward/body_bytes.h"
#include "forward/body_option.h"
#include "forward/entries.h"

#include <assert.h>
#include <string.h>

enum {
    /* Most bytes that a compressed message has in addition: "compressed" and "size" with their values, wider
     * headers, a new option. */
    COMPRESSED_GROWTH_MAX = BODY_COMPRESS_MIN,
};

/* One message being rewritten. */
struct job {
    const struct body_options *options;
    struct body_rewriter *rewriter; /* NULL: neither compresses nor inflates */
    const struct buffer *source;
    size_t start; /* offset of the message in `source` */
    const struct scanner *scanner;
    struct body_option option;
    uint8_t body_first; /* first byte of the header of the body */
    uint64_t contents;  /* offset of the first byte after that header */
    bool strips, compresses;
    enum compression to;    /* compression of the new contents */
    struct buffer *content; /* receives the new contents; NULL: the body is only inspected */
    struct entries entries;

    /* The current entry. */
    uint64_t entry_bytes, entry_staying; /* see struct entries */
    struct buffer entry;                 /* its new bytes, if entries are left out */

    /* Found by the inspection: what is left out. */
    uint64_t leaving;                        /* entries */
    uint64_t leaving_bytes, leaving_staying; /* their bytes */
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

/* ---- reading the body ---- */

static bool content_put(const struct job *job, const uint8_t *bytes, size_t length)
{
    if (job->to == COMPRESSION_OFF)
        return buffer_append(job->content, bytes, length);
    return compressor_put(&job->rewriter->compressor, bytes, length, job->content);
}

/* Whether an entry of this kind is left out. */
static bool kind_leaves(const struct job *job, enum entry_kind kind)
{
    return (kind == ENTRY_INVALID && job->options->skip_invalid) ||
           (kind == ENTRY_MARKER && job->options->strip_metadata);
}

/* Takes bytes that stay, or that go as metadata. */
static bool part_put(struct job *job, const uint8_t *bytes, size_t length, bool goes)
{
    job->entry_bytes += length;
    job->entry_staying += goes ? 0 : length;
    if (!job->content || (goes && job->strips))
        return true;
    return job->leaving ? buffer_append(&job->entry, bytes, length) : content_put(job, bytes, length);
}

/* The current entry is complete. */
static bool entry_end(struct job *job)
{
    bool leaves = kind_leaves(job, job->entries.last), done = true;
    size_t length;

    if (!job->content && leaves) {
        job->leaving++;
        job->leaving_bytes += job->entry_bytes;
        job->leaving_staying += job->entry_staying;
    }
    job->entry_bytes = job->entry_staying = 0;
    while (done && !leaves && job->entry.length) {
        const uint8_t *bytes = buffer_view(&job->entry, 0, &length);
        done = content_put(job, bytes, length);
        buffer_consume(&job->entry, length);
    }
    buffer_clear(&job->entry);
    return done;
}

static enum outcome plain_take(struct job *job, const uint8_t *bytes, size_t length)
{
    bool is_compressed = job->option.compression != COMPRESSION_OFF;
    bool by_entry = !job->content || job->leaving;

    if (is_compressed && length > job->options->inflated_max - job->entries.bytes)
        return OUTCOME_UNREADABLE;
    while (length) {
        bool goes;
        uint64_t count = job->entries.count;
        size_t taken = by_entry ? entries_feed_one(&job->entries, bytes, length, &goes)
                                : entries_feed(&job->entries, bytes, length, &goes);
        if (job->entries.refused)
            return OUTCOME_FOREIGN;
        if (!part_put(job, bytes, taken, goes))
            return OUTCOME_NO_MEMORY;
        if (by_entry && job->entries.count > count && !entry_end(job))
            return OUTCOME_NO_MEMORY;
        bytes += taken;
        length -= taken;
    }
    return OUTCOME_GOOD;
}

static int on_inflated(void *job, const uint8_t *plain, size_t length)
{
    return (int)plain_take(job, plain, length);
}

static enum outcome compressed_take(struct job *job, const uint8_t *bytes, size_t length)
{
    int status = inflater_feed(&job->rewriter->inflater, bytes, length, on_inflated, job);

    return status == INFLATER_BROKEN ? OUTCOME_UNREADABLE : (enum outcome)status;
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
        const uint8_t *bytes =
            body_bytes_view(job->source, job->start, (struct span) { at, scanner->body.end }, &length);
        outcome = is_compressed ? compressed_take(job, bytes, length) : plain_take(job, bytes, length);
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
    const struct body_options *options = job->options;
    const struct scanner *scanner = job->scanner;

    if (scanner->mode == SCANNER_MESSAGE)
        return false;
    (void)buffer_peek(job->source, job->start + (size_t)scanner->body.start, &job->body_first, 1);
    job->contents = scanner->body.start + shapes[job->body_first].header;
    body_option_read(&job->option, job->source, job->start, scanner);
    bool is_compressed = job->option.compression != COMPRESSION_OFF;
    if (job->option.is_unreadable || !job->option.is_log)
        return false;
    if (scanner->mode == SCANNER_FORWARD && is_compressed)
        return false; /* in this mode the option cannot describe the body */
    if (options->strip_metadata || !options->compress)
        return true;
    return !is_compressed && scanner->body.end - job->contents >= options->compress_min;
}

static uint64_t plain_length(const struct job *job)
{
    return job->strips ? job->entries.staying - job->leaving_staying
                       : job->entries.bytes - job->leaving_bytes;
}

/* Decides what to do with an inspected body, whose entries are whole. */
static enum body_status job_decide(struct job *job, struct body_result *result)
{
    const struct body_options *options = job->options;
    const struct entries *entries = &job->entries;

    if (entries->kinds[ENTRY_INVALID] == entries->count && entries->count)
        return BODY_UNCHANGED; /* other values than log entries */
    memcpy(result->faults, entries->faults, sizeof result->faults);
    if (entries->kinds[ENTRY_INVALID] && !options->skip_invalid)
        return BODY_UNCHANGED;
    if (entries->count && job->leaving == entries->count)
        return BODY_EMPTY;
    job->strips = options->strip_metadata && entries->with_metadata;
    job->compresses = options->compress && job->option.compression == COMPRESSION_OFF &&
                      plain_length(job) >= options->compress_min;
    job->to = job->compresses ? options->compress : job->option.compression;
    return job->strips || job->compresses || job->leaving ? BODY_REWRITTEN : BODY_UNCHANGED;
}

/* ---- the new message ---- */

static enum outcome content_make(struct job *job, struct buffer *content)
{
    struct compressor *compressor = job->rewriter ? &job->rewriter->compressor : NULL;
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

/* Copies bytes of the old message. */
static bool old_put(const struct job *job, struct buffer *to, uint64_t start, uint64_t end)
{
    return body_bytes_copy(to, job->source, job->start, (struct span) { start, end });
}

static uint64_t new_count(const struct job *job)
{
    return job->entries.count - job->leaving;
}

static bool option_put(const struct job *job, struct buffer *to)
{
    const struct body_option_change change = {
        .compression = job->to,
        .count = new_count(job),
        .size = job->leaving      ? BODY_SIZE_CORRECTED
                : job->compresses ? BODY_SIZE_ADDED
                                  : BODY_SIZE_KEPT,
    };
    uint64_t width = job->scanner->option_header.end - job->scanner->option_header.start;
    uint8_t bytes[BODY_OPTION_BYTES_MAX + BODY_OPTION_GROWTH_MAX];

    return buffer_append(to, bytes, body_option_write(bytes, &job->option, &change, (size_t)width));
}

static bool body_header_put(const struct job *job, struct buffer *to, uint64_t length)
{
    bool is_str = shapes[job->body_first].kind == KIND_STR;
    uint64_t width = job->contents - job->scanner->body.start;

    if (job->compresses)
        return body_bytes_put_header(to, MSGPACK_BIN, length, 0);
    if (job->scanner->mode == SCANNER_FORWARD)
        return body_bytes_put_header(to, MSGPACK_ARRAY, new_count(job), width);
    return body_bytes_put_header(to, is_str ? MSGPACK_STR : MSGPACK_BIN, length, width);
}

static bool message_put(const struct job *job, struct buffer *content, struct buffer *to)
{
    const struct scanner *scanner = job->scanner;
    uint64_t width = scanner->array.end - scanner->array.start;
    bool gets_option = job->compresses && !scanner->has_option;
    bool changes_option = job->compresses || (job->leaving && job->option.has_size);

    return (gets_option ? body_bytes_put_header(to, MSGPACK_ARRAY, 3, width)
                        : old_put(job, to, 0, scanner->array.end)) &&
           old_put(job, to, scanner->array.end, scanner->body.start) &&
           body_header_put(job, to, content->length) && buffer_move(to, content, content->length) &&
           (changes_option ? option_put(job, to) : old_put(job, to, scanner->body.end, scanner->length));
}

/* True when the message was rewritten. If compression makes the body no smaller, the body is rewritten
 * without it, or not at all. */
static bool job_run(struct job *job, struct buffer *to)
{
    struct buffer content;

    buffer_init(&content, to->pool);
    bool made = content_make(job, &content) == OUTCOME_GOOD;
    if (made && job->compresses && content.length + COMPRESSED_GROWTH_MAX > plain_length(job)) {
        buffer_clear(&content);
        job->compresses = false;
        job->to = COMPRESSION_OFF;
        made = (job->strips || job->leaving) && content_make(job, &content) == OUTCOME_GOOD;
    }
    made = made && message_put(job, &content, to);
    buffer_clear(&content);
    return made;
}

static void job_init(struct job *job, const struct body_options *options, const struct buffer *source,
                     size_t start, const struct scanner *scanner)
{
    *job = (struct job) { .options = options, .source = source, .start = start, .scanner = scanner };
}

/* Inspects and rewrites the message of the job. */
static enum body_status job_do(struct job *job, struct body_result *result)
{
    *result = (struct body_result) { 0 };
    buffer_init(&result->bytes, job->source->pool);
    buffer_init(&job->entry, job->source->pool);
    if (!job_begin(job))
        return BODY_UNCHANGED;
    enum outcome outcome = body_read(job);
    if (outcome != OUTCOME_GOOD)
        return outcome == OUTCOME_UNREADABLE ? BODY_UNREADABLE : BODY_UNCHANGED;
    enum body_status status = job_decide(job, result);
    if (status != BODY_REWRITTEN)
        return status;
    bool done = job_run(job, &result->bytes);
    buffer_clear(&job->entry);
    if (!done) {
        buffer_clear(&result->bytes);
        return BODY_UNCHANGED;
    }
    result->is_compressed = job->compresses;
    result->is_stripped = job->strips;
    return BODY_REWRITTEN;
}

enum body_status body_rewrite(struct body_rewriter *rewriter, const struct buffer *source, size_t start,
                              const struct scanner *scanner, struct body_result *result)
{
    struct job job;

    assert(!rewriter->options.compress || rewriter->options.compress_min >= BODY_COMPRESS_MIN);
    job_init(&job, &rewriter->options, source, start, scanner);
    job.rewriter = rewriter;
    if (body_options_ask(&rewriter->options))
        return job_do(&job, result);
    *result = (struct body_result) { 0 };
    buffer_init(&result->bytes, source->pool);
    return BODY_UNCHANGED;
}

enum body_status body_skip_invalid(const struct buffer *source, size_t start, const struct scanner *scanner,
                                   struct body_result *result)
{
    static const struct body_options options = { .skip_invalid = true };
    struct job job;

    job_init(&job, &options, source, start, scanner);
    return job_do(&job, result);
}
