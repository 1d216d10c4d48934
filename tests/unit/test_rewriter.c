#include "forward/rewriter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

enum { PAIRS_NONE = -2, PAIRS_NIL = -1, MESSAGE_BYTES = 1024 * 1024, ID_RANDOM = 16 };

/* How to make a message. A width is the length of a header. */
struct shape {
    enum scanner_mode mode;
    unsigned array_width;
    char tag_kind; /* 's' or 'b' */
    unsigned tag_width;
    unsigned tag_length;
    int pairs; /* or PAIRS_… */
    unsigned map_width;
    bool chunk; /* among the pairs */
};

struct bytes {
    size_t length;
    uint8_t at[MESSAGE_BYTES];
};

struct fixture {
    struct bytes original, rewritten;
};

static const uint8_t chunk_value[CHUNK_ID_VALUE_BYTES] = "\xb8"
                                                         "/iV7xiVC75Uwjkn+1FzAgQ==";

static void add(struct bytes *bytes, const void *more, size_t length)
{
    assert_true(length <= sizeof bytes->at - bytes->length);
    memcpy(bytes->at + bytes->length, more, length);
    bytes->length += length;
}

/* A header of exactly this width; `first` are its first bytes at width 1, 2, 3 and 5. */
static void add_header(struct bytes *bytes, const uint8_t first[4], unsigned width, uint32_t count)
{
    uint8_t header[5] = { first[width == 5 ? 3 : width - 1] };

    if (width == 1)
        header[0] |= (uint8_t)count;
    for (unsigned i = 1; i < width; i++)
        header[i] = (uint8_t)(count >> 8 * (width - 1 - i));
    add(bytes, header, width);
}

static const uint8_t array_forms[] = { 0x90, 0, 0xdc, 0xdd };
static const uint8_t map_forms[] = { 0x80, 0, 0xde, 0xdf };
static const uint8_t str_forms[] = { 0xa0, 0xd9, 0xda, 0xdb };
static const uint8_t bin_forms[] = { 0, 0xc4, 0xc5, 0xc6 };

static void add_body(struct bytes *bytes, enum scanner_mode mode)
{
    static const char message[] = "\xd7\x00\x6b\x03\xcc\x6c\x00\x0d\x96\x59\x81\xa7message\xa5hello";
    static const char forward[] = "\x92\x92\xce\x6b\x03\xcc\x6c\x81\xa1k\x01\x92\x01\x80";
    static const char packed[] = "\xc4\x05\x92\x01\x81\xa1k";

    switch (mode) {
    case SCANNER_MESSAGE:
        add(bytes, message, sizeof message - 1);
        break;
    case SCANNER_FORWARD:
        add(bytes, forward, sizeof forward - 1);
        break;
    case SCANNER_PACKED:
        add(bytes, packed, sizeof packed - 1);
        break;
    }
}

static void add_option(struct bytes *bytes, const struct shape *shape)
{
    if (shape->pairs == PAIRS_NONE)
        return;
    if (shape->pairs == PAIRS_NIL) {
        add(bytes, "\xc0", 1);
        return;
    }
    add_header(bytes, map_forms, shape->map_width, (uint32_t)shape->pairs);
    for (int i = 0; i < shape->pairs; i++) {
        uint8_t key[] = { 0xa3, 'k', (uint8_t)('0' + i % 10), (uint8_t)('0' + i / 10 % 10) };

        if (shape->chunk && i == shape->pairs / 2) {
            add(bytes,
                "\xa5"
                "chunk\xc4\x03"
                "a\0b",
                11);
            continue;
        }
        add(bytes, key, sizeof key);
        add(bytes, "\xcd\x01\x02", 3);
    }
}

static void make(struct bytes *bytes, const struct shape *shape)
{
    uint32_t elements = (shape->mode == SCANNER_MESSAGE ? 3 : 2) + (shape->pairs != PAIRS_NONE);

    bytes->length = 0;
    add_header(bytes, array_forms, shape->array_width, elements);
    add_header(bytes, shape->tag_kind == 's' ? str_forms : bin_forms, shape->tag_width, shape->tag_length);
    for (unsigned i = 0; i < shape->tag_length; i++)
        add(bytes, &"app.fb"[i % 6], 1);
    add_body(bytes, shape->mode);
    add_option(bytes, shape);
}

static void scan(struct scanner *scanner, const struct bytes *bytes)
{
    const struct scanner_limits limits = { .tag_bytes = 65536 + 1024,
                                           .message_bytes = MESSAGE_BYTES,
                                           .depth = 64 };
    enum scanner_status status = SCANNER_MORE;
    size_t taken = 0;

    scanner_init(scanner, &limits);
    while (taken < bytes->length && status != SCANNER_END) {
        taken += scanner_feed(scanner, bytes->at + taken, bytes->length - taken, &status);
        assert_int_not_equal(status, SCANNER_REFUSED);
    }
    assert_int_equal(status, SCANNER_END);
    assert_int_equal(taken, bytes->length);
}

static void apply(struct bytes *to, const struct bytes *from, const struct rewrite *rewrite)
{
    size_t done = 0;

    to->length = 0;
    for (unsigned i = 0; i < rewrite->count; i++) {
        const struct edit *edit = &rewrite->edits[i];

        assert_true(edit->at >= done && edit->at + edit->remove <= from->length);
        assert_true(edit->insert.start <= edit->insert.end && edit->insert.end <= rewrite->used);
        add(to, from->at + done, edit->at - done);
        add(to, rewrite->bytes + edit->insert.start, edit->insert.end - edit->insert.start);
        done = edit->at + edit->remove;
    }
    add(to, from->at + done, from->length - done);
    assert_int_equal(to->length, (int64_t)from->length + rewrite->growth);
}

static void assert_span_is(const struct bytes *bytes, const struct span *span, const void *expected,
                           size_t length)
{
    assert_int_equal(span->end - span->start, length);
    assert_memory_equal(bytes->at + span->start, expected, length);
}

static unsigned larger(unsigned a, unsigned b)
{
    return a > b ? a : b;
}

/* The outer array, as msgpack-c reads it. */
static const msgpack_object_array *unpack(msgpack_unpacked *unpacked, const struct bytes *bytes)
{
    size_t at = 0;

    msgpack_unpacked_init(unpacked);
    assert_int_equal(msgpack_unpack_next(unpacked, (const char *)bytes->at, bytes->length, &at),
                     MSGPACK_UNPACK_SUCCESS);
    assert_int_equal(at, bytes->length);
    assert_int_equal(unpacked->data.type, MSGPACK_OBJECT_ARRAY);
    return &unpacked->data.via.array;
}

/* The tag begins with the prefix, and its header is no wider than necessary. */
static void check_tag(const struct shape *shape, const struct scanner *before, const struct scanner *after,
                      const struct fixture *fixture, const char *prefix)
{
    const size_t prefix_length = strlen(prefix);
    unsigned length = shape->tag_length + (unsigned)prefix_length;
    unsigned need = length > 65535 ? 5 : length > 255 ? 3 : length > 31 || shape->tag_kind == 'b' ? 2 : 1;
    unsigned width = larger(need, shape->tag_width);
    bool str = shape->tag_kind == 's' || width != shape->tag_width; /* a bin that must grow becomes a str */
    const uint8_t *forms = str ? str_forms : bin_forms;
    const uint8_t *tag = fixture->rewritten.at + after->tag.start;

    assert_int_equal(after->tag.start - after->tag_value.start, width);
    assert_int_equal(fixture->rewritten.at[after->tag_value.start],
                     forms[width == 5 ? 3 : width - 1] | (width == 1 ? length : 0));
    assert_int_equal(after->tag.end - after->tag.start, length);
    assert_memory_equal(tag, prefix, prefix_length);
    assert_memory_equal(tag + prefix_length, fixture->original.at + before->tag.start, shape->tag_length);
}

/* The option has all its old pairs in order, and the chunk: its own, or ours at the end. */
static void check_option(const struct shape *shape, const struct fixture *fixture,
                         const struct rewrite *rewrite, bool wanted)
{
    msgpack_unpacked before, after;
    const msgpack_object_array *old = unpack(&before, &fixture->original);
    const msgpack_object_array *new = unpack(&after, &fixture->rewritten);
    bool added = wanted && !shape->chunk;
    const msgpack_object *option = &new->ptr[new->size - 1];

    assert_int_equal(new->size, old->size + (added && shape->pairs == PAIRS_NONE));
    if (added) {
        const msgpack_object_kv *pairs = option->via.map.ptr;
        const msgpack_object_kv *pair = &pairs[option->via.map.size - 1];

        assert_int_equal(option->type, MSGPACK_OBJECT_MAP);
        assert_int_equal(option->via.map.size, (shape->pairs > 0 ? shape->pairs : 0) + 1);
        assert_memory_equal(pair->key.via.str.ptr, "chunk", pair->key.via.str.size);
        assert_int_equal(pair->val.type, MSGPACK_OBJECT_STR);
        assert_int_equal(pair->val.via.str.size, CHUNK_ID_BYTES);
        assert_memory_equal(pair->val.via.str.ptr, chunk_value + 1, CHUNK_ID_BYTES);
        assert_span_is(&fixture->rewritten, &rewrite->chunk, chunk_value, CHUNK_ID_VALUE_BYTES);
        for (int i = 0; i < shape->pairs; i++) {
            const msgpack_object_kv *was = &old->ptr[old->size - 1].via.map.ptr[i];

            assert_true(msgpack_object_equal(was->key, pairs[i].key));
            assert_true(msgpack_object_equal(was->val, pairs[i].val));
        }
    } else if (shape->pairs != PAIRS_NONE) {
        assert_true(msgpack_object_equal(old->ptr[old->size - 1], *option));
    }
    if (shape->chunk)
        assert_span_is(&fixture->rewritten, &rewrite->chunk,
                       "\xc4\x03"
                       "a\0b",
                       5);
    else if (!wanted)
        assert_int_equal(rewrite->chunk.end, rewrite->chunk.start);
    msgpack_unpacked_destroy(&before);
    msgpack_unpacked_destroy(&after);
}

static void check_headers(const struct shape *shape, const struct scanner *after,
                          const struct rewrite *rewrite, bool wanted)
{
    int pairs = (shape->pairs > 0 ? shape->pairs : 0) + (wanted && !shape->chunk);

    assert_int_equal(after->array.end - after->array.start, shape->array_width);
    assert_int_equal(after->mode, shape->mode);
    if (shape->pairs >= 0 || (wanted && !shape->chunk)) {
        unsigned need = pairs > 65535 ? 5 : pairs > 15 ? 3 : 1;

        assert_int_equal(after->option_pairs, pairs);
        assert_int_equal(after->option_header.end - after->option_header.start,
                         larger(need, shape->pairs >= 0 ? shape->map_width : 1));
    }
    assert_int_equal(after->chunk.start, rewrite->chunk.start);
    assert_int_equal(after->chunk.end, rewrite->chunk.end);
}

static void check(struct fixture *fixture, const struct shape *shape, const char *prefix, bool wanted)
{
    struct scanner before, after;
    struct rewrite rewrite;

    make(&fixture->original, shape);
    scan(&before, &fixture->original);
    rewrite_plan(&rewrite, &before, prefix, strlen(prefix), wanted ? chunk_value : NULL);
    apply(&fixture->rewritten, &fixture->original, &rewrite);
    assert_int_equal(rewrite.count == 0, rewrite.growth == 0);

    scan(&after, &fixture->rewritten);
    check_tag(shape, &before, &after, fixture, prefix);
    assert_span_is(&fixture->rewritten, &after.body, fixture->original.at + before.body.start,
                   before.body.end - before.body.start);
    check_headers(shape, &after, &rewrite, wanted);
    check_option(shape, fixture, &rewrite, wanted);
}

/* Every mode, array width and kind of option, with and without a prefix and a chunk to add. */
static void check_options(struct fixture *fixture, struct shape shape)
{
    static const struct {
        int pairs;
        unsigned width;
    } options[] = {
        { PAIRS_NONE, 1 }, { PAIRS_NIL, 1 }, { 0, 1 },  { 1, 1 }, { 14, 1 }, { 15, 1 }, { 0, 3 },
        { 1, 3 },          { 16, 3 },        { 65, 3 }, { 0, 5 }, { 3, 5 },  { 16, 5 },
    };

    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        shape.pairs = options[i].pairs;
        shape.map_width = options[i].width;
        for (unsigned chunk = 0; chunk <= (shape.pairs > 0 ? 1 : 0); chunk++) {
            shape.chunk = chunk;
            check(fixture, &shape, "", false);
            check(fixture, &shape, "", true);
            check(fixture, &shape, "team-a.", false);
            check(fixture, &shape, "team-a.", true);
        }
    }
}

static void every_mode_and_option_gains_its_chunk_and_prefix(void **state)
{
    static const unsigned widths[] = { 1, 3, 5 };
    static const enum scanner_mode modes[] = { SCANNER_MESSAGE, SCANNER_FORWARD, SCANNER_PACKED };

    for (unsigned i = 0; i < 3; i++) {
        for (unsigned j = 0; j < 3; j++)
            check_options(*state, (struct shape) { modes[i], widths[j], 's', 1, 6, 0, 0, false });
    }
}

/* An agent that writes "chunk" => nil asks for no ack; the last of two equal keys counts. */
static void a_nil_chunk_is_overridden(void **state)
{
    struct fixture *fixture = *state;
    struct scanner scanner;
    struct rewrite rewrite;

    fixture->original.length = 0;
    add(&fixture->original,
        "\x93\xa1t\xc4\x00\x81\xa5"
        "chunk\xc0",
        13);
    scan(&scanner, &fixture->original);
    rewrite_plan(&rewrite, &scanner, "", 0, chunk_value);
    apply(&fixture->rewritten, &fixture->original, &rewrite);
    scan(&scanner, &fixture->rewritten);
    assert_int_equal(scanner.option_pairs, 2);
    assert_span_is(&fixture->rewritten, &scanner.chunk, chunk_value, CHUNK_ID_VALUE_BYTES);
    assert_span_is(&fixture->rewritten, &rewrite.chunk, chunk_value, CHUNK_ID_VALUE_BYTES);
}

static void a_full_map_grows_its_header(void **state)
{
    struct shape shape = { SCANNER_PACKED, 1, 's', 1, 6, 65535, 3, false };

    check(*state, &shape, "", true);
    check(*state, &shape, "p.", true);
    shape.pairs = 65534;
    check(*state, &shape, "", true);
    shape.pairs = 65535;
    shape.chunk = true;
    check(*state, &shape, "p.", true);
    shape.map_width = 5;
    check(*state, &shape, "p.", true);
}

/* Lengths of tag and prefix around every limit of a header form. */
static void a_tag_grows_its_header_only_when_it_must(void **state)
{
    static const struct {
        char kind;
        unsigned width, length;
    } tags[] = {
        { 's', 1, 0 },     { 's', 1, 1 },   { 's', 1, 30 },   { 's', 1, 31 }, { 's', 2, 3 },
        { 's', 2, 32 },    { 's', 2, 254 }, { 's', 2, 255 },  { 's', 3, 6 },  { 's', 3, 1024 },
        { 's', 5, 6 },     { 's', 5, 300 }, { 'b', 2, 0 },    { 'b', 2, 6 },  { 'b', 2, 254 },
        { 'b', 2, 255 },   { 'b', 3, 6 },   { 'b', 3, 1024 }, { 'b', 5, 1 },  { 's', 3, 65534 },
        { 's', 3, 65535 },
    };
    char prefix[REWRITE_PREFIX_BYTES_MAX + 1];
    static const size_t lengths[] = { 0, 1, 2, 31, 224, 225, 255, REWRITE_PREFIX_BYTES_MAX };

    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
        struct shape shape = { SCANNER_FORWARD, 1, tags[i].kind, tags[i].width, tags[i].length, 1, 1, false };

        for (size_t j = 0; j < sizeof lengths / sizeof *lengths; j++) {
            memset(prefix, 'p', sizeof prefix);
            prefix[lengths[j]] = '\0';
            check(*state, &shape, prefix, false);
            check(*state, &shape, prefix, true);
        }
    }
}

/* A cut-through message gets the edits of the head first, and the edits at the option when it ends. Together
 * these are all edits of rewrite_plan. */
static void a_cut_through_message_changes_like_a_whole_one(void **state)
{
    struct fixture *fixture = *state;
    static const int pairs[] = { PAIRS_NONE, 0, 2 };

    for (unsigned mode = SCANNER_MESSAGE; mode <= SCANNER_PACKED; mode++) {
        for (unsigned i = 0; i < sizeof pairs / sizeof *pairs; i++) {
            struct shape shape = { (enum scanner_mode)mode, 3, 's', 1, 6, pairs[i], 1, false };
            struct rewrite whole, head;
            struct scanner scanner;

            make(&fixture->original, &shape);
            scan(&scanner, &fixture->original);
            rewrite_plan(&whole, &scanner, "p.", 2, chunk_value);
            scanner.length = 7; /* known at SCANNER_END only, like the option */
            rewrite_plan_head(&head, &scanner, "p.", 2, chunk_value);
            assert_true(head.count < whole.count);
            for (unsigned at = 0; at < head.count; at++) {
                assert_int_equal(head.edits[at].at, whole.edits[at].at);
                assert_int_equal(head.edits[at].remove, whole.edits[at].remove);
                assert_int_equal(head.edits[at].insert.end, whole.edits[at].insert.end);
            }
            assert_memory_equal(head.bytes, whole.bytes, head.used);
            for (unsigned at = head.count; at < whole.count; at++)
                assert_true(whole.edits[at].at >= scanner.body.end);
        }
    }
}

static void a_cut_through_message_with_an_option_keeps_its_array(void **state)
{
    struct fixture *fixture = *state;
    struct shape shape = { SCANNER_PACKED, 1, 's', 1, 6, 2, 1, false };
    struct scanner scanner;
    struct rewrite head;

    make(&fixture->original, &shape);
    scan(&scanner, &fixture->original);
    rewrite_plan_head(&head, &scanner, "", 0, chunk_value);
    assert_int_equal(head.count, 0);
    rewrite_plan_head(&head, &scanner, "p.", 2, chunk_value);
    assert_int_equal(head.count, 1);
}

static void a_chunk_id_is_base64_of_its_bytes_and_a_mark(void **state)
{
    static const struct {
        uint8_t random[ID_RANDOM];
        char id[CHUNK_ID_BYTES + 1];
    } cases[] = {
        { { 0 }, "AAAAAAAAAAAAAAAAAAAAAA~1" },
        { { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
          "/////////////////////w~1" },
        { { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 }, "AAECAwQFBgcICQoLDA0ODw~1" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t value[CHUNK_ID_VALUE_BYTES];

        chunk_id_write(value, cases[i].random);
        assert_int_equal(value[0], 0xb8);
        assert_memory_equal(value + 1, cases[i].id, CHUNK_ID_BYTES);
        assert_true(chunk_id_is_of_husk(value, sizeof value));
        assert_false(chunk_id_is_of_husk(value, sizeof value - 1));
        value[CHUNK_ID_VALUE_BYTES - 1] = '2';
        assert_false(chunk_id_is_of_husk(value, sizeof value));
        value[CHUNK_ID_VALUE_BYTES - 1] = '1';
        value[CHUNK_ID_VALUE_BYTES - 2] = '=';
        assert_false(chunk_id_is_of_husk(value, sizeof value));
        value[CHUNK_ID_VALUE_BYTES - 2] = '~';
        value[0] = 0xc4; /* a bin */
        assert_false(chunk_id_is_of_husk(value, sizeof value));
    }
}

static int fixture_make(void **state)
{
    *state = malloc(sizeof(struct fixture));
    return *state ? 0 : -1;
}

static int fixture_free(void **state)
{
    free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mode_and_option_gains_its_chunk_and_prefix),
        cmocka_unit_test(a_nil_chunk_is_overridden),
        cmocka_unit_test(a_full_map_grows_its_header),
        cmocka_unit_test(a_tag_grows_its_header_only_when_it_must),
        cmocka_unit_test(a_cut_through_message_changes_like_a_whole_one),
        cmocka_unit_test(a_cut_through_message_with_an_option_keeps_its_array),
        cmocka_unit_test(a_chunk_id_is_base64_of_its_bytes_and_a_mark),
    };

    return cmocka_run_group_tests_name("rewriter", tests, fixture_make, fixture_free);
}
