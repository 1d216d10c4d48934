/* proxy/forward/body_fields.c: messages of every mode with fields in their records. */
#include "forward/body_fields.h"

#include "support/fields_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

enum { CUTS_MAX = 4096, MESSAGE_MAX = 256 * 1024, INFLATED_MAX = 128 * 1024, RANDOM_MESSAGES = 300 };

#define PEER                                                                                                 \
    "\xa4peer\xa2"                                                                                           \
    "a1"
#define ID                                                                                                   \
    "\x81\xa5"                                                                                               \
    "chunk\xa1"                                                                                              \
    "i"
#define GZIP                                                                                                 \
    "\xaa"                                                                                                   \
    "compressed\xa4gzip"

struct fixture {
    struct buffer_pool pool;
    struct body_rewriter rewriter;
    struct record_fields fields;
    struct body_fields_options options;
    struct body_result result;
    struct bytes before, after, plain, scratch;
    size_t cuts[CUTS_MAX]; /* of the message's slices */
    size_t cut_count;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    *state = f;
    if (!f)
        return -1;
    f->options = (struct body_fields_options) { MESSAGE_MAX, INFLATED_MAX };
    fields_check_make(&f->fields, 1);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    record_fields_deinit(&f->fields);
    body_rewriter_deinit(&f->rewriter);
    buffer_pool_deinit(&f->pool); /* nothing is left behind */
    free(f);
    return 0;
}

static void add(struct bytes *to, const void *bytes, size_t length)
{
    assert_true(length <= sizeof to->at - to->length);
    memcpy(to->at + to->length, bytes, length);
    to->length += length;
}

#define ADD(to, text) add(to, text, sizeof(text) - 1)

static void set(struct bytes *to, const void *bytes, size_t length)
{
    to->length = 0;
    add(to, bytes, length);
}

#define SET(to, text) set(to, text, sizeof(text) - 1)

/* Puts the fields into f->before, with bytes of other messages before and after it. */
static enum body_fields_status run(struct fixture *f)
{
    static const char in_front[] = { 1, 2, 3 };
    struct scanner scanner;
    struct buffer buffer;

    buffer_init(&buffer, &f->pool);
    assert_true(buffer_append(&buffer, in_front, sizeof in_front));
    body_check_fill(&buffer, f->before.at, f->before.length, f->cuts, f->cut_count);
    assert_true(buffer_append(&buffer, "\x93\xa1", 2));
    assert_true(body_check_scan(&scanner, &buffer, sizeof in_front));
    assert_int_equal(scanner.length, f->before.length);
    const struct batch_message message = { &buffer, sizeof in_front, &scanner };
    enum body_fields_status status =
        body_fields_add(&f->rewriter, &message, &f->fields, &f->options, &f->result);
    assert_int_equal(f->result.bytes.length > 0, status == BODY_FIELDS_ADDED);
    body_check_gather(&f->after, &f->result.bytes);
    buffer_clear(&f->result.bytes);
    body_check_gather(&f->scratch, &buffer); /* it is as it was */
    assert_memory_equal(f->scratch.at + sizeof in_front, f->before.at, f->before.length);
    buffer_clear(&buffer);
    return status;
}

/* The message in one slice, in slices of 1 and 7 bytes, and cut in two anywhere. */
static void expect_everywhere(struct fixture *f, enum body_fields_status status, const void *bytes,
                              size_t length)
{
    for (size_t step = 0; step <= f->before.length; step++) {
        f->cut_count = 0;
        for (size_t at = step; step && at < f->before.length && (step == 1 || step == 7 || at == step);
             at += step)
            f->cuts[f->cut_count++] = at;
        assert_int_equal(run(f), status);
        assert_int_equal(f->after.length, length);
        assert_memory_equal(f->after.at, bytes, length);
    }
    f->cut_count = 0;
}

struct rewriting {
    const char *before;
    size_t before_length;
    const char *after;
    size_t after_length;
};

#define CASE(before, after) { before, sizeof(before) - 1, after, sizeof(after) - 1 }

static void expect_cases(struct fixture *f, enum body_fields_status status, const struct rewriting *cases,
                         size_t count)
{
    for (size_t i = 0; i < count; i++) {
        set(&f->before, cases[i].before, cases[i].before_length);
        expect_everywhere(f, status, cases[i].after, cases[i].after_length);
    }
}

#define EXPECT_CASES(f, status, cases) expect_cases(f, status, cases, sizeof cases / sizeof cases[0])

/* ---- every mode ---- */

static void a_message_gets_the_field_in_its_record(void **state)
{
    static const struct rewriting cases[] = {
        CASE("\x93\xa1t\x01\x80", "\x93\xa1t\x01\x81" PEER),
        CASE(
            "\x94\xa1t\xd7\x00\x00\x00\x00\x05\x00\x00\x00\x07\x82\xa4peer\xa1x\xa1k\x81\xa1l\x92\x01\x02" ID,
            "\x94\xa1t\xd7\x00\x00\x00\x00\x05\x00\x00\x00\x07\x82\xa1k\x81\xa1l\x92\x01\x02" PEER ID),
        CASE("\xdd\x00\x00\x00\x04\xc4\x01t\xcb\x00\x00\x00\x00\x00\x00\x00\x00\xdf\x00\x00\x00\x00\xc0",
             "\xdd\x00\x00\x00\x04\xc4\x01t\xcb\x00\x00\x00\x00\x00\x00\x00\x00\xdf\x00\x00\x00\x01" PEER
             "\xc0"),
    };

    EXPECT_CASES(*state, BODY_FIELDS_ADDED, cases);
}

static void each_entry_gets_the_field_in_its_record(void **state)
{
    static const struct rewriting cases[] = {
        CASE("\x92\xa1t\x92\x92\x01\x80\x92\x02\x81\xa4peer\x01",
             "\x92\xa1t\x92\x92\x01\x81" PEER "\x92\x02\x81" PEER),
        /* Metadata stay, also when they have the name. Headers keep their width. */
        CASE("\x93\xa1t\xdc\x00\x02\xdd\x00\x00\x00\x02\x92\x05\x81\xa4peer\x01\xde\x00\x00\x92\xc0\x80" ID,
             "\x93\xa1t\xdc\x00\x02\xdd\x00\x00\x00\x02\x92\x05\x81\xa4peer\x01\xde\x00\x01" PEER
             "\x92\xc0\x81" PEER ID),
        /* In Forward mode the option does not describe the body. */
        CASE("\x93\xa1t\x91\x92\x01\x80\x82" GZIP "\xad"
             "fluent_signal\x01",
             "\x93\xa1t\x91\x92\x01\x81" PEER "\x82" GZIP "\xad"
             "fluent_signal\x01"),
    };

    EXPECT_CASES(*state, BODY_FIELDS_ADDED, cases);
}

static void each_entry_of_a_packed_body_gets_the_field(void **state)
{
    static const struct rewriting cases[] = {
        CASE("\x92\xa1t\xc4\x03\x92\x01\x80", "\x92\xa1t\xc4\x0b\x92\x01\x81" PEER),
        CASE("\x92\xa1t\xa6\x92\x01\x80\x92\x02\x80", "\x92\xa1t\xb6\x92\x01\x81" PEER "\x92\x02\x81" PEER),
        CASE("\x92\xa1t\xbf\x92\x01\x81\xa1k\xb9"
             "1234567890123456789012345",
             "\x92\xa1t\xd9\x27\x92\x01\x82\xa1k\xb9"
             "1234567890123456789012345" PEER),
        /* Group markers, with an option that says nothing of the body. */
        CASE("\x93\xa1t\xc4\x10\x92\x92\xd7\x00\xff\xff\xff\xff\x00\x00\x00\x00\x80\x81\x01\x02\x81\xa4size"
             "\x01",
             "\x93\xa1t\xc4\x18\x92\x92\xd7\x00\xff\xff\xff\xff\x00\x00\x00\x00\x80\x82\x01\x02" PEER
             "\x81\xa4size\x01"),
        CASE("\x93\xa1t\xc4\x03\x92\x01\x80\x81\xad"
             "fluent_signal\x01",
             "\x93\xa1t\xc4\x0b\x92\x01\x81" PEER "\x81\xad"
             "fluent_signal\x01"),
        CASE("\x93\xa1t\xc4\x03\x92\x01\x80\x81\xaa"
             "compressed\xa4text",
             "\x93\xa1t\xc4\x0b\x92\x01\x81" PEER "\x81\xaa"
             "compressed\xa4text"),
    };

    EXPECT_CASES(*state, BODY_FIELDS_ADDED, cases);
}

/* ---- bodies with other values ---- */

/* An aggregator that takes such an entry would find the field that the agent has written. */
static void invalid_entries_are_left_out_and_size_is_corrected(void **state)
{
    static const struct rewriting cases[] = {
        CASE("\x93\xa1t\xc4\x11\x92\xa1x\x81\xa4peer\x01\x92\x01\x80\x93\x01\x80\x80\x81\xa4size\x03",
             "\x93\xa1t\xc4\x0b\x92\x01\x81" PEER "\x81\xa4size\x01"),
        CASE("\x92\xa1t\xc4\x08\x05\x92\x01\xc0\x92\x01\x80\xc0", "\x92\xa1t\xc4\x0b\x92\x01\x81" PEER),
        CASE("\x93\xa1t\xdc\x00\x02\x05\x92\x01\x80\x82\xa4size\xcd\x00\x02\xa1k\x01",
             "\x93\xa1t\xdc\x00\x01\x92\x01\x81" PEER "\x82\xa4size\x01\xa1k\x01"),
    };
    struct fixture *f = *state;

    EXPECT_CASES(f, BODY_FIELDS_ADDED, cases);
    SET(&f->before, "\x92\xa1t\xc4\x0c\x92\xa1x\x80\x92\x01\x80\x92\x01\xc0\x07\x07");
    assert_int_equal(run(f), BODY_FIELDS_ADDED);
    assert_int_equal(f->result.faults[EVENT_FAULT_TIME], 1);
    assert_int_equal(f->result.faults[EVENT_FAULT_RECORD], 1);
    assert_int_equal(f->result.faults[EVENT_FAULT_ENTRY], 2);
}

static void a_message_without_a_valid_event_is_empty(void **state)
{
    static const struct rewriting cases[] = {
        CASE("\x93\xa1t\xc3\x80", ""),
        CASE("\x93\xa1t\x01\x05", ""),
        CASE("\x92\xa1t\xc4\x04\x92\xa1x\x80", ""),
        CASE("\x92\xa1t\x91\x93\x01\x80\x80", ""),
        CASE("\x93\xa1t\xc4\x04\x92\xa1x\x80\x81\xad"
             "fluent_signal\x01",
             ""),
        CASE("\x92\xa1t\x91\x80", ""),
        /* For Fluentd 1.18, a map with the keys 0 and 1 is an entry. */
        CASE("\x92\xa1t\x91\x82\x00\x01\x01\x81\xa4peer\xa1x", ""),
    };

    EXPECT_CASES(*state, BODY_FIELDS_EMPTY, cases);
}

/* Metrics and traces of Fluent Bit are maps. */
static void a_packed_body_without_any_array_stays(void **state)
{
    static const struct rewriting cases[] = {
        CASE("\x92\xa1t\x90", ""),
        CASE("\x92\xa1t\xc4\x00", ""),
        CASE("\x93\xa1t\xc4\x09\x82\xa1k\x01\xa1l\x92\x01\x80\x81\xad"
             "fluent_signal\x01",
             ""),
        CASE("\x92\xa1t\xc4\x03\x80\xc0\x05", ""),
    };
    struct fixture *f = *state;

    EXPECT_CASES(f, BODY_FIELDS_NO_EVENTS, cases);
}

static void a_body_that_cannot_be_read_is_refused(void **state)
{
    static const struct rewriting cases[] = {
        CASE("\x92\xa1t\xc4\x05\x92\x01\x80\x92\x01", ""),  /* the last entry is cut */
        CASE("\x92\xa1t\xc4\x04\x92\x01\x80\xc1", ""),      /* no MessagePack */
        CASE("\x93\xa1t\xc4\x03\x92\x01\x80\x81" GZIP, ""), /* not compressed */
        CASE("\x93\xa1t\xc4\x03\x92\x01\x80\x81\xaa"
             "compressed\xa3lz4",
             ""), /* in a way husk does not know */
        CASE("\x93\xa1t\xc4\x03\x92\x01\x80\x81\xaa"
             "compressed\x01",
             ""),
    };

    EXPECT_CASES(*state, BODY_FIELDS_REFUSED, cases);
}

/* Which of two values counts is not the same for all aggregators. */
static void an_option_says_once_how_the_body_is_compressed(void **state)
{
    static const struct rewriting cases[] = {
        CASE("\x93\xa1t\xc4\x03\x92\x01\x80\x83" GZIP "\xaa"
             "compressed\xa4text\xa1k\x01",
             "\x93\xa1t\xc4\x0b\x92\x01\x81" PEER "\x81\xa1k\x01"),
        CASE("\x93\xa1t\xc4\x03\x92\x01\x80\x82" GZIP "\xc4\x0a"
             "compressed\xc0",
             "\x93\xa1t\xc4\x0b\x92\x01\x81" PEER "\x80"),
    };

    EXPECT_CASES(*state, BODY_FIELDS_ADDED, cases);
}

/* ---- compressed bodies ---- */

/* f->before: the plain body compressed by the method, with an option. */
static void compressed_make(struct fixture *f, enum compression method, const char *option,
                            size_t option_length)
{
    struct compressor compressor = { 0 };
    struct buffer to;

    buffer_init(&to, &f->pool);
    assert_true(compressor_begin(&compressor, method, f->plain.length));
    assert_true(compressor_put(&compressor, f->plain.at, f->plain.length, &to));
    assert_true(compressor_end(&compressor, &to));
    body_check_gather(&f->scratch, &to);
    buffer_clear(&to);
    compressor_deinit(&compressor);
    const uint8_t header[] = { 0xc6, 0, (uint8_t)(f->scratch.length >> 16), (uint8_t)(f->scratch.length >> 8),
                               (uint8_t)f->scratch.length };
    SET(&f->before, "\x93\xa1t");
    add(&f->before, header, sizeof header);
    add(&f->before, f->scratch.at, f->scratch.length);
    add(&f->before, option, option_length);
}

static void plain_make(struct fixture *f, unsigned count)
{
    f->plain.length = 0;
    for (unsigned i = 0; i < count; i++) {
        const uint8_t number[] = { 0xcd, (uint8_t)(i >> 8), (uint8_t)i };
        ADD(&f->plain, "\x92\x01\x83\xa1k");
        add(&f->plain, number, sizeof number);
        ADD(&f->plain, "\xa4peer\xa1x\xa3log\xb4"
                       "some text of an event");
        f->plain.length--; /* the str has 20 bytes */
    }
}

static const char *const options_of[] = {
    [COMPRESSION_GZIP] = "\x83\xa5"
                         "chunk\xa1i\xa4size\xcd\x03\xe8" GZIP,
    [COMPRESSION_ZSTD] = "\x83\xa5"
                         "chunk\xa1i\xa4size\xcd\x03\xe8\xaa"
                         "compressed\xa4zstd",
};
enum { OPTION_BYTES = 1 + 6 + 2 + 5 + 3 + 11 + 5 };

static void a_compressed_body_is_compressed_again_by_the_same_method(void **state)
{
    struct fixture *f = *state;

    for (enum compression method = COMPRESSION_GZIP; method <= COMPRESSION_ZSTD; method++) {
        plain_make(f, 1000);
        compressed_make(f, method, options_of[method], OPTION_BYTES);
        for (unsigned i = 0; i < 3; i++) {
            f->cut_count = 0;
            for (size_t at = 501; i && at < f->before.length; at += i == 1 ? 501 : f->before.length)
                f->cuts[f->cut_count++] = at;
            assert_int_equal(run(f), BODY_FIELDS_ADDED);
            assert_null(fields_check_difference(&f->before, &f->after, &f->fields));
            const uint8_t *option = f->after.at + f->after.length - OPTION_BYTES;
            assert_memory_equal(option, options_of[method], OPTION_BYTES);
        }
    }
}

static void a_compressed_body_that_is_broken_is_refused(void **state)
{
    struct fixture *f = *state;

    for (enum compression method = COMPRESSION_GZIP; method <= COMPRESSION_ZSTD; method++) {
        plain_make(f, 1000);
        f->plain.length -= 3; /* the last entry is cut */
        compressed_make(f, method, options_of[method], OPTION_BYTES);
        assert_int_equal(run(f), BODY_FIELDS_REFUSED);
        plain_make(f, 1000);
        compressed_make(f, method, options_of[method], OPTION_BYTES);
        f->before.at[f->before.length - OPTION_BYTES - 1]++; /* the length, or the last block */
        f->before.at[f->before.length - OPTION_BYTES - 5]++; /* the checksum */
        assert_int_equal(run(f), BODY_FIELDS_REFUSED);
    }
}

/* ---- limits ---- */

static void the_limits_are_those_of_the_new_message(void **state)
{
    struct fixture *f = *state;

    SET(&f->before, "\x93\xa1t\x92\x92\x01\x80\x92\x02\x80\xc0");
    f->options.message_max = f->before.length + 2 * f->fields.length;
    assert_int_equal(run(f), BODY_FIELDS_ADDED);
    assert_int_equal(f->after.length, f->options.message_max);
    f->options.message_max--;
    assert_int_equal(run(f), BODY_FIELDS_TOO_LONG);
    SET(&f->before, "\x93\xa1t\x01\x80");
    assert_int_equal(run(f), BODY_FIELDS_ADDED);
    f->options.message_max = f->after.length - 1;
    assert_int_equal(run(f), BODY_FIELDS_TOO_LONG);

    f->options.message_max = MESSAGE_MAX;
    plain_make(f, 1000);
    compressed_make(f, COMPRESSION_GZIP, options_of[COMPRESSION_GZIP], OPTION_BYTES);
    f->options.inflated_max = f->plain.length + 1000 * (f->fields.length - 7); /* without the agent's own */
    assert_int_equal(run(f), BODY_FIELDS_ADDED);
    f->options.inflated_max--;
    assert_int_equal(run(f), BODY_FIELDS_TOO_LONG);
    f->options.inflated_max = f->plain.length - 1;
    assert_int_equal(run(f), BODY_FIELDS_TOO_LONG);
}

/* ---- any message ---- */

static void any_message_gets_the_fields_wherever_slices_end(void **state)
{
    static const char *const pieces[] = {
        "\x92\x01\x80",
        "\x92\x92\x05\x81\xa1m\x01\x81\xa1k\xa1v",
        "\x92\xcf\x01\x02\x03\x04\x05\x06\x07\x08\x82\xa4peer\x92\x01\x81\xa1x\xc0\xa1l\xa4peer",
        "\x92\xc0\xde\x01\x01\x91\x01",
        "\x92\xa1x\x81\xa4peer\x01",
        "\x05"
    };
    struct fixture *f = *state;

    srand(7);
    for (unsigned i = 0; i < RANDOM_MESSAGES; i++) {
        unsigned count = 1 + (unsigned)rand() % 15;
        bool is_packed = i % 2;
        f->plain.length = 0;
        for (unsigned n = 0; n < count; n++) {
            const char *piece = n ? pieces[rand() % 6] : pieces[0];
            if (*piece == '\x92' && piece[1] == '\xc0') { /* a record with many pairs */
                ADD(&f->plain, "\x92\xc0\xde\x00\x1f");
                for (unsigned pair = 0; pair < 31; pair++)
                    add(&f->plain, pair % 5 ? "\x01\x02" : "\xc4\x04peer\xc3", pair % 5 ? 2 : 7);
            } else {
                add(&f->plain, piece, strlen(piece));
            }
        }
        const uint8_t header[] = { is_packed ? 0xc5 : (uint8_t)(0x90 + count),
                                   (uint8_t)(f->plain.length >> 8), (uint8_t)f->plain.length };
        SET(&f->before, "\x93\xa3tag");
        add(&f->before, header, is_packed ? 3 : 1);
        add(&f->before, f->plain.at, f->plain.length);
        ADD(&f->before, "\x82\xa4size\x7f\xa5"
                        "chunk\xc4\x01i");
        f->cut_count = 0;
        for (size_t at = 1 + (size_t)rand() % 40; i % 3 && at < f->before.length;
             at += 1 + (size_t)rand() % 40)
            f->cuts[f->cut_count++] = at;
        assert_int_equal(run(f), BODY_FIELDS_ADDED);
        assert_null(fields_check_difference(&f->before, &f->after, &f->fields));
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_message_gets_the_field_in_its_record),
        TEST(each_entry_gets_the_field_in_its_record),
        TEST(each_entry_of_a_packed_body_gets_the_field),
        TEST(invalid_entries_are_left_out_and_size_is_corrected),
        TEST(a_message_without_a_valid_event_is_empty),
        TEST(a_packed_body_without_any_array_stays),
        TEST(a_body_that_cannot_be_read_is_refused),
        TEST(an_option_says_once_how_the_body_is_compressed),
        TEST(a_compressed_body_is_compressed_again_by_the_same_method),
        TEST(a_compressed_body_that_is_broken_is_refused),
        TEST(the_limits_are_those_of_the_new_message),
        TEST(any_message_gets_the_fields_wherever_slices_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
