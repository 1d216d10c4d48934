/* proxy/forward/record_fields.c: the exact bytes of records with fields. */
#include "forward/record_fields.h"

#include "support/fields_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

/* Fields: peer=a1. */
#define PEER                                                                                                 \
    "\xa4peer\xa2"                                                                                           \
    "a1"
#define KEY                                                                                                  \
    "\xa3key\xa2"                                                                                            \
    "0f"

struct fixture {
    struct buffer_pool pool;
    struct buffer made;
    struct record_fields fields;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    *state = f;
    if (!f)
        return -1;
    buffer_init(&f->made, &f->pool);
    fields_check_make(&f->fields, 1);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    buffer_clear(&f->made);
    record_fields_deinit(&f->fields);
    buffer_pool_deinit(&f->pool);
    free(f);
    return 0;
}

/* Puts the fields into an event in a block of exactly its size. */
static void put(struct fixture *f, const void *event, size_t length, size_t at)
{
    uint8_t *copy = malloc(length);

    assert_non_null(copy);
    memcpy(copy, event, length);
    const struct record_event found = record_event_find(copy, length, at);
    buffer_clear(&f->made);
    assert_true(record_fields_put(&f->fields, &found, &f->made));
    free(copy);
}

static void expect(struct fixture *f, const void *bytes, size_t length)
{
    uint8_t *made = malloc(f->made.length);

    assert_non_null(made);
    assert_int_equal(f->made.length, length);
    assert_int_equal(buffer_peek(&f->made, 0, made, length), length);
    assert_memory_equal(made, bytes, length);
    free(made);
}

#define CASE(before, after) { before, sizeof(before) - 1, after, sizeof(after) - 1 }

struct rewriting {
    const char *before;
    size_t before_length;
    const char *after;
    size_t after_length;
};

static void expect_all(struct fixture *f, const struct rewriting *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        put(f, cases[i].before, cases[i].before_length, 0);
        expect(f, cases[i].after, cases[i].after_length);
    }
}

static void a_field_is_the_last_pair(void **state)
{
    static const struct rewriting cases[] = {
        CASE("\x01\x80", "\x01\x81" PEER),
        CASE("\x01\x81\xa1k\x02", "\x01\x82\xa1k\x02" PEER),
        CASE("\xd7\x00\x00\x00\x00\x05\x00\x00\x00\x07\x81\xa1k\xa1v",
             "\xd7\x00\x00\x00\x00\x05\x00\x00\x00\x07\x82\xa1k\xa1v" PEER),
        /* A time and metadata. */
        CASE("\x92\x05\x81\xa4peer\xa1x\x81\xa1k\xa1v", "\x92\x05\x81\xa4peer\xa1x\x82\xa1k\xa1v" PEER),
    };

    expect_all(*state, cases, sizeof cases / sizeof cases[0]);
}

static void what_the_agent_has_written_under_the_name_is_left_out(void **state)
{
    static const struct rewriting cases[] = {
        CASE("\x01\x81\xa4peer\xa1x", "\x01\x81" PEER),
        CASE("\x01\x81\xd9\x04peer\xa1x", "\x01\x81" PEER), /* wider headers than needed */
        CASE("\x01\x81\xda\x00\x04peer\xa1x", "\x01\x81" PEER),
        CASE("\x01\x81\xdb\x00\x00\x00\x04peer\xa1x", "\x01\x81" PEER),
        CASE("\x01\x81\xc4\x04peer\xa1x", "\x01\x81" PEER), /* bin */
        CASE("\x01\x81\xc5\x00\x04peer\xa1x", "\x01\x81" PEER),
        CASE("\x01\x81\xc6\x00\x00\x00\x04peer\xa1x", "\x01\x81" PEER),
        /* Several times, between, before and after other pairs, with values of any kind. */
        CASE("\x01\x85\xa4peer\x92\x01\x80\xa1k\x01\xc4\x04peer\x81\xa4peer\xa4peer\xa1l\x02\xa4peer\xc0",
             "\x01\x83\xa1k\x01\xa1l\x02" PEER),
        CASE("\x01\xde\x00\x01\xa4peer\xa1x", "\x01\xde\x00\x01" PEER),
    };

    expect_all(*state, cases, sizeof cases / sizeof cases[0]);
}

static void other_keys_stay(void **state)
{
    static const struct rewriting cases[] = {
        CASE("\x01\x84\xa5peers\x01\xa3pee\x01\xa4Peer\x01\xa5peer\x00\x01",
             "\x01\x85\xa5peers\x01\xa3pee\x01\xa4Peer\x01\xa5peer\x00\x01" PEER),
        /* The name deeper in the record, and as a value. */
        CASE("\x01\x82\xa1k\x81\xa4peer\x01\xa1l\xa4peer", "\x01\x83\xa1k\x81\xa4peer\x01\xa1l\xa4peer" PEER),
        /* Keys of other kinds: an ext and an array with the bytes of the name. */
        CASE("\x01\x82\xd6\x01peer\x01\x91\xa4peer\x02", "\x01\x83\xd6\x01peer\x01\x91\xa4peer\x02" PEER),
        CASE("\x01\x82\x92\x81\xa4peer\x01\xc0\x01\xc0\xca\x00\x00\x00\x00",
             "\x01\x83\x92\x81\xa4peer\x01\xc0\x01\xc0\xca\x00\x00\x00\x00" PEER),
    };

    expect_all(*state, cases, sizeof cases / sizeof cases[0]);
}

static void several_fields_are_put_in_their_order(void **state)
{
    static const struct rewriting cases[] = {
        CASE("\x01\x80", "\x01\x82" PEER KEY),
        CASE("\x01\x83\xa3key\x01\xa1k\x01\xa4peer\x01", "\x01\x83\xa1k\x01" PEER KEY),
    };
    struct fixture *f = *state;

    record_fields_deinit(&f->fields);
    fields_check_make(&f->fields, 2);
    expect_all(f, cases, sizeof cases / sizeof cases[0]);
}

/* A record with `count` pairs of 2 bytes, `header` bytes of header, and `names` times the name of the field.
 */
static size_t record_make(uint8_t *to, size_t header, unsigned count, unsigned names)
{
    size_t at = 1;

    to[0] = 1;
    to[1] = header == 1 ? (uint8_t)(0x80 + count) : header == 3 ? 0xde : 0xdf;
    for (size_t i = 1; i < header; i++)
        to[1 + i] = (uint8_t)(count >> 8 * (header - 1 - i));
    at += header;
    for (unsigned i = 0; i < count; i++) {
        bool is_named = i >= count - names;
        memcpy(to + at, is_named ? "\xa4peer\x01" : "\x02\x03", is_named ? 6 : 2);
        at += is_named ? 6 : 2;
    }
    return at;
}

static void the_header_grows_only_if_it_must(void **state)
{
    static const struct {
        unsigned header, count, names, new_header, new_count;
    } cases[] = {
        { 1, 14, 0, 1, 15 }, { 1, 15, 0, 3, 16 },       { 1, 15, 1, 1, 15 },       { 3, 15, 1, 3, 15 },
        { 5, 15, 0, 5, 16 }, { 3, 65534, 0, 3, 65535 }, { 3, 65535, 0, 5, 65536 }, { 3, 65535, 1, 3, 65535 },
        { 3, 0, 0, 3, 1 },   { 5, 65536, 2, 5, 65535 }, { 3, 16, 2, 3, 15 },
    };
    struct fixture *f = *state;
    uint8_t *before = malloc(400000), *after = malloc(400000);

    assert_true(before && after);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t length = record_make(before, cases[i].header, cases[i].count, cases[i].names);
        unsigned kept = cases[i].count - cases[i].names;
        put(f, before, length, 0);
        length = record_make(after, cases[i].new_header, kept, 0);
        (void)record_make(after, cases[i].new_header, cases[i].new_count, 0);
        memcpy(after + length, PEER, sizeof PEER - 1);
        expect(f, after, length + sizeof PEER - 1);
    }
    free(before);
    free(after);
}

static void names_and_values_of_any_length_have_their_header(void **state)
{
    struct fixture *f = *state;
    char name[RECORD_FIELD_NAME_BYTES_MAX + 1] = "", value[RECORD_FIELD_VALUE_BYTES_MAX + 1] = "";

    memset(name, 'n', sizeof name - 1);
    memset(value, 'v', sizeof value - 1);
    record_fields_deinit(&f->fields);
    assert_true(record_fields_add(&f->fields, name, value));
    assert_int_equal(f->fields.length, 2 + 64 + 3 + 1024);
    assert_memory_equal(f->fields.pairs, "\xd9\x40n", 3);
    assert_memory_equal(f->fields.pairs + 66, "\xda\x04\x00v", 4);
    assert_int_equal(record_fields_growth_max(&f->fields), 2 + 64 + 3 + 1024 + 2);
    put(f, "\x01\x80", 2, 0);
    assert_int_equal(f->made.length, 2 + f->fields.length);
    record_fields_deinit(&f->fields);
    assert_int_equal(record_fields_growth_max(&f->fields), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_field_is_the_last_pair),
        TEST(what_the_agent_has_written_under_the_name_is_left_out),
        TEST(other_keys_stay),
        TEST(several_fields_are_put_in_their_order),
        TEST(the_header_grows_only_if_it_must),
        TEST(names_and_values_of_any_length_have_their_header),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
