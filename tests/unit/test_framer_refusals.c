/* proxy/delivery/framer.c on a link: messages that are refused, and the messages around them. */
#include "delivery/framer.h"

#include "support/framing.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static struct framing framing;

static int set_up(void **state)
{
    framing_open(&framing);
    *state = &framing;
    return 0;
}

static int tear_down(void **state)
{
    framing_close(*state);
    return 0;
}

/* ---- refused messages ---- */

/* The stream after a message that is refused. */
#define AFTER           ASKED("b", "9") FRAME("\x02") PLAIN("a")
#define AROUND          "m m f1 m %s m f2 m "
#define MESSAGES_AROUND PLAIN("a") PLAIN("b") PLAIN("a") ASKED("b", "9") PLAIN("a")

static void begin(struct framing *f)
{
    f->stream_length = 0;
    FRAMING_PUT(f, PLAIN("a") PLAIN("b") FRAME("\x01") PLAIN("a"));
}

/* The message between begin() and now is refused: `refusal` in the trace. */
static void expect_refused(struct framing *f, const char *refusal)
{
    char trace[128];

    FRAMING_PUT(f, AFTER);
    snprintf(trace, sizeof trace, AROUND, refusal);
    FRAMING_EXPECT_AT_EVERY_CUT(f, trace, MESSAGES_AROUND);
}

static void a_tag_that_is_not_allowed_costs_its_message(void **state)
{
    static const struct {
        const char *bytes;
        size_t length;
        const char *refusal;
    } cases[] = {
#define CASE(bytes, refusal) { bytes, sizeof(bytes) - 1, refusal }
        CASE(ASKED("x", "1"), "r1:tag_not_allowed"),
        CASE(PLAIN("x"), "r:tag_not_allowed"),
        CASE("\x94\xa1x\x01\x80\xc0", "r:tag_not_allowed"), /* a nil option */
        CASE("\x94\xa1x\x01\x80\x80", "r:tag_not_allowed"),
        CASE("\x93\xa1x\xc4\x05hello" OPTION("2"), "r2:tag_not_allowed"),
        CASE("\xdd\x00\x00\x00\x03\xd9\x01x\x92\x92\x01\x80\x92\x92\x01\x80\x80\xde\x00\x02\xa1k\xc0\xd9\x05"
             "chunk\xa1"
             "3",
             "r3:tag_not_allowed"),
        CASE(ASKED("x", "4") PLAIN("x") ASKED("x", "5"),
             "r4:tag_not_allowed r:tag_not_allowed r5:tag_not_allowed"),
#undef CASE
    };
    struct framing *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        begin(f);
        framing_put(f, cases[i].bytes, cases[i].length);
        expect_refused(f, cases[i].refusal);
    }
}

static void a_tag_that_is_too_long_costs_its_message(void **state)
{
    struct framing *f = *state;

    begin(f);
    FRAMING_PUT(f, "\x93\xb5" /* the whole message is short */
                   "123456789012345678901\x01\x80");
    expect_refused(f, "r:tag_too_long");
    begin(f);
    FRAMING_PUT(f, "\x94\xda\x01\x00");
    framing_fill(f, 256, 't');
    FRAMING_PUT(f, "\x01\x80" OPTION("1"));
    expect_refused(f, "r1:tag_too_long");
}

static void a_message_that_is_too_long_costs_itself(void **state)
{
    struct framing *f = *state;

    begin(f); /* known from the length of the body */
    FRAMING_PUT(f, "\x93\xa1"
                   "a\xc5\x08\x00");
    framing_fill(f, 2048, 0);
    FRAMING_PUT(f, OPTION("1"));
    expect_refused(f, "r1:message_too_long");
    begin(f); /* from the number of entries */
    FRAMING_PUT(f, "\x93\xa1"
                   "a\xdc\x08\x00");
    for (unsigned i = 0; i < 2048; i++)
        FRAMING_PUT(f, "\x92\x01\x80");
    FRAMING_PUT(f, OPTION("2"));
    expect_refused(f, "r2:message_too_long");
    begin(f); /* in the middle of the record */
    FRAMING_PUT(f, "\x94\xa1"
                   "a\x01\x82\xa1k\xc5\x03\x00");
    framing_fill(f, 0x300, 0);
    FRAMING_PUT(f, "\xa1l\xc5\x05\x00");
    framing_fill(f, 0x500, 0);
    FRAMING_PUT(f, OPTION("3"));
    expect_refused(f, "r3:message_too_long");
}

static void a_rule_may_allow_short_messages_only(void **state)
{
    struct framing *f = *state;

    f->policy.rules->message_bytes = 100;
    FRAMING_PUT(f, "\x93\xa1"
                   "a\xc5\x00\x60");
    framing_fill(f, 0x60, 0);
    FRAMING_PUT(f, OPTION("1"));
    assert_int_equal(framing_receive(f, 0, f->stream_length), END_NONE);
    framing_expect_end(f, "r1:message_too_long ");
    assert_non_null(strstr(message_permit_detail(&f->permit), "100 bytes"));
}

static void the_bytes_of_a_refused_message_are_discarded_when_they_come(void **state)
{
    struct framing *f = *state;

    FRAMING_PUT(f, "\x93\xa1x\xc6\x00\x01\x00\x00");
    framing_fill(f, 10000, 0);
    assert_int_equal(framing_receive(f, 0, f->stream_length), END_NONE);
    assert_int_equal(framer_bytes(&f->framer)->length, 0);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(framing_receive(f, 8, 10008), END_NONE);
    assert_int_equal(framer_bytes(&f->framer)->length, 0);
    assert_int_equal(framing_receive(f, 8, 8 + 5536), END_NONE);
    f->stream_length = 0;
    FRAMING_PUT(f, OPTION("1"));
    assert_int_equal(framing_receive(f, 0, 3), END_NONE);
    assert_int_equal(framer_bytes(&f->framer)->length, 3); /* the option has the id */
    framing_expect_trace(f, "");
    assert_int_equal(framing_receive(f, 3, f->stream_length), END_NONE);
    framing_expect_end(f, "r1:tag_not_allowed ");
    assert_false(framer_is_untouched(&f->framer));
    assert_int_equal(f->large_calls, 0);
}

/* The option of a refused message: a map of one bin of `length` bytes. */
static enum end_reason send_option(struct framing *f, uint32_t length)
{
    uint8_t header[] = { 0x81,
                         0xa1,
                         'k',
                         0xc6,
                         (uint8_t)(length >> 24),
                         (uint8_t)(length >> 16),
                         (uint8_t)(length >> 8),
                         (uint8_t)length };

    f->stream_length = 0;
    FRAMING_PUT(f, "\x94\xa1x\x01\x80");
    framing_put(f, (const char *)header, sizeof header);
    return framing_receive(f, 0, f->stream_length);
}

static void an_option_that_is_too_long_to_hold_ends_the_connection(void **state)
{
    struct framing *f = *state;
    static const uint8_t zeros[MESSAGE_OPTION_BYTES_MAX];

    assert_int_equal(send_option(f, MESSAGE_OPTION_BYTES_MAX - 8), END_NONE);
    assert_true(buffer_append(framer_bytes(&f->framer), zeros, MESSAGE_OPTION_BYTES_MAX - 8));
    assert_int_equal(framer_advance(&f->framer, FRAMING_NOW_MS), END_NONE);
    framing_expect_end(f, "r:tag_not_allowed ");
    assert_int_equal(send_option(f, MESSAGE_OPTION_BYTES_MAX - 7), END_BAD_OPTION);
    framing_expect_trace(f, "");
}

static void broken_bytes_end_the_connection_after_a_refusal_too(void **state)
{
    struct framing *f = *state;

    FRAMING_PUT(f, PLAIN("a") ASKED("x", "1") PLAIN("b") "\x92\xc1");
    framing_expect_failure(f, END_NOT_FORWARD, "m r1:tag_not_allowed m ");
}

static void a_refused_message_that_is_broken_ends_the_connection(void **state)
{
    struct framing *f = *state;

    FRAMING_PUT(f, PLAIN("a") "\x93\xa1x\x01\x81\xa1k\xc1");
    framing_expect_failure(f, END_NOT_FORWARD, "m ");
    framing_restart(f);
    FRAMING_PUT(f, PLAIN("a") "\x94\xa1x\x01\x80"
                              "\x81\xa5"
                              "chunk\xda\x04\x00");
    framing_expect_failure(f, END_BAD_OPTION, "m ");
}

static void a_refused_message_that_is_no_message_is_refused(void **state)
{
    struct framing *f = *state;

    begin(f);
    FRAMING_PUT(f, "\x94\xa1x\x01\xc0\xa1x");
    expect_refused(f, "r:tag_not_allowed");
}

static void a_refused_message_counts_for_a_rate_limit(void **state)
{
    struct framing *f = *state;
    struct message_rule *rule = f->policy.rules;

    message_permit_close(&f->permit);
    rule->messages_per_second = 10;
    rule->burst_ms = 200; /* two at once */
    assert_int_equal(message_permit_open(&f->permit, &f->policy, &f->meters, NULL, FRAMING_NOW_MS), END_NONE);
    FRAMING_PUT(f, ASKED("x", "1") ASKED("x", "2") FRAME("\x01") ASKED("x", "3"));
    assert_int_equal(framing_receive(f, 0, f->stream_length), END_NONE);
    framing_expect_trace(f, "r1:tag_not_allowed r2:tag_not_allowed "); /* frames keep their place */
    assert_int_equal(framer_wait_ms(&f->framer, FRAMING_NOW_MS), 100);
    assert_int_equal(framer_advance(&f->framer, FRAMING_NOW_MS + 100), END_NONE);
    framing_expect_end(f, "f1 r3:tag_not_allowed ");
}

/* ---- messages without a place for the identity ---- */

#define PEER                                                                                                 \
    "\xa4peer\xa2"                                                                                           \
    "a1"

/* The permit gives records the field peer=a1. */
static void fields_set(struct framing *f)
{
    static const struct route_identity_fields fields = { 1, { { "peer", IDENTITY_CN } } };

    f->route.body = (struct body_options) { .skip_invalid = true, .inflated_max = 1000 };
    body_filter_set_options(&f->bodies, &f->route);
    assert_int_equal(
        message_permit_set_fields(&f->permit, &fields, &(const struct identity) { .cn = (char *)"a1" }),
        END_NONE);
}

static void a_message_whose_records_cannot_be_read_costs_itself(void **state)
{
    static const char refused[] = "\x93\xa1"
                                  "a\xc4\x04\x92\x01\x80\x92" OPTION("1");
    struct framing *f = *state;

    fields_set(f);
    FRAMING_PUT(f, "\x94\xa1"
                   "a\x01\x81\xa4peer\xa1x" OPTION("9"));
    FRAMING_PUT(f, refused);
    FRAMING_PUT(f, FRAME("\x01") PLAIN("b") PLAIN("b"));
    FRAMING_PUT(f, "\x92\xa1"
                   "b\xc4\x01\xc1");
    FRAMING_EXPECT_AT_EVERY_CUT(f, "m r1:identity_not_added f1 m m r:identity_not_added ",
                                "\x94\xa1"
                                "a\x01\x81" PEER OPTION("9") "\x93\xa1"
                                                             "b\x01\x81" PEER "\x93\xa1"
                                                             "b\x01\x81" PEER);
}

static void a_message_that_becomes_too_long_costs_itself(void **state)
{
    struct framing *f = *state;

    fields_set(f);
    FRAMING_PUT(f, PLAIN("a") "\x93\xa1"
                              "a\xdc\x02\x00"); /* 512 entries of 3 bytes */
    for (unsigned i = 0; i < 512; i++)
        FRAMING_PUT(f, "\x92\x01\x80");
    FRAMING_PUT(f, OPTION("2") PLAIN("b"));
    FRAMING_EXPECT_AT_EVERY_CUT(f, "m r2:message_too_long m ",
                                "\x93\xa1"
                                "a\x01\x81" PEER "\x93\xa1"
                                "b\x01\x81" PEER);
}

/* Longer than what is cut through. */
static void a_long_message_is_held_for_its_field(void **state)
{
    static char expected[FRAMING_STREAM_BYTES] = "\x93\xa1"
                                                 "a\x01\x82\xa1k\xda\x05\x00";
    struct framing *f = *state;

    fields_set(f);
    FRAMING_PUT(f, "\x93\xa1"
                   "a\x01\x81\xa1k\xda\x05\x00");
    framing_fill(f, 0x500, 'v');
    memset(expected + 10, 'v', 0x500);
    memcpy(expected + 10 + 0x500, PEER, sizeof PEER - 1);
    framing_expect_at_every_cut(f, "m ", expected, 10 + 0x500 + sizeof PEER - 1);
}

/* An agent loses its connection. */
static void an_agent_ends_at_a_message_whose_records_cannot_be_read(void **state)
{
    struct framing *f = *state;

    fields_set(f);
    framer_set_source(&f->framer, FRAMER_FROM_AGENT);
    FRAMING_PUT(f, PLAIN("a") "\x92\xa1"
                              "b\xc4\x01\xc1" PLAIN("a"));
    framing_expect_failure(f, END_NO_IDENTITY, "m ");
}

/* ---- large messages ---- */

/* A message that becomes too long only in the middle of its record. */
static size_t put_growing(struct framing *f)
{
    FRAMING_PUT(f, "\x94\xa1"
                   "a\x01\x82\xa1k\xc5\x05\x00");
    framing_fill(f, 0x500, 0);
    size_t middle = f->stream_length;
    FRAMING_PUT(f, "\xa1l\xc5\x05\x00");
    framing_fill(f, 0x500, 0);
    FRAMING_PUT(f, OPTION("7") FRAME("\x02") PLAIN("a"));
    return middle;
}

static void a_large_message_is_refused_once_it_is_too_long(void **state)
{
    struct framing *f = *state;
    size_t middle = put_growing(f);

    for (size_t cut = 10; cut < f->stream_length - 10; cut++) {
        f->large_calls = 0;
        assert_int_equal(framing_receive(f, 0, cut), END_NONE);
        assert_int_equal(f->large_calls, cut < middle + 5);
        assert_int_equal(framing_receive(f, cut, f->stream_length), END_NONE);
        framing_expect_end(f, f->large_calls ? "x r7:message_too_long f2 m " : "r7:message_too_long f2 m ");
    }
}

/* One that may be as long as it is. */
static size_t put_large(struct framing *f)
{
    FRAMING_PUT(f, "\x93\xa1"
                   "a\xc5\x05\x00");
    framing_fill(f, 0x500, 0);
    FRAMING_PUT(f, OPTION("7"));
    size_t end = f->stream_length;
    FRAMING_PUT(f, FRAME("\x02") PLAIN("a"));
    return end;
}

static void the_owner_may_refuse_a_large_message_while_it_is_read(void **state)
{
    struct framing *f = *state;
    size_t end = put_large(f);

    for (size_t cut = 6; cut < end; cut++) {
        for (f->take_limit = 0; f->take_limit <= 1000; f->take_limit += 500) {
            f->large_calls = 0;
            assert_int_equal(framing_receive(f, 0, cut), END_NONE);
            framer_refuse(&f->framer, END_RESET);
            /* no more is held than the option */
            assert_true(framer_bytes(&f->framer)->length <= sizeof OPTION("7") - 1);
            framing_expect_trace(f, "");
            assert_int_equal(framing_receive(f, cut, f->stream_length), END_NONE);
            assert_int_equal(f->large_calls, 1);
            framing_expect_end(f, "r7:reset f2 m ");
        }
    }
}

static void a_large_message_goes_up_between_frames(void **state)
{
    struct framing *f = *state;

    FRAMING_PUT(f, PLAIN("a") FRAME("\x01"));
    size_t begin = f->stream_length, end = put_large(f);
    for (size_t cut = begin + 7; cut < end; cut++) {
        assert_int_equal(framing_receive(f, 0, cut), END_NONE);
        assert_int_equal(framing_receive(f, cut, f->stream_length), END_NONE);
        framing_expect_end(f, "m f1 e f2 m ");
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_tag_that_is_not_allowed_costs_its_message),
        TEST(a_tag_that_is_too_long_costs_its_message),
        TEST(a_message_that_is_too_long_costs_itself),
        TEST(a_rule_may_allow_short_messages_only),
        TEST(the_bytes_of_a_refused_message_are_discarded_when_they_come),
        TEST(an_option_that_is_too_long_to_hold_ends_the_connection),
        TEST(broken_bytes_end_the_connection_after_a_refusal_too),
        TEST(a_refused_message_that_is_broken_ends_the_connection),
        TEST(a_refused_message_that_is_no_message_is_refused),
        TEST(a_refused_message_counts_for_a_rate_limit),
        TEST(a_message_whose_records_cannot_be_read_costs_itself),
        TEST(a_message_that_becomes_too_long_costs_itself),
        TEST(a_long_message_is_held_for_its_field),
        TEST(an_agent_ends_at_a_message_whose_records_cannot_be_read),
        TEST(a_large_message_is_refused_once_it_is_too_long),
        TEST(the_owner_may_refuse_a_large_message_while_it_is_read),
        TEST(a_large_message_goes_up_between_frames),
    };

    return cmocka_run_group_tests_name("framer_refusals", tests, NULL, NULL);
}
