/* proxy/forward/batch_encoder.c: which messages may join, and what the batch is. */
#include "forward/batch_encoder.h"

#include "support/batch_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define TIME                "\xd7\x00\x65\xf0\x2a\x10\x1d\xcd\x65\x00"
#define RECORD              "\x81\xa1k\xa1v"
#define ENTRY               "\x92" TIME RECORD
#define SINGLE              "\x93\xa1t" TIME RECORD
#define SINGLE_WITH(option) "\x94\xa1t" TIME RECORD option

enum { RANDOM_STREAMS = 400 };

/* Checks the stream in slices of every size; the batch has these numbers of messages and events. */
static void expect_joined(const void *bytes, size_t length, unsigned joined, unsigned events)
{
    static const char *const prefixes[] = { "", "team." };

    for (size_t slice = 1; slice <= length; slice++) {
        struct batch_check check = {
            .bytes = bytes, .length = length, .slice_bytes = slice, .prefix = prefixes[slice & 1]
        };
        const char *difference = batch_check_run(&check);
        if (difference)
            fail_msg("%s, slices of %zu bytes", difference, slice);
        assert_int_equal(check.joined, joined);
        assert_int_equal(check.events, events);
    }
}

#define EXPECT_JOINED(literal, joined, events) expect_joined(literal, sizeof(literal) - 1, joined, events)

static void messages_of_all_modes_are_joined(void **state)
{
    (void)state;
    EXPECT_JOINED(SINGLE, 1, 1);
    EXPECT_JOINED(SINGLE SINGLE SINGLE, 3, 3);
    EXPECT_JOINED("\x92\xa1t\x92" ENTRY ENTRY SINGLE, 2, 3);
    EXPECT_JOINED("\x92\xa1t\xdd\x00\x00\x00\x01" ENTRY SINGLE, 2, 2);
    EXPECT_JOINED("\x92\xa1t\xc4\x20" ENTRY ENTRY SINGLE, 2, 3);
    EXPECT_JOINED("\x92\xa1t\xd9\x10" ENTRY SINGLE, 2, 2);
    EXPECT_JOINED("\x92\xa1t\x91\x92\x92" TIME "\x80" RECORD SINGLE, 2, 2); /* with metadata */
}

static void an_option_without_a_meaning_may_be_there(void **state)
{
    (void)state;
    EXPECT_JOINED(SINGLE_WITH("\xc0") SINGLE, 2, 2);
    EXPECT_JOINED(SINGLE_WITH("\x80") SINGLE, 2, 2);
    EXPECT_JOINED(SINGLE_WITH("\x81\xa4size\x01") SINGLE, 2, 2);
    EXPECT_JOINED("\x93\xa1t\xc4\x10" ENTRY "\x81\xa4size\xcd\x01\x00" SINGLE, 2, 2); /* it is counted */
}

static void other_messages_are_not_joined(void **state)
{
    (void)state;
    EXPECT_JOINED(SINGLE_WITH("\x81\xa5"
                              "chunk\xa1i") SINGLE,
                  1, 1);
    EXPECT_JOINED(SINGLE_WITH("\x81\xa5"
                              "chunk\xc0") SINGLE,
                  1, 1);
    EXPECT_JOINED(SINGLE_WITH("\x82\xa4size\x01\xa1x\x01") SINGLE, 1, 1);
    EXPECT_JOINED(SINGLE_WITH("\x81\xa4sizf\x01") SINGLE, 1, 1);
    EXPECT_JOINED("\x93\xa1t\xc4\x10" ENTRY "\x81\xaa"
                  "compressed\xa4gzip" SINGLE,
                  1, 1);
    EXPECT_JOINED(SINGLE "\x93\xa1u" TIME RECORD "\x93\xa2tt" TIME RECORD, 1, 1); /* other tags */
    EXPECT_JOINED("\x93\xa1t\x00" RECORD SINGLE, 1, 1); /* Fluentd reads 0 as now, but not when packed */
    EXPECT_JOINED("\x93\xa1t\xc0" RECORD SINGLE, 1, 1);
    EXPECT_JOINED("\x92\xa1t\x90" SINGLE, 1, 1); /* no event */
    EXPECT_JOINED("\x92\xa1t\xa0" SINGLE, 1, 1);
}

static void a_packed_body_that_is_broken_is_not_joined(void **state)
{
    (void)state;
    EXPECT_JOINED("\x92\xa1t\xc4\x0f\x92" TIME "\x81\xa1k\xa1" SINGLE, 1, 1); /* cut */
    EXPECT_JOINED("\x92\xa1t\xc4\x02\x92\xc1" SINGLE, 1, 1);
    EXPECT_JOINED("\x92\xa1t\xc4\x12" ENTRY "\xc1\xc1" SINGLE, 1, 1);
}

static void a_message_with_an_invalid_event_is_not_joined(void **state)
{
    (void)state;
    EXPECT_JOINED("\x93\xa1t" TIME "\xc0" SINGLE, 1, 1);
    EXPECT_JOINED("\x93\xa1t\xc3" RECORD SINGLE, 1, 1);
    EXPECT_JOINED("\x92\xa1t\x92" ENTRY "\x07" SINGLE, 1, 1);
    EXPECT_JOINED("\x92\xa1t\xc4\x11" ENTRY "\x07" SINGLE, 1, 1);
    EXPECT_JOINED("\x92\xa1t\xc4\x1c" ENTRY "\x92" TIME "\xc0" SINGLE, 1, 1);
}

static void long_messages_are_joined(void **state)
{
    enum { TEXT_BYTES = 9000, COUNT = 5 };
    static uint8_t stream[COUNT * (TEXT_BYTES + 32)];
    size_t length = 0;

    (void)state;
    for (unsigned i = 0; i < COUNT; i++) {
        static const char head[] = "\x93\xa1t" TIME "\x81\xa1k\xda\x23\x28";
        memcpy(stream + length, head, sizeof head - 1);
        length += sizeof head - 1;
        memset(stream + length, 'a' + (int)i, TEXT_BYTES);
        length += TEXT_BYTES;
    }
    for (size_t slice = 1000; slice <= length; slice += 7777) {
        struct batch_check check = { stream, length, slice, "", 0, 0 };
        assert_null(batch_check_run(&check));
        assert_int_equal(check.joined, COUNT);
    }
}

/* Streams of messages in any order: the batch has the entries that msgpack-c finds. */
static void any_messages_are_joined_as_msgpack_c_reads_them(void **state)
{
    static const struct {
        const char *bytes;
        size_t length;
    } parts[] = {
#define PART(text) { text, sizeof(text) - 1 }
        PART(SINGLE),
        PART("\x93\xa1t\xce\x65\xf0\x2a\x10\x80"),
        PART("\x92\xa1t\x92" ENTRY "\x92\xce\x65\xf0\x2a\x10\x80"),
        PART("\x92\xa1t\xc4\x20" ENTRY ENTRY),
        PART("\x93\xa1u" TIME RECORD),
        PART(SINGLE_WITH("\x81\xa4size\x01")),
        PART("\x93\xa1t\x00" RECORD),
    };
    unsigned joined = 0;

    (void)state;
    srand(1);
    for (unsigned i = 0; i < RANDOM_STREAMS; i++) {
        uint8_t stream[2048];
        size_t length = 0;
        for (unsigned n = (unsigned)rand() % 20; n; n--) {
            unsigned part = (unsigned)rand() % (sizeof parts / sizeof parts[0]);
            memcpy(stream + length, parts[part].bytes, parts[part].length);
            length += parts[part].length;
        }
        struct batch_check check = { stream, length, 1 + (size_t)rand() % 50, "", 0, 0 };
        assert_null(batch_check_run(&check));
        joined += check.joined;
    }
    assert_true(joined > RANDOM_STREAMS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_of_all_modes_are_joined),
        cmocka_unit_test(an_option_without_a_meaning_may_be_there),
        cmocka_unit_test(other_messages_are_not_joined),
        cmocka_unit_test(a_packed_body_that_is_broken_is_not_joined),
        cmocka_unit_test(a_message_with_an_invalid_event_is_not_joined),
        cmocka_unit_test(long_messages_are_joined),
        cmocka_unit_test(any_messages_are_joined_as_msgpack_c_reads_them),
    };

    return cmocka_run_group_tests_name("batch_encoder", tests, NULL, NULL);
}
