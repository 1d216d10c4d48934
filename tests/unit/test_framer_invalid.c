/* proxy/delivery/framer.c: a value that is wrong but well-formed affects no other message. */
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
    framing.route.body.skip_invalid = true;
    *state = &framing;
    return 0;
}

static int tear_down(void **state)
{
    framing_close(*state);
    return 0;
}

#define BEFORE "\xc0" PLAIN("a") PLAIN("b")
#define AFTER  ASKED("b", "9") PLAIN("a")

/* Each case stands between good messages, from an agent and on a link, cut everywhere. */
struct invalid_case {
    const char *bytes;
    size_t length;
    const char *trace;  /* of the case alone */
    const char *passed; /* the bytes that are handed up */
    size_t passed_length;
};
#define CASE(bytes, trace, passed) { bytes, sizeof(bytes) - 1, trace, passed, sizeof(passed) - 1 }

static void expect_case(struct framing *f, const struct invalid_case *one, enum framer_source source)
{
    uint8_t messages[256];
    size_t length = 0;
    char trace[128];

    framing_restart(f);
    framer_set_source(&f->framer, source);
    FRAMING_PUT(f, PLAIN("a") PLAIN("b"));
    framing_put(f, one->passed, one->passed_length);
    FRAMING_PUT(f, AFTER);
    length = f->stream_length;
    memcpy(messages, f->stream, length);
    f->stream_length = 0;
    FRAMING_PUT(f, BEFORE);
    framing_put(f, one->bytes, one->length);
    FRAMING_PUT(f, AFTER);
    snprintf(trace, sizeof trace, "m m %sm m ", one->trace);
    framing_expect_at_every_cut(f, trace, messages, length);
}

static void expect_cases(struct framing *f, const struct invalid_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        expect_case(f, &cases[i], FRAMER_FROM_AGENT);
        expect_case(f, &cases[i], FRAMER_FROM_HUSK);
        expect_case(f, &cases[i], FRAMER_FROM_LINK);
    }
}

static void a_message_without_a_valid_event_is_skipped_and_answered(void **state)
{
    static const struct invalid_case cases[] = {
        CASE("\x93\xa1"
             "a\x01\xc0",
             "i1:record:a s ", ""),
        CASE("\x94\xa1"
             "a\x01\xc0" OPTION("1"),
             "i1:record:a s1 ", ""),
        CASE("\x94\xa1"
             "a\xc3\x80" OPTION("2"),
             "i1:time:a s2 ", ""),
        CASE("\x93\xa1"
             "a\x91\x92\xa1x\x80" OPTION("3"),
             "i1:time:a s3 ", ""),
        CASE("\x93\xa1"
             "b\x92\x07\x91\x01" OPTION("4"),
             "i2:entry:b s4 ", ""),
        CASE("\x93\xa1"
             "a\x92\x92\x01\xa0\x07\xc0",
             "i1:record:a i1:entry:a s ", ""),
    };

    expect_cases(*state, cases, sizeof cases / sizeof cases[0]);
}

static void invalid_entries_are_left_out(void **state)
{
    static const struct invalid_case cases[] = {
        CASE("\x92\xa1"
             "a\x93\x92\x01\x80\x92\x01\xc0\x92\x02\x80",
             "i1:record:a m ",
             "\x92\xa1"
             "a\x92\x92\x01\x80\x92\x02\x80"),
        CASE("\x93\xa1"
             "a\xdd\x00\x00\x00\x03\x07\x92\x92\x01\x80\x80\x92\xa1x\x80" OPTION("1"),
             "i1:time:a i1:entry:a m ",
             "\x93\xa1"
             "a\xdd\x00\x00\x00\x01\x92\x92\x01\x80\x80" OPTION("1")),
        CASE("\x93\xa1"
             "a\x92\xc0\x92\x01\x80\x82\xa4size\x02\xa1k\xa1v",
             "i1:entry:a m ",
             "\x93\xa1"
             "a\x91\x92\x01\x80\x82\xa4size\x01\xa1k\xa1v"),
        /* Opaque: a packed body is not looked into. */
        CASE("\x93\xa1"
             "a\xc4\x06\x92\x01\xc0\x92\x01\x80" OPTION("2"),
             "m ",
             "\x93\xa1"
             "a\xc4\x06\x92\x01\xc0\x92\x01\x80" OPTION("2")),
    };

    expect_cases(*state, cases, sizeof cases / sizeof cases[0]);
}

static void invalid_events_go_on_unchanged_if_they_are_passed(void **state)
{
    static const struct invalid_case cases[] = {
        CASE("\x93\xa1"
             "a\x01\xc0",
             "i1:record:a m ",
             "\x93\xa1"
             "a\x01\xc0"),
        CASE("\x94\xa1"
             "a\xc3\x80" OPTION("2"),
             "i1:time:a m ",
             "\x94\xa1"
             "a\xc3\x80" OPTION("2")),
        CASE("\x92\xa1"
             "a\x92\x92\x01\x80\x07",
             "i1:entry:a m ",
             "\x92\xa1"
             "a\x92\x92\x01\x80\x07"),
    };
    struct framing *f = *state;

    f->route.body.skip_invalid = false;
    expect_cases(f, cases, sizeof cases / sizeof cases[0]);
}

static void foreign_values_are_skipped_even_if_invalid_events_are_passed_on(void **state)
{
    static const struct invalid_case cases[] = {
        CASE("\x90", "i1:message: s ", ""),
        CASE("\x95\xa1"
             "a\x01\x80\x80\x80",
             "i1:message: s ", ""),
        CASE("\x92\x01\x90", "i1:message: s ", ""),
        CASE("\x94\x01\x01\x80" OPTION("1"), "i1:message: s1 ", ""),
        CASE("\x92\xa1"
             "a\x80",
             "i1:message:a s ", ""),
        CASE("\x94\xa1"
             "a\x01\x80\xa1o",
             "i1:message:a s ", ""),
        CASE("\x94\xa1"
             "a\x01\x80\x81\xa5"
             "chunk\x07",
             "i1:message:a s ", ""),
    };
    struct framing *f = *state;

    expect_cases(f, cases, sizeof cases / sizeof cases[0]);
    f->route.body.skip_invalid = false;
    expect_cases(f, cases, sizeof cases / sizeof cases[0]);
}

static void other_values_between_messages_are_ignored(void **state)
{
    static const struct invalid_case cases[] = {
        CASE("\xc3", "i1:value: ", ""),
        CASE("\xa5hello", "i1:value: ", ""),
        CASE("\xcb"
             "12345678",
             "i1:value: ", ""),
        CASE("\x82\xa1k\xa1v\xa1l\x92\x01\x02", "i1:value: ", ""),
    };
    struct framing *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        expect_case(f, &cases[i], FRAMER_FROM_AGENT);
        expect_case(f, &cases[i], FRAMER_FROM_HUSK);
    }
}

/* Bytes of a value that is skipped are not held. */
static void a_long_foreign_value_is_not_held(void **state)
{
    struct framing *f = *state;

    framer_set_source(&f->framer, FRAMER_FROM_AGENT);
    FRAMING_PUT(f, "\x95\xc5\x06\x00");
    framing_fill(f, 0x600, 'x');
    for (size_t at = 0; at < f->stream_length; at += 100) {
        size_t end = at + 100 < f->stream_length ? at + 100 : f->stream_length;
        assert_int_equal(framing_receive(f, at, end), END_NONE);
        assert_int_equal(framer_bytes(&f->framer)->length, 0);
    }
    assert_true(framer_is_mid_message(&f->framer));
}

/* [tag, body, option]; the body is cut through. */
static void put_large(struct framing *f, const char *body, size_t length)
{
    FRAMING_PUT(f, PLAIN("a") "\x93\xa1"
                              "a\xdc\x02\x58");
    framing_put(f, body, length);
    for (unsigned i = 1; i < 600; i++)
        FRAMING_PUT(f, "\x92\x01\x80");
}

static void a_large_message_passes_with_its_invalid_events(void **state)
{
    struct framing *f = *state;

    framer_set_source(&f->framer, FRAMER_FROM_AGENT);
    put_large(f, "\x92\x01\xc0", 3);
    FRAMING_PUT(f, OPTION("1") PLAIN("b"));
    for (size_t at = 0; at < f->stream_length; at++)
        assert_int_equal(framing_receive(f, at, at + 1), END_NONE);
    framing_expect_end(f, "m i1:record: e m ");
}

static void a_large_message_with_a_wrong_option_is_dropped(void **state)
{
    struct framing *f = *state;

    framer_set_source(&f->framer, FRAMER_FROM_AGENT);
    put_large(f, "\x92\x01\x80", 3);
    FRAMING_PUT(f, "\xa1o" PLAIN("b"));
    for (size_t at = 0; at < f->stream_length; at++)
        assert_int_equal(framing_receive(f, at, at + 1), END_NONE);
    framing_expect_end(f, "m x i1:message: s m ");
}

/* With --batch-delay a batch waits: no later message overtakes the batch, and no invalid event is in it. */
static void a_batch_that_waits_is_handed_up_before_an_invalid_message(void **state)
{
    struct framing *f = *state;

    f->route.batch_delay_ms = 100;
    framer_set_source(&f->framer, FRAMER_FROM_AGENT);
    FRAMING_PUT(f, PLAIN("a") PLAIN("a"));
    assert_int_equal(framing_receive(f, 0, f->stream_length), END_NONE);
    framing_expect_trace(f, "");
    f->stream_length = 0;
    FRAMING_PUT(f, "\x93\xa1"
                   "a\x01\xc0");
    assert_int_equal(framing_receive(f, 0, f->stream_length), END_NONE);
    framing_expect_end(f, "m m i1:record:a s ");
    f->stream_length = 0;
    FRAMING_PUT(f, PLAIN("a") "\x92\xa1"
                              "a\x92\x07\x92\x01\x80");
    assert_int_equal(framing_receive(f, 0, f->stream_length), END_NONE);
    framing_expect_end(f, "m i1:entry:a m ");
    f->stream_length = 0;
    FRAMING_PUT(f, PLAIN("a") "\x95\x01");
    assert_int_equal(framing_receive(f, 0, f->stream_length), END_NONE);
    framing_expect_trace(f, "m i1:message: ");
}

static void an_agent_that_sends_only_nils_sends_no_message(void **state)
{
    struct framing *f = *state;

    framer_set_source(&f->framer, FRAMER_FROM_AGENT);
    FRAMING_PUT(f, "\xc0\xc0\xc3");
    assert_int_equal(framing_receive(f, 0, 2), END_NONE);
    assert_true(framer_is_untouched(&f->framer));
    assert_int_equal(framing_receive(f, 2, 3), END_NONE);
    assert_false(framer_is_untouched(&f->framer));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_message_without_a_valid_event_is_skipped_and_answered),
        TEST(invalid_entries_are_left_out),
        TEST(invalid_events_go_on_unchanged_if_they_are_passed),
        TEST(foreign_values_are_skipped_even_if_invalid_events_are_passed_on),
        TEST(other_values_between_messages_are_ignored),
        TEST(a_long_foreign_value_is_not_held),
        TEST(a_large_message_passes_with_its_invalid_events),
        TEST(a_large_message_with_a_wrong_option_is_dropped),
        TEST(a_batch_that_waits_is_handed_up_before_an_invalid_message),
        TEST(an_agent_that_sends_only_nils_sends_no_message),
    };

    return cmocka_run_group_tests_name("framer_invalid", tests, NULL, NULL);
}
