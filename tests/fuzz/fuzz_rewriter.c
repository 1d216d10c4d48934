/* The rewriter over anything that the scanner accepts as a message. The result is a message with the prefix,
 * the same body, the old pairs of the option, and the chunk at the reported position. A cut-through message
 * becomes the same.
 *
 * The first 2 bytes of an input choose the prefix, and whether a chunk is added. */
#include "forward/rewriter.h"

#include <stdlib.h>
#include <string.h>

enum { CHOICE_BYTES = 2, INPUT_BYTES_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

/* What is asked of the rewriter. */
struct choice {
    size_t prefix_length;
    const uint8_t *chunk_value; /* NULL: none */
};

struct bytes {
    size_t length;
    uint8_t at[INPUT_BYTES_MAX + REWRITE_BYTES_MAX];
};

static void expect(bool right)
{
    if (!right)
        abort();
}

static void add(struct bytes *bytes, const uint8_t *more, size_t length)
{
    expect(length <= sizeof bytes->at - bytes->length);
    if (length)
        memcpy(bytes->at + bytes->length, more, length);
    bytes->length += length;
}

static void apply(struct bytes *to, const uint8_t *from, size_t length, const struct rewrite *rewrite)
{
    size_t done = 0;

    to->length = 0;
    for (unsigned i = 0; i < rewrite->count; i++) {
        const struct edit *edit = &rewrite->edits[i];

        expect(edit->at >= done && edit->at + edit->remove <= length);
        expect(edit->insert.start <= edit->insert.end && edit->insert.end <= rewrite->used);
        add(to, from + done, edit->at - done);
        add(to, rewrite->bytes + edit->insert.start, edit->insert.end - edit->insert.start);
        done = edit->at + edit->remove;
    }
    add(to, from + done, length - done);
    expect(to->length == length + (uint64_t)rewrite->growth);
}

static bool scan(struct scanner *scanner, const uint8_t *bytes, size_t length)
{
    const struct scanner_limits limits = { .tag_bytes = INPUT_BYTES_MAX + REWRITE_BYTES_MAX,
                                           .message_bytes = INPUT_BYTES_MAX + REWRITE_BYTES_MAX,
                                           .depth = 32 };
    enum scanner_status status = SCANNER_MORE;

    scanner_init(scanner, &limits);
    for (size_t at = 0; at < length && status != SCANNER_END && status != SCANNER_REFUSED;)
        at += scanner_feed(scanner, bytes + at, length - at, &status);
    return status == SCANNER_END && !scanner->is_foreign;
}

static bool same(const uint8_t *a, const struct span *in_a, const uint8_t *b, const struct span *in_b)
{
    size_t length = in_a->end - in_a->start;

    return in_b->end - in_b->start == length && memcmp(a + in_a->start, b + in_b->start, length) == 0;
}

static void check(const uint8_t *bytes, const struct scanner *before, const struct bytes *rewritten,
                  const struct rewrite *rewrite, const struct choice *choice)
{
    struct span tag, pairs_before, pairs_after;
    struct scanner after;
    bool had_chunk = before->chunk.end > before->chunk.start;
    bool added = choice->chunk_value && !had_chunk;

    expect(scan(&after, rewritten->at, rewritten->length));
    expect(after.length == rewritten->length && after.mode == before->mode);
    expect(same(bytes, &before->body, rewritten->at, &after.body));
    expect(same(bytes, &before->compressed, rewritten->at, &after.compressed));
    expect(after.entries == before->entries);
    tag = (struct span) { after.tag.start + choice->prefix_length, after.tag.end };
    expect(same(bytes, &before->tag, rewritten->at, &tag));
    for (size_t i = 0; i < choice->prefix_length; i++)
        expect(rewritten->at[after.tag.start + i] == 'p');

    expect(after.has_option == (before->has_option || added));
    expect(after.option_pairs == before->option_pairs + added);
    pairs_before = (struct span) { before->option_header.end, before->option.end };
    pairs_after = (struct span) { after.option_header.end, after.option.end };
    if (added)
        pairs_after.end -= 6 + CHUNK_ID_VALUE_BYTES;
    if (before->option_header.end > before->option_header.start)
        expect(same(bytes, &pairs_before, rewritten->at, &pairs_after));

    expect(after.chunk.start == rewrite->chunk.start && after.chunk.end == rewrite->chunk.end);
    if (had_chunk)
        expect(same(bytes, &before->chunk, rewritten->at, &after.chunk));
    else if (added)
        expect(memcmp(rewritten->at + after.chunk.start, choice->chunk_value, CHUNK_ID_VALUE_BYTES) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    uint8_t chunk_value[CHUNK_ID_VALUE_BYTES];
    char prefix[REWRITE_PREFIX_BYTES_MAX];
    struct bytes rewritten;
    struct rewrite rewrite, head;
    struct scanner message;
    struct choice choice;

    if (length < CHOICE_BYTES || length > INPUT_BYTES_MAX)
        return 0;
    choice.prefix_length = bytes[0] + (bytes[1] >> 1 & 1U);
    choice.chunk_value = bytes[1] & 1 ? chunk_value : NULL;
    memset(prefix, 'p', sizeof prefix);
    chunk_id_write(chunk_value, (const uint8_t *)prefix);
    bytes += CHOICE_BYTES;
    if (!scan(&message, bytes, length - CHOICE_BYTES))
        return 0;

    rewrite_plan(&rewrite, &message, prefix, choice.prefix_length, choice.chunk_value);
    apply(&rewritten, bytes, message.length, &rewrite);
    check(bytes, &message, &rewritten, &rewrite, &choice);

    /* A cut-through message gets the same edits, first those of its head, then those of its end. */
    rewrite_plan_head(&head, &message, prefix, choice.prefix_length, choice.chunk_value);
    expect(head.count <= rewrite.count && memcmp(head.bytes, rewrite.bytes, head.used) == 0);
    for (unsigned i = 0; i < rewrite.count; i++)
        expect(i < head.count ? head.edits[i].at == rewrite.edits[i].at
                              : rewrite.edits[i].at >= message.body.end);
    return 0;
}
