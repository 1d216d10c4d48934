/* proxy/delivery/link_caller.c: which frames stand between the messages to a husk upstream. */
#include "delivery/link_caller.h"

#include "forward/link.h"
#include "support/messages.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct fixture {
    struct buffer_pool pool;
    struct link_caller caller;
    struct buffer out;
};

static struct fixture fixture;

static int set_up(void **state)
{
    fixture = (struct fixture) { 0 };
    buffer_init(&fixture.out, &fixture.pool);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    buffer_clear(&f->out);
    buffer_pool_deinit(&f->pool);
    return 0;
}

/* Reads the one frame in `out`. */
static struct link_request frame_of(struct fixture *f)
{
    uint8_t bytes[LINK_FRAME_BYTES_MAX];
    struct link_request frame;
    size_t length = buffer_peek(&f->out, 0, bytes, sizeof bytes), taken;

    assert_int_equal(link_request_parse(bytes, length, &taken, &frame), LINK_FOUND);
    assert_int_equal(taken, length);
    buffer_clear(&f->out);
    return frame;
}

static void plain_forward_has_no_frames(void **state)
{
    struct fixture *f = *state;

    assert_true(link_caller_name(&f->caller, 1, &f->out));
    assert_true(link_caller_say_gone(&f->caller, 1, &f->out));
    assert_int_equal(f->out.length, 0);
}

static void the_peer_must_answer_three_times_per_timeout(void **state)
{
    struct fixture *f = *state;

    assert_true(link_caller_begin(&f->caller, 60000, &f->out));
    assert_int_equal(frame_of(f).waiting_every_ms, 20000);
    assert_true(link_caller_begin(&f->caller, 1, &f->out));
    assert_int_equal(frame_of(f).waiting_every_ms, 1);
    assert_true(link_caller_begin(&f->caller, UINT64_MAX, &f->out));
    assert_int_equal(frame_of(f).waiting_every_ms, UINT32_MAX);
}

static void a_sender_is_named_when_it_changes(void **state)
{
    struct fixture *f = *state;

    f->caller.is_link = true;
    assert_true(link_caller_name(&f->caller, 1, &f->out));
    struct link_request frame = frame_of(f);
    assert_true(frame.names_sender);
    assert_int_equal(frame.sender, 1);
    assert_true(link_caller_name(&f->caller, 1, &f->out));
    assert_int_equal(f->out.length, 0);
    assert_true(link_caller_name(&f->caller, 2, &f->out));
    assert_int_equal(frame_of(f).sender, 2);
}

static void a_sender_that_is_gone_is_named_again(void **state)
{
    struct fixture *f = *state;

    f->caller.is_link = true;
    assert_true(link_caller_name(&f->caller, 1, &f->out));
    buffer_clear(&f->out);
    assert_true(link_caller_say_gone(&f->caller, 2, &f->out));
    assert_int_equal(frame_of(f).gone, 2);
    assert_true(link_caller_name(&f->caller, 1, &f->out));
    assert_int_equal(f->out.length, 0); /* it is still the one */
    assert_true(link_caller_say_gone(&f->caller, 1, &f->out));
    assert_int_equal(frame_of(f).gone, 1);
    assert_true(link_caller_name(&f->caller, 1, &f->out)); /* an earlier message of it is sent again */
    assert_int_equal(frame_of(f).sender, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(plain_forward_has_no_frames),
        TEST(the_peer_must_answer_three_times_per_timeout),
        TEST(a_sender_is_named_when_it_changes),
        TEST(a_sender_that_is_gone_is_named_again),
    };

    return cmocka_run_group_tests_name("link_caller", tests, NULL, NULL);
}
