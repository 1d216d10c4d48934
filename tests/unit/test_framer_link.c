/* proxy/delivery/framer.c on a link: frames between messages, and where bytes come from. */
#include "delivery/framer.h"

#include "support/framing.h"
#include "support/messages.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
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

/* ---- frames ---- */

static void frames_stand_between_messages(void **state)
{
    struct framing *f = *state;

    FRAMING_PUT(f, FRAME("\x01") PLAIN("a") PLAIN("a") FRAME("\xcd\x01\x2c") ASKED("b", "1") GONE("\x01"));
    FRAMING_PUT(f, "\x80" PLAIN("a") FRAME("\x07"));
    FRAMING_EXPECT_AT_EVERY_CUT(f, "f1 m m f300 m g1 f0 m f7 ",
                                PLAIN("a") PLAIN("a") ASKED("b", "1") PLAIN("a"));
}

static void a_frame_ends_a_batch(void **state)
{
    struct framing *f = *state;

    f->frame_verdict = END_LINK_ERROR;
    FRAMING_PUT(f, PLAIN("a") PLAIN("b") PLAIN("a") FRAME("\x01") PLAIN("a"));
    framing_expect_failure(f, END_LINK_ERROR, "m m m f1 ");
    messages_expect_buffer(&f->messages, PLAIN("a") PLAIN("b") PLAIN("a"), sizeof PLAIN("a") * 3 - 3);
}

static void an_incomplete_frame_is_the_middle_of_something(void **state)
{
    struct framing *f = *state;

    assert_true(framer_is_untouched(&f->framer));
    FRAMING_PUT(f, FRAME("\xcd\x01\x2c"));
    assert_int_equal(framing_receive(f, 0, 3), END_NONE);
    assert_true(framer_is_mid_message(&f->framer));
    assert_false(framer_is_untouched(&f->framer));
    framer_return_scan(&f->framer);
    assert_non_null(f->framer.scan);
    assert_int_equal(framing_receive(f, 3, f->stream_length), END_NONE);
    framing_expect_end(f, "f300 ");
    assert_false(framer_is_untouched(&f->framer));
}

static void what_is_neither_frame_nor_message_is_a_link_error(void **state)
{
    static const struct {
        const char *bytes;
        size_t length;
    } cases[] = {
        { "{", 1 },                                  /* an integer, or JSON */
        { "\xa1x", 2 },                              /* a text */
        { "\xc1", 1 },                               /* nothing in MessagePack */
        { FRAME("\xc0"), sizeof FRAME("\xc0") - 1 }, /* a bad frame */
    };
    struct framing *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (unsigned at = 0; at < 2; at++) { /* the first bytes of the connection, or later ones */
            framing_restart(f);
            if (at)
                FRAMING_PUT(f, FRAME("\x01") PLAIN("a") PLAIN("a"));
            framing_put(f, cases[i].bytes, cases[i].length);
            FRAMING_PUT(f, PLAIN("b"));
            framing_expect_failure(f, END_LINK_ERROR, at ? "f1 m m " : "");
        }
    }
}

static void a_frame_that_is_too_long_ends_the_connection(void **state)
{
    struct framing *f = *state;

    FRAMING_PUT(f, PLAIN("a") "\x81\xa1k\xc5\x07\xfa"); /* 2048 bytes */
    framing_fill(f, 2042, 0);
    assert_int_equal(framing_receive(f, 0, f->stream_length), END_NONE);
    framing_expect_end(f, "m f0 ");
    f->stream_length = 0;
    FRAMING_PUT(f, "\x81\xa1k\xc5\x07\xfb");
    framing_fill(f, 2043, 0);
    framing_expect_failure(f, END_LINK_ERROR, "");
}

/* ---- where bytes come from ---- */

static void an_agent_sends_no_frames(void **state)
{
    struct framing *f = *state;

    framer_set_source(&f->framer, FRAMER_FROM_AGENT);
    FRAMING_PUT(f, PLAIN("a") FRAME("\x01") PLAIN("b"));
    FRAMING_EXPECT_AT_EVERY_CUT(f, "m i1:value: m ", PLAIN("a") PLAIN("b"));
}

static void a_husk_that_was_found_by_a_message_may_send_frames(void **state)
{
    struct framing *f = *state;

    framer_set_source(&f->framer, FRAMER_FROM_AGENT);
    f->sets_source = true;
    f->source_after_message = FRAMER_FROM_HUSK;
    f->source_after_frame = FRAMER_FROM_HUSK;
    FRAMING_PUT(f, ASKED("a", "1") FRAME("\x01") PLAIN("a") PLAIN("x"));
    framing_expect_failure(f, END_TAG_NOT_ALLOWED, "m f1 m "); /* as with an agent */
}

static void a_husk_that_sends_something_else_is_an_agent(void **state)
{
    struct framing *f = *state;

    framer_set_source(&f->framer, FRAMER_FROM_HUSK);
    FRAMING_PUT(f, PLAIN("a") "\x07");
    framing_expect_failure(f, END_NOT_FORWARD, "m ");
}

static void a_map_that_says_nothing_does_not_begin_a_link(void **state)
{
    static const struct {
        const char *bytes;
        size_t length;
    } maps[] = {
#define CASE(text) { text, sizeof(text) - 1 }
        CASE("\x80"),
        CASE("\x81\xa3log\xa1x"),
        CASE(FRAME("\xc0")), /* a known key with a wrong value */
        CASE("\xde\x00\x02\xa1k\x92\x01\x02\xa6sender\xff"),
#undef CASE
    };
    struct framing *f = *state;

    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++) {
        framing_restart(f);
        framer_set_source(&f->framer, FRAMER_FROM_HUSK);
        FRAMING_PUT(f, PLAIN("a") PLAIN("b"));
        framing_put(f, maps[i].bytes, maps[i].length);
        FRAMING_PUT(f, ASKED("b", "1"));
        FRAMING_EXPECT_AT_EVERY_CUT(f, "m m i1:value: m ", PLAIN("a") PLAIN("b") ASKED("b", "1"));
    }
}

static void a_nil_says_nothing(void **state)
{
    struct framing *f = *state;

    for (enum framer_source source = FRAMER_FROM_AGENT; source <= FRAMER_FROM_LINK; source++) {
        framing_restart(f);
        framer_set_source(&f->framer, source);
        FRAMING_PUT(f, "\xc0\xc0" PLAIN("a") "\xc0" PLAIN("b") "\xc0\xc0" ASKED("b", "1") "\xc0");
        FRAMING_EXPECT_AT_EVERY_CUT(f, "m m m ", PLAIN("a") PLAIN("b") ASKED("b", "1"));
    }
}

static void a_frame_may_begin_the_link(void **state)
{
    struct framing *f = *state;

    f->sets_source = true;
    f->source_after_message = FRAMER_FROM_HUSK;
    f->source_after_frame = FRAMER_FROM_LINK;
    FRAMING_PUT(f, ASKED("a", "1") FRAME("\x01") ASKED("x", "2") "\x93\xa1"
                                                                 "a\xc5\x07\xd1");
    framing_fill(f, 2001, 0); /* above the limit of an agent's scanner */
    FRAMING_PUT(f, OPTION("3") FRAME("\x02"));
    for (size_t cut = 0; cut < f->stream_length; cut++) {
        framer_set_source(&f->framer, FRAMER_FROM_HUSK);
        assert_int_equal(framing_receive(f, 0, cut), END_NONE);
        assert_int_equal(framing_receive(f, cut, f->stream_length), END_NONE);
        framing_expect_end(f, "m f1 r2:tag_not_allowed r3:message_too_long f2 ");
    }
}

/* ---- the last message ---- */

/* Stops at every byte: what has begun before is taken, nothing after it, and its bytes stay. */
static void a_framer_that_stops_takes_the_current_message_or_frame_alone(void **state)
{
    static const char *const items[] = { ASKED("a", "1"), FRAME("\x01"), ASKED("b", "2"), FRAME("\x02") };
    static const char *const traces[] = { "", "m ", "m f1 ", "m f1 m ", "m f1 m f2 " };
    enum { COUNT = sizeof items / sizeof items[0] };
    struct framing *f = *state;
    size_t starts[COUNT + 1], length = 0;

    for (size_t i = 0; i < COUNT; i++) {
        starts[i] = length;
        length += strlen(items[i]);
    }
    starts[COUNT] = length;
    for (size_t cut = 0; cut <= length; cut++) {
        size_t taken = 0;
        while (taken < COUNT && starts[taken] < cut)
            taken++;
        framing_restart(f);
        for (size_t i = 0; i < COUNT; i++)
            framing_put(f, items[i], strlen(items[i]));
        assert_int_equal(framing_receive(f, 0, cut), END_NONE);
        framer_stop(&f->framer);
        assert_int_equal(framer_has_stopped(&f->framer), cut == starts[taken]);
        assert_int_equal(framing_receive(f, cut, length), END_NONE);
        assert_true(framer_has_stopped(&f->framer));
        assert_int_equal(framer_held_bytes(&f->framer), length - starts[taken]);
        framing_expect_trace(f, traces[taken]);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(frames_stand_between_messages),
        TEST(a_frame_ends_a_batch),
        TEST(an_incomplete_frame_is_the_middle_of_something),
        TEST(what_is_neither_frame_nor_message_is_a_link_error),
        TEST(a_frame_that_is_too_long_ends_the_connection),
        TEST(an_agent_sends_no_frames),
        TEST(a_husk_that_was_found_by_a_message_may_send_frames),
        TEST(a_husk_that_sends_something_else_is_an_agent),
        TEST(a_map_that_says_nothing_does_not_begin_a_link),
        TEST(a_nil_says_nothing),
        TEST(a_frame_may_begin_the_link),
        TEST(a_framer_that_stops_takes_the_current_message_or_frame_alone),
    };

    return cmocka_run_group_tests_name("framer_link", tests, NULL, NULL);
}
