#include "forward/link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

/* On both sides of every border between two widths of an integer. */
static const uint64_t integers[] = {
    0,       0x7f,       0x80,       0xff,      0x100,      0xffff,
    0x10000, 0xffffffff, 1ULL << 32, INT64_MAX, 1ULL << 63, UINT64_MAX - 1,
};

enum { INTEGERS = sizeof integers / sizeof *integers };

static void request_read(const uint8_t *bytes, size_t length, struct link_request *request)
{
    size_t taken;

    assert_int_equal(link_request_parse(bytes, length, &taken, request), LINK_FOUND);
    assert_int_equal(taken, length);
}

static void answer_read(const uint8_t *bytes, size_t length, struct link_answer *answer)
{
    size_t taken;

    assert_int_equal(link_answer_parse(bytes, length, &taken, answer), LINK_FOUND);
    assert_int_equal(taken, length);
}

static void assert_span(const uint8_t *bytes, struct span span, const void *expected, size_t length)
{
    assert_int_equal(span.end - span.start, length);
    assert_memory_equal(bytes + span.start, expected, length);
}

static void written_requests_are_read(void **state)
{
    uint8_t bytes[LINK_SHORT_BYTES_MAX];
    struct link_request request;

    (void)state;
    for (size_t i = 0; i < INTEGERS; i++) {
        request_read(bytes, link_write_sender(bytes, integers[i]), &request);
        assert_true(request.names_sender && !request.names_gone && !request.waiting_every_ms);
        assert_int_equal(request.sender, integers[i]);

        request_read(bytes, link_write_gone(bytes, integers[i]), &request);
        assert_true(request.names_gone && !request.names_sender && !request.waiting_every_ms);
        assert_int_equal(request.gone, integers[i]);

        if (integers[i] == 0 || integers[i] > UINT32_MAX)
            continue;
        request_read(bytes, link_write_waiting_every(bytes, (uint32_t)integers[i]), &request);
        assert_true(!request.names_gone && !request.names_sender);
        assert_int_equal(request.waiting_every_ms, integers[i]);
    }
}

static void written_answers_are_read(void **state)
{
    char text[LINK_TEXT_BYTES_MAX + 1] = "";
    uint8_t id[ACK_ID_BYTES_MAX] = "\xc5\x03\xfd", bytes[LINK_REFUSED_ACK_BYTES_MAX];
    struct link_answer answer;

    (void)state;
    answer_read(bytes, link_write_waiting(bytes, text), &answer);
    assert_true(answer.is_waiting && !answer.names_sender && !answer.names_window && !answer.refused);
    assert_int_equal(answer.waiting.end, answer.waiting.start);
    memset(text, 'x', LINK_TEXT_BYTES_MAX);
    answer_read(bytes, link_write_waiting(bytes, text), &answer);
    assert_span(bytes, answer.waiting, text, LINK_TEXT_BYTES_MAX);

    answer_read(bytes, link_write_window(bytes, 7, UINT64_MAX), &answer);
    assert_true(answer.names_sender && answer.names_window && !answer.is_waiting);
    assert_true(answer.sender == 7 && answer.window == UINT64_MAX);

    answer_read(bytes, ack_write(bytes, id, sizeof id), &answer);
    assert_span(bytes, answer.ack, id, sizeof id);
    assert_true(!answer.refused && !answer.is_waiting && !answer.names_sender && !answer.names_window);

    for (size_t i = 0; i < INTEGERS; i++) {
        answer_read(bytes, link_write_window(bytes, integers[i], integers[INTEGERS - 1 - i]), &answer);
        assert_int_equal(answer.sender, integers[i]);
        assert_int_equal(answer.window, integers[INTEGERS - 1 - i]);

        if (integers[i] == 0)
            continue;
        answer_read(bytes, link_write_refused_ack(bytes, id, sizeof id, integers[i], text), &answer);
        assert_span(bytes, answer.ack, id, sizeof id);
        assert_int_equal(answer.refused, integers[i]);
        assert_span(bytes, answer.reason, text, LINK_TEXT_BYTES_MAX);
        assert_false(answer.is_waiting);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_requests_are_read),
        cmocka_unit_test(written_answers_are_read),
    };

    return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
