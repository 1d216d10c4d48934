#include "forward/body.h"

#include "support/body_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

enum { INFLATED_MAX = 512 * 1024, RANDOM_MESSAGES = 400, CUTS_MAX = 4096 };

struct fixture {
    struct buffer_pool pool;
    struct body_rewriter rewriter;
    struct bytes before, after, body, scratch;
    struct body_result result;
    const size_t *cuts; /* of the message's slices */
    size_t cut_count;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    *state = fixture;
    if (!fixture)
        return -1;
    fixture->rewriter.options =
        (struct body_options) { .compress_min = BODY_COMPRESS_MIN, .inflated_max = INFLATED_MAX };
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    body_rewriter_deinit(&fixture->rewriter);
    buffer_pool_deinit(&fixture->pool); /* nothing is left behind */
    free(fixture);
    return 0;
}

static void add(struct bytes *to, const void *bytes, size_t length)
{
    assert_true(length <= sizeof to->at - to->length);
    memcpy(to->at + to->length, bytes, length);
    to->length += length;
}

#define ADD(to, text) add(to, text, sizeof(text) - 1)

/* `count` entries of which every `every`th has metadata; 0: none. */
static void make_entries(struct bytes *body, unsigned count, unsigned every)
{
    body->length = 0;
    for (unsigned i = 0; i < count; i++) {
        char line[64];
        size_t length = (size_t)snprintf(line, sizeof line, "%024u", i);
        if (every && i % every == 0)
            ADD(body, "\x92\x92\xd7\x00\x6b\x03\xd1\xdd\x09\xc2\xbc\x8f\x81\xa1m\x92\x01\xc0");
        else
            ADD(body, "\x92\xd7\x00\x6b\x03\xd1\xdd\x09\xc2\xbc\x8f");
        ADD(body, "\x82\xa7message\xb8");
        add(body, line, length);
        ADD(body, "\xa1k\x01");
    }
}

static void compress_body(struct fixture *fixture, enum compression method)
{
    struct bytes *body = &fixture->body, *to = &fixture->scratch;

    if (method == COMPRESSION_ZSTD) {
        to->length = ZSTD_compress(to->at, sizeof to->at, body->at, body->length, 1);
    } else {
        z_stream stream = { .next_in = body->at,
                            .avail_in = (uInt)body->length,
                            .next_out = to->at,
                            .avail_out = sizeof to->at };
        assert_int_equal(deflateInit2(&stream, 1, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
        assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
        to->length = stream.total_out;
        deflateEnd(&stream);
    }
    memcpy(body->at, to->at, to->length);
    body->length = to->length;
}

/* A header with a 32-bit count: of a bin, a str or an array. */
static void add_header(struct bytes *to, uint8_t first, uint32_t count)
{
    const uint8_t header[] = { first, (uint8_t)(count >> 24), (uint8_t)(count >> 16), (uint8_t)(count >> 8),
                               (uint8_t)count };

    add(to, header, sizeof header);
}

enum body_form { FORM_BIN = 0xc6, FORM_STR = 0xdb, FORM_FORWARD = 0xdd };

/* [tag, body, option]; `option`: its bytes, none: NULL. `count`: the body's entries, in Forward mode. */
static void make_message(struct fixture *fixture, enum body_form form, unsigned count, const char *option,
                         size_t option_length)
{
    fixture->before.length = 0;
    if (option)
        ADD(&fixture->before, "\x93\xa6"
                              "app.fb");
    else
        ADD(&fixture->before, "\x92\xa6"
                              "app.fb");
    add_header(&fixture->before, (uint8_t)form,
               form == FORM_FORWARD ? count : (uint32_t)fixture->body.length);
    add(&fixture->before, fixture->body.at, fixture->body.length);
    if (option)
        add(&fixture->before, option, option_length);
}

#define MAKE(fixture, form, count, option) make_message(fixture, form, count, option, sizeof(option) - 1)

/* The option of a message whose body is compressed. */
static const char *const options_of[] = {
    [COMPRESSION_GZIP] = "\x81\xaa"
                         "compressed\xa4gzip",
    [COMPRESSION_ZSTD] = "\x81\xaa"
                         "compressed\xa4zstd",
};
enum { OPTION_BYTES = 2 + 10 + 5 };

/* Rewrites fixture->before, with bytes of other messages before and after it. */
static enum body_status rewrite(struct fixture *fixture)
{
    static const char in_front[] = { 1, 2, 3 };
    struct scanner scanner;
    struct buffer buffer;

    buffer_init(&buffer, &fixture->pool);
    assert_true(buffer_append(&buffer, in_front, sizeof in_front));
    body_check_fill(&buffer, fixture->before.at, fixture->before.length, fixture->cuts, fixture->cut_count);
    assert_true(buffer_append(&buffer, "\x93\xa1", 2));
    assert_true(body_check_scan(&scanner, &buffer, sizeof in_front));
    assert_int_equal(scanner.length, fixture->before.length);
    enum body_status status =
        body_rewrite(&fixture->rewriter, &buffer, sizeof in_front, &scanner, &fixture->result);
    assert_int_equal(fixture->result.bytes.length > 0, status == BODY_REWRITTEN);
    body_check_gather(&fixture->after, &fixture->result.bytes);
    buffer_clear(&fixture->result.bytes);
    body_check_gather(&fixture->scratch, &buffer); /* it is as it was */
    assert_memory_equal(fixture->scratch.at + sizeof in_front, fixture->before.at, fixture->before.length);
    buffer_clear(&buffer);
    return status;
}

static void expect_rewritten(struct fixture *fixture, bool is_compressed, bool is_stripped)
{
    assert_int_equal(rewrite(fixture), BODY_REWRITTEN);
    assert_int_equal(fixture->result.is_compressed, is_compressed);
    assert_int_equal(fixture->result.is_stripped, is_stripped);
    const char *difference = body_check_difference(&fixture->before, &fixture->after, &fixture->result,
                                                   &fixture->rewriter.options);
    if (difference)
        fail_msg("%s", difference);
}

static void ask(struct fixture *fixture, enum compression compress, bool strip_metadata)
{
    fixture->rewriter.options.compress = compress;
    fixture->rewriter.options.strip_metadata = strip_metadata;
}

static void expect_end(const struct fixture *fixture, const char *end, size_t length)
{
    assert_true(fixture->after.length > length);
    assert_memory_equal(fixture->after.at + fixture->after.length - length, end, length);
}

#define EXPECT_END(fixture, end) expect_end(fixture, end, sizeof(end) - 1)

/* ---- compressing ---- */

static void bodies_of_every_form_are_compressed(void **state)
{
    static const enum body_form forms[] = { FORM_BIN, FORM_STR, FORM_FORWARD };
    struct fixture *fixture = *state;

    for (unsigned i = 0; i < 6; i++) {
        enum compression method = i < 3 ? COMPRESSION_GZIP : COMPRESSION_ZSTD;
        ask(fixture, method, false);
        make_entries(&fixture->body, 100, 0);
        make_message(fixture, forms[i % 3], 100, NULL, 0);
        expect_rewritten(fixture, true, false);
        assert_true(fixture->after.length < fixture->before.length / 4);
        if (method == COMPRESSION_GZIP)
            EXPECT_END(fixture, "\x82\xa4size\x64\xaa"
                                "compressed\xa4gzip");
        else
            EXPECT_END(fixture, "\x82\xa4size\x64\xaa"
                                "compressed\xa4zstd");
    }
}

static void the_option_keeps_its_pairs_and_gets_those_of_a_compressed_body(void **state)
{
    struct fixture *fixture = *state;

    ask(fixture, COMPRESSION_GZIP, false);
    make_entries(&fixture->body, 200, 0);
    MAKE(fixture, FORM_FORWARD, 200, "\xc0");
    expect_rewritten(fixture, true, false);
    EXPECT_END(fixture, "\x82\xa4size\xcc\xc8\xaa"
                        "compressed\xa4gzip");

    MAKE(fixture, FORM_FORWARD, 200,
         "\xdf\x00\x00\x00\x02\xa4size\xcd\x00\xc8\xc4\x05"
         "chunk\xc4\x02"
         "\x01\n");
    expect_rewritten(fixture, true, false);
    EXPECT_END(fixture, "\xdf\x00\x00\x00\x03\xa4size\xcd\x00\xc8\xc4\x05"
                        "chunk\xc4\x02"
                        "\x01\n"
                        "\xaa"
                        "compressed\xa4gzip");

    MAKE(fixture, FORM_STR, 0,
         "\x83\xaa"
         "compressed\xa4text\xad"
         "fluent_signal\xd0\x00\xa4size\x01");
    expect_rewritten(fixture, true, false);
    EXPECT_END(fixture, "\x83\xad"
                        "fluent_signal\xd0\x00\xa4size\x01\xaa"
                        "compressed\xa4gzip");
}

static void the_last_of_two_compressed_keys_counts(void **state)
{
    struct fixture *fixture = *state;

    ask(fixture, COMPRESSION_ZSTD, false);
    make_entries(&fixture->body, 100, 0);
    MAKE(fixture, FORM_BIN, 0,
         "\x83\xaa"
         "compressed\xa3lz4\xaa"
         "compressed\xc0\xa4size\x64");
    expect_rewritten(fixture, true, false);
    EXPECT_END(fixture, "\x82\xa4size\x64\xaa"
                        "compressed\xa4zstd");
    MAKE(fixture, FORM_BIN, 0,
         "\x82\xaa"
         "compressed\xa4text\xaa"
         "compressed\xa3lz4");
    assert_int_equal(rewrite(fixture), BODY_UNCHANGED);
}

/* Random characters with four bits each: compressed to half their length, which is several segments. */
static void a_long_body_is_compressed_completely(void **state)
{
    struct fixture *fixture = *state;

    srand(3);
    fixture->pool.idle_limit = 1000; /* so that what is idle in the end is the most there was at a time */
    fixture->body.length = 0;
    ADD(&fixture->body, "\x92\x92\x01\x80\x81\xa1k");
    add_header(&fixture->body, 0xc6, 500000);
    for (unsigned i = 0; i < 500000; i++)
        add(&fixture->body, &(uint8_t) { (uint8_t)(rand() >> 8 & 15) }, 1);
    for (unsigned i = 0; i < 4; i++) {
        ask(fixture, i % 2 ? COMPRESSION_ZSTD : COMPRESSION_GZIP, i > 1);
        make_message(fixture, FORM_FORWARD, 1, NULL, 0);
        expect_rewritten(fixture, true, i > 1);
        assert_in_range(fixture->after.length, 3 * SEGMENT_BYTES, 5 * SEGMENT_BYTES);
    }
    /* The message, two segments that its slices need, the output, and one more. */
    size_t most = (fixture->before.length + fixture->after.length) / SEGMENT_CAPACITY + 3 + 1 + 1;
    assert_in_range(fixture->pool.idle_count, 1, most);
}

static void a_body_that_does_not_become_shorter_stays(void **state)
{
    struct fixture *fixture = *state;

    ask(fixture, COMPRESSION_GZIP, false);
    make_entries(&fixture->body, 40, 0);
    MAKE(fixture, FORM_BIN, 0, "\x80");
    fixture->rewriter.options.compress_min = fixture->body.length + 1;
    assert_int_equal(rewrite(fixture), BODY_UNCHANGED);
    ask(fixture, COMPRESSION_GZIP, true);
    assert_int_equal(rewrite(fixture), BODY_UNCHANGED);

    ask(fixture, COMPRESSION_GZIP, false);
    fixture->rewriter.options.compress_min = BODY_COMPRESS_MIN;
    srand(1);
    fixture->body.length = 0;
    ADD(&fixture->body, "\x92\x01\x81\xa1k\xc5\x03\x00");
    for (unsigned i = 0; i < 0x300; i++)
        add(&fixture->body, &(uint8_t) { (uint8_t)(rand() >> 8) }, 1);
    MAKE(fixture, FORM_BIN, 0, "\x80");
    assert_int_equal(rewrite(fixture), BODY_UNCHANGED);
    /* Metadata is removed in this case too. */
    ask(fixture, COMPRESSION_GZIP, true);
    ADD(&fixture->body, "\x92\x92\x01\x80\x80");
    MAKE(fixture, FORM_BIN, 0, "\x80");
    expect_rewritten(fixture, false, true);
}

static void other_messages_stay_the_same(void **state)
{
#define CASE(text) { text, sizeof(text) - 1 }
    static const struct {
        const char *option;
        size_t length;
    } cases[] = {
        CASE("\x81\xad"
             "fluent_signal\x01"),
        CASE("\x81\xad"
             "fluent_signal\x02"),
        CASE("\x81\xad"
             "fluent_signal\xcc\x01"),
        CASE("\x81\xad"
             "fluent_signal\xc0"),
        CASE("\x82\xad"
             "fluent_signal\x00\xad"
             "fluent_signal\x01"),
        CASE("\x81\xaa"
             "compressed\xa3lz4"),
        CASE("\x81\xaa"
             "compressed\x01"),
    };
#undef CASE
    static char long_option[BODY_OPTION_BYTES_MAX + 16] = "\x81\xa1k\xc5\x10\x00";
    struct fixture *fixture = *state;

    ask(fixture, COMPRESSION_GZIP, true);
    make_entries(&fixture->body, 50, 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_message(fixture, FORM_BIN, 0, cases[i].option, cases[i].length);
        assert_int_equal(rewrite(fixture), BODY_UNCHANGED);
        make_message(fixture, FORM_FORWARD, 50, cases[i].option, cases[i].length);
        assert_int_equal(rewrite(fixture), BODY_UNCHANGED);
    }
    make_message(fixture, FORM_BIN, 0, long_option, 6 + 4096);
    assert_int_equal(rewrite(fixture), BODY_UNCHANGED);
    /* Forward mode with an option that says the body is compressed. */
    make_message(fixture, FORM_FORWARD, 50, options_of[COMPRESSION_GZIP], OPTION_BYTES);
    assert_int_equal(rewrite(fixture), BODY_UNCHANGED);
    /* No options: no change. */
    ask(fixture, COMPRESSION_OFF, false);
    MAKE(fixture, FORM_BIN, 0, "\x80");
    assert_int_equal(rewrite(fixture), BODY_UNCHANGED);
    /* A body that is not log entries: metrics without fluent_signal. */
    ask(fixture, COMPRESSION_GZIP, true);
    fixture->body.length = 0;
    for (unsigned i = 0; i < 50; i++)
        ADD(&fixture->body, "\x82\xa4meta\x80\xa7metrics\x90");
    MAKE(fixture, FORM_BIN, 0, "\x80");
    assert_int_equal(rewrite(fixture), BODY_UNCHANGED);
    /* Entries and then another value; incomplete entries. */
    make_entries(&fixture->body, 50, 1);
    ADD(&fixture->body, "\x01");
    MAKE(fixture, FORM_BIN, 0, "\x80");
    assert_int_equal(rewrite(fixture), BODY_UNCHANGED);
    fixture->body.length -= 2;
    MAKE(fixture, FORM_BIN, 0, "\x80");
    assert_int_equal(rewrite(fixture), BODY_UNCHANGED);
    /* Message mode. */
    fixture->before.length = 0;
    ADD(&fixture->before, "\x93\xa1t\x01\x81\xa1k\xd9\xc8");
    for (unsigned i = 0; i < 200; i++)
        ADD(&fixture->before, "x");
    assert_int_equal(rewrite(fixture), BODY_UNCHANGED);
}

/* ---- metadata ---- */

static void metadata_is_removed_from_bodies_of_every_form(void **state)
{
    static const enum body_form forms[] = { FORM_BIN, FORM_STR, FORM_FORWARD };
    struct fixture *fixture = *state;

    ask(fixture, COMPRESSION_OFF, true);
    for (unsigned i = 0; i < 6; i++) {
        make_entries(&fixture->body, 30, 1 + i / 3);
        MAKE(fixture, forms[i % 3], 30,
             "\x81\xad"
             "fluent_signal\x00");
        expect_rewritten(fixture, false, true);
        make_entries(&fixture->body, 30, 0);
        MAKE(fixture, forms[i % 3], 30,
             "\x81\xad"
             "fluent_signal\x00");
        assert_int_equal(rewrite(fixture), BODY_UNCHANGED);
    }
}

static void metadata_is_removed_from_compressed_bodies(void **state)
{
    struct fixture *fixture = *state;

    for (enum compression method = COMPRESSION_GZIP; method <= COMPRESSION_ZSTD; method++) {
        /* The method for uncompressed bodies does not apply to them. */
        for (enum compression asked = COMPRESSION_OFF; asked <= COMPRESSION_ZSTD; asked++) {
            ask(fixture, asked, true);
            make_entries(&fixture->body, 4000, 2);
            compress_body(fixture, method);
            make_message(fixture, FORM_BIN, 0, options_of[method], OPTION_BYTES);
            expect_rewritten(fixture, false, true);
            make_entries(&fixture->body, 4000, 0);
            compress_body(fixture, method);
            make_message(fixture, FORM_BIN, 0, options_of[method], OPTION_BYTES);
            assert_int_equal(rewrite(fixture), BODY_UNCHANGED);
        }
    }
}

static void metadata_is_removed_and_the_rest_is_compressed(void **state)
{
    struct fixture *fixture = *state;

    for (enum compression method = COMPRESSION_GZIP; method <= COMPRESSION_ZSTD; method++) {
        ask(fixture, method, true);
        make_entries(&fixture->body, 3000, 3);
        make_message(fixture, FORM_FORWARD, 3000, NULL, 0);
        expect_rewritten(fixture, true, true);
        make_message(fixture, FORM_STR, 0, NULL, 0);
        expect_rewritten(fixture, true, true);
    }
}

/* ---- what cannot be read ---- */

static void broken_and_too_large_bodies_stay_the_same(void **state)
{
    struct fixture *fixture = *state;

    ask(fixture, COMPRESSION_OFF, true);
    for (enum compression method = COMPRESSION_GZIP; method <= COMPRESSION_ZSTD; method++) {
        make_entries(&fixture->body, 100, 1);
        compress_body(fixture, method);
        size_t whole = fixture->body.length;
        for (size_t length = 1; length < whole; length++) { /* cut anywhere */
            fixture->body.length = length;
            make_message(fixture, FORM_BIN, 0, options_of[method], OPTION_BYTES);
            assert_int_equal(rewrite(fixture), BODY_UNREADABLE);
        }
        fixture->body.length = whole;
        fixture->body.at[whole - 1] ^= 0x55; /* gzip's length, zstd's last literals or sequences */
        make_message(fixture, FORM_BIN, 0, options_of[method], OPTION_BYTES);
        assert_int_equal(rewrite(fixture), BODY_UNREADABLE);

        make_entries(&fixture->body, 100, 1);
        fixture->rewriter.options.inflated_max = fixture->body.length;
        compress_body(fixture, method);
        make_message(fixture, FORM_BIN, 0, options_of[method], OPTION_BYTES);
        expect_rewritten(fixture, false, true);
        fixture->rewriter.options.inflated_max--;
        assert_int_equal(rewrite(fixture), BODY_UNREADABLE);
        fixture->rewriter.options.inflated_max = INFLATED_MAX;

        /* 1 MB that is compressed to a few KB. */
        fixture->body.length = 0;
        while (fixture->body.length < BODY_CHECK_BYTES_MAX - 8)
            ADD(&fixture->body, "\x92\x92\x01\x80\x80");
        compress_body(fixture, method);
        make_message(fixture, FORM_BIN, 0, options_of[method], OPTION_BYTES);
        assert_true(fixture->before.length < 32 * 1024);
        assert_int_equal(rewrite(fixture), BODY_UNREADABLE);
    }
}

static void a_zstd_window_has_a_limit(void **state)
{
    struct fixture *fixture = *state;

    ask(fixture, COMPRESSION_OFF, true);
    fixture->body.length = 0;
    /* Magic, descriptor, window of 2^(10 + n) bytes; a last raw block with one entry. */
    ADD(&fixture->body, "\x28\xb5\x2f\xfd\x00\x68\x29\x00\x00\x92\x92\x01\x80\x80"); /* 2^23 */
    MAKE(fixture, FORM_BIN, 0,
         "\x81\xaa"
         "compressed\xa4zstd");
    expect_rewritten(fixture, false, true);
    fixture->before.at[13 + 5] = 0x70; /* 2^24 */
    assert_int_equal(rewrite(fixture), BODY_UNREADABLE);
}

static void members_and_frames_in_a_row_are_one_body(void **state)
{
    struct fixture *fixture = *state;

    ask(fixture, COMPRESSION_OFF, true);
    for (enum compression method = COMPRESSION_GZIP; method <= COMPRESSION_ZSTD; method++) {
        make_entries(&fixture->body, 20, 1);
        compress_body(fixture, method);
        size_t one = fixture->body.length;
        memcpy(fixture->scratch.at, fixture->body.at, one);
        add(&fixture->body, fixture->scratch.at, one);
        make_message(fixture, FORM_BIN, 0, options_of[method], OPTION_BYTES);
        expect_rewritten(fixture, false, true);
        ADD(&fixture->body, "x");
        make_message(fixture, FORM_BIN, 0, options_of[method], OPTION_BYTES);
        assert_int_equal(rewrite(fixture), BODY_UNREADABLE);
    }
}

/* ---- entries that are left out ---- */

#define GROUP_BEGIN "\x92\x92\xd7\x00\xff\xff\xff\xff\x00\x00\x00\x00\x81\xa1g\x01\x81\xa1r\x02"
#define GROUP_END   "\x92\x92\xd7\x00\xff\xff\xff\xfe\x00\x00\x00\x00\x80\x80"
#define NO_RECORD   "\x92\x92\x05\x80\xc0"

/* Groups of entries with metadata; `invalid` follows each group. Returns the number of entries. */
static unsigned make_groups(struct bytes *body, unsigned count, const char *invalid, size_t length)
{
    body->length = 0;
    for (unsigned i = 0; i < count; i++) {
        ADD(body, GROUP_BEGIN "\x92\x92\x05\x80\x81\xa3log\xa5hello\x92\x06\x80" GROUP_END);
        add(body, invalid, length);
    }
    return count * (4 + (length > 0));
}

static void markers_are_left_out_with_the_metadata(void **state)
{
    static const enum body_form forms[] = { FORM_BIN, FORM_STR, FORM_FORWARD };
    struct fixture *fixture = *state;

    for (enum compression asked = COMPRESSION_OFF; asked <= COMPRESSION_ZSTD; asked++) {
        ask(fixture, asked, true);
        for (unsigned i = 0; i < 3; i++) {
            unsigned count = make_groups(&fixture->body, 20, "", 0);
            make_message(fixture, forms[i], count, NULL, 0);
            expect_rewritten(fixture, asked != COMPRESSION_OFF, true);
            MAKE(fixture, forms[i], count, "\x83\xa1k\xa1v\xa4size\x50\xa1l\xc0");
            expect_rewritten(fixture, asked != COMPRESSION_OFF, true);
            if (asked == COMPRESSION_OFF)
                EXPECT_END(fixture, "\x83\xa1k\xa1v\xa4size\x28\xa1l\xc0");
        }
    }
    ask(fixture, COMPRESSION_GZIP, false); /* with their metadata they stay */
    make_message(fixture, FORM_FORWARD, make_groups(&fixture->body, 20, "", 0), NULL, 0);
    expect_rewritten(fixture, true, false);
}

static void markers_are_left_out_of_compressed_bodies(void **state)
{
    struct fixture *fixture = *state;

    ask(fixture, COMPRESSION_OFF, true);
    for (enum compression method = COMPRESSION_GZIP; method <= COMPRESSION_ZSTD; method++) {
        make_groups(&fixture->body, 4000, "", 0);
        compress_body(fixture, method);
        make_message(fixture, FORM_BIN, 0, options_of[method], OPTION_BYTES);
        expect_rewritten(fixture, false, true);
    }
    MAKE(fixture, FORM_BIN, 0,
         "\x82\xa4size\xcd\x3e\x80\xaa"
         "compressed\xa4zstd");
    expect_rewritten(fixture, false, true);
    EXPECT_END(fixture, "\x82\xa4size\xcd\x1f\x40\xaa"
                        "compressed\xa4zstd");
}

static void a_body_of_markers_becomes_empty(void **state)
{
    struct fixture *fixture = *state;

    ask(fixture, COMPRESSION_OFF, true);
    fixture->body.length = 0;
    ADD(&fixture->body, GROUP_BEGIN GROUP_END);
    MAKE(fixture, FORM_FORWARD, 2, "\x80");
    assert_int_equal(rewrite(fixture), BODY_EMPTY);
    MAKE(fixture, FORM_BIN, 0, "\x80");
    assert_int_equal(rewrite(fixture), BODY_EMPTY);
    fixture->rewriter.options.skip_invalid = true;
    ADD(&fixture->body, NO_RECORD);
    MAKE(fixture, FORM_BIN, 0, "\x80");
    assert_int_equal(rewrite(fixture), BODY_EMPTY);
    fixture->body.length = 0; /* a body without entries stays */
    MAKE(fixture, FORM_BIN, 0, "\x80");
    assert_int_equal(rewrite(fixture), BODY_UNCHANGED);
}

static void invalid_entries_are_left_out_if_the_options_say_so(void **state)
{
    static const enum body_form forms[] = { FORM_BIN, FORM_STR, FORM_FORWARD };
    struct fixture *fixture = *state;

    for (unsigned i = 0; i < 6; i++) {
        unsigned count = make_groups(&fixture->body, 20, NO_RECORD, sizeof NO_RECORD - 1);
        ask(fixture, i < 3 ? COMPRESSION_OFF : COMPRESSION_GZIP, i < 3);
        MAKE(fixture, forms[i % 3], count, "\x81\xa4size\x64");
        fixture->rewriter.options.skip_invalid = false;
        assert_int_equal(rewrite(fixture), BODY_UNCHANGED);
        assert_int_equal(fixture->result.faults[EVENT_FAULT_RECORD], 20);
        fixture->rewriter.options.skip_invalid = true;
        expect_rewritten(fixture, i >= 3, i < 3);
        assert_int_equal(fixture->result.faults[EVENT_FAULT_RECORD], 20);
    }
    /* Without a valid entry they are no log entries. */
    fixture->body.length = 0;
    for (unsigned i = 0; i < 100; i++)
        ADD(&fixture->body, "text");
    MAKE(fixture, FORM_STR, 0, "\x80");
    assert_int_equal(rewrite(fixture), BODY_UNCHANGED);
    assert_int_equal(fixture->result.faults[EVENT_FAULT_ENTRY], 0);
}

static void nothing_but_invalid_entries_may_be_left_out(void **state)
{
    static const char before[] =
        "\x93\xa1t\xdc\x00\x03" NO_RECORD GROUP_BEGIN "\x07\x82\xa4size\x03\xa1k\xc0",
                      after[] = "\x93\xa1t\xdc\x00\x01" GROUP_BEGIN "\x82\xa4size\x01\xa1k\xc0";
    struct fixture *fixture = *state;
    struct scanner scanner;
    struct buffer buffer;

    buffer_init(&buffer, &fixture->pool);
    body_check_fill(&buffer, (const uint8_t *)before, sizeof before - 1, NULL, 0);
    assert_true(body_check_scan(&scanner, &buffer, 0));
    assert_int_equal(body_skip_invalid(&buffer, 0, &scanner, &fixture->result), BODY_REWRITTEN);
    body_check_gather(&fixture->after, &fixture->result.bytes);
    assert_int_equal(fixture->after.length, sizeof after - 1);
    assert_memory_equal(fixture->after.at, after, sizeof after - 1);
    buffer_clear(&fixture->result.bytes);
    buffer_clear(&buffer);
}

/* ---- slices ---- */

static void the_result_does_not_depend_on_slices(void **state)
{
    static const char option[] = "\x82\xaa"
                                 "compressed\xa4gzip\xa1k\xc0";
    struct fixture *fixture = *state;
    size_t cuts[2], stride = getenv("HUSK_LIGHT") ? 5 : 1;

    fixture->cuts = cuts;
    fixture->cut_count = 2;
    for (unsigned kind = 0; kind < 6; kind++) {
        make_entries(&fixture->body, 5, 2);
        if (kind > 3)
            make_groups(&fixture->body, 1, NO_RECORD, sizeof NO_RECORD - 1);
        fixture->rewriter.options.skip_invalid = true;
        ask(fixture, kind == 3 ? COMPRESSION_ZSTD : COMPRESSION_OFF, true);
        if (kind == 2)
            compress_body(fixture, COMPRESSION_GZIP);
        make_message(fixture, kind == 1 || kind == 4 ? FORM_FORWARD : FORM_BIN, 5, kind == 2 ? option : NULL,
                     sizeof option - 1);
        for (cuts[0] = 0; cuts[0] <= fixture->before.length; cuts[0] += stride) {
            for (cuts[1] = cuts[0]; cuts[1] <= fixture->before.length; cuts[1] += 7) {
                expect_rewritten(fixture, kind == 3, true);
            }
        }
    }
}

/* ---- generated messages ---- */

static void generated_messages_are_rewritten_correctly(void **state)
{
    static const char *const options[] = {
        NULL,
        "\x80",
        "\xc0",
        "\x81\xa4size\x07",
        "\x82\xaa"
        "compressed\xa4text\xa5"
        "chunk\xa3"
        "abc",
    };
    static const size_t lengths[] = { 0, 1, 1, 7, 27 };
    static const enum body_form forms[] = { FORM_BIN, FORM_STR, FORM_FORWARD };
    struct fixture *fixture = *state;
    static size_t cuts[CUTS_MAX];
    unsigned rewritten = 0;

    srand(5);
    fixture->cuts = cuts;
    for (unsigned round = 0; round < RANDOM_MESSAGES; round++) {
        unsigned count = (unsigned)rand() % 300 + 1, choice = (unsigned)rand() % 5;
        unsigned every = (unsigned)rand() % 4;
        bool strips = rand() % 2;
        enum compression method = (enum compression)(rand() % 3);
        ask(fixture, method, strips);
        make_entries(&fixture->body, count, every);
        make_message(fixture, forms[rand() % 3], count, options[choice], lengths[choice]);
        fixture->cut_count = 0;
        for (size_t at = 0; fixture->cut_count < CUTS_MAX;) {
            at += (size_t)rand() % (rand() % 4 ? 900 : 20) + 1;
            if (at >= fixture->before.length)
                break;
            cuts[fixture->cut_count++] = at;
        }
        if (rewrite(fixture) == BODY_REWRITTEN) {
            const char *difference = body_check_difference(&fixture->before, &fixture->after,
                                                           &fixture->result, &fixture->rewriter.options);
            if (difference)
                fail_msg("%s, in round %u", difference, round);
            rewritten++;
        } else {
            assert_true((!strips || !every) && (method == COMPRESSION_OFF || count < 10));
        }
    }
    assert_in_range(rewritten, RANDOM_MESSAGES / 2, RANDOM_MESSAGES);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(bodies_of_every_form_are_compressed),
        TEST(the_option_keeps_its_pairs_and_gets_those_of_a_compressed_body),
        TEST(the_last_of_two_compressed_keys_counts),
        TEST(a_long_body_is_compressed_completely),
        TEST(a_body_that_does_not_become_shorter_stays),
        TEST(other_messages_stay_the_same),
        TEST(metadata_is_removed_from_bodies_of_every_form),
        TEST(metadata_is_removed_from_compressed_bodies),
        TEST(metadata_is_removed_and_the_rest_is_compressed),
        TEST(broken_and_too_large_bodies_stay_the_same),
        TEST(a_zstd_window_has_a_limit),
        TEST(members_and_frames_in_a_row_are_one_body),
        TEST(markers_are_left_out_with_the_metadata),
        TEST(markers_are_left_out_of_compressed_bodies),
        TEST(a_body_of_markers_becomes_empty),
        TEST(invalid_entries_are_left_out_if_the_options_say_so),
        TEST(nothing_but_invalid_entries_may_be_left_out),
        TEST(the_result_does_not_depend_on_slices),
        TEST(generated_messages_are_rewritten_correctly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
