/* proxy/forward/json_ack.c: acks of aggregators that answer in JSON. */
#include "forward/json_ack.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

/* The verdict must come at exactly `whole` bytes. */
static void expect_verdict(const char *text, size_t whole, enum ack_status verdict)
{
    size_t length = strlen(text), taken;
    struct json_ack ack;

    for (size_t cut = 1; cut <= length; cut++) {
        enum ack_status status = json_ack_parse((const uint8_t *)text, cut, &taken, &ack);
        bool is_answer = verdict == ACK_FOUND || verdict == ACK_NEGATIVE;
        assert_int_equal(status, cut < whole ? ACK_MORE : verdict);
        assert_int_equal(taken, cut >= whole && is_answer ? whole : 0);
    }
}

/* `text` is exactly one ack, for the id with these bytes. */
static void expect_ack(const char *text, const char *id, size_t id_length)
{
    struct json_ack ack;
    size_t taken;

    expect_verdict(text, strlen(text), ACK_FOUND);
    assert_int_equal(json_ack_parse((const uint8_t *)text, strlen(text), &taken, &ack), ACK_FOUND);
    size_t body = ack_id_body(ack.id, ack.id_length);
    assert_int_equal(ack.id_length - body, id_length);
    assert_memory_equal(ack.id + body, id, id_length);
}

static void an_ack_is_read_with_any_white_space(void **state)
{
    (void)state;
    expect_ack("{\"ack\":\"abc\"}", "abc", 3);
    expect_ack("{\"ack\": \"abc\"}", "abc", 3);
    expect_ack("{ \"ack\"\t:\r\n\"abc\" }", "abc", 3);
    expect_ack("{\"ack\":\"\"}", "", 0);
    expect_verdict("{\"ack\":\"a\"}\n{", 11, ACK_FOUND);
}

static void escapes_give_the_bytes_of_the_id(void **state)
{
    (void)state;
    expect_ack("{\"ack\":\"a\\/b\\n\\u003d\"}", "a/b\n=", 5);
    expect_ack("{\"ack\":\"\\\"\\\\\\b\\f\\r\\t\"}", "\"\\\b\f\r\t", 6);
    expect_ack("{\"ack\":\"\\u0000\\u00FF\\u20ac\\uD83D\\ude00\"}", "\0\303\277\342\202\254\360\237\230\200",
               10);
    expect_ack("{\"ack\":\"\377\303\"}", "\377\303", 2); /* bytes that are no UTF-8 stay */
    expect_ack("{\"\\u0061ck\":\"x\"}", "x", 1);
}

static void other_members_are_skipped(void **state)
{
    (void)state;
    expect_ack("{\"a\":1,\"ack\":\"x\",\"b\":-1.5e+3}", "x", 1);
    expect_ack("{\"o\":{\"ack\":[\"}\",{\"x\":[]},null]},\"ack\":\"x\",\"t\":true}", "x", 1);
    expect_ack("{\"acks\":\"y\",\"longer than a key\":\"\\u12aB\",\"ack\":\"x\"}", "x", 1);
}

static void an_answer_without_an_ack_is_negative(void **state)
{
    (void)state;
    expect_verdict("{}", 2, ACK_NEGATIVE);
    expect_verdict("{ \n }{", 5, ACK_NEGATIVE);
    expect_verdict("{\"error\":\"x\",\"ac\":\"k\"}", 22, ACK_NEGATIVE);
}

static void other_text_is_malformed_at_the_first_wrong_byte(void **state)
{
    static const struct {
        const char *text;
        size_t whole;
    } cases[] = {
        { "{\"ack\":7}", 8 },
        { "{\"ack\":null}", 8 },
        { "{\"ack\":[\"x\"]}", 8 },
        { "{\"ack\":\"x\",\"ack\":\"x\"}", 17 }, /* two */
        { "{\"ack\" \"x\"}", 8 },
        { "{\"ack\":\"x\",}", 12 },
        { "{\"ack\":\"x\"]", 11 },
        { "{\"ack\":\"x\"\"b\":1}", 11 },
        { "{\"ack\":\"\\x\"}", 10 },
        { "{\"ack\":\"\\u00g0\"}", 13 },
        { "{\"ack\":\"\\udc00\"}", 14 },  /* the second half of a pair alone */
        { "{\"ack\":\"\\ud800x\"}", 15 }, /* the first half alone */
        { "{\"ack\":\"\\ud800\\u0041\"}", 20 },
        { "{\"ack\":\"a\nb\"}", 10 }, /* a control character */
        { "{ack:1}", 2 },
        { "{\"a\":}", 6 },
        { "{\"a\":[}]}", 7 },
        { "{\"a\":[[[[[[[[[[[[[[[[[0]]]]]]]]]]]]]]]]]}", 22 }, /* too deep */
        { "{{}", 2 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_verdict(cases[i].text, cases[i].whole, ACK_MALFORMED);
}

static void an_id_and_an_answer_have_a_maximum_length(void **state)
{
    static char text[2 * JSON_ACK_BYTES_MAX];
    struct json_ack ack;
    size_t taken, at = 0;

    (void)state;
    memcpy(text, "{\"ack\":\"", 8);
    for (at = 8; at < 8 + 6 * 1021; at += 6)
        memcpy(text + at, "\\u0041", 6);
    memcpy(text + at, "\"}", 2);
    assert_int_equal(json_ack_parse((const uint8_t *)text, at + 2, &taken, &ack), ACK_FOUND);
    assert_int_equal(taken, at + 2);
    assert_int_equal(ack.id_length, ACK_ID_BYTES_MAX);
    memcpy(text + at, "A\"}", 3);
    assert_int_equal(json_ack_parse((const uint8_t *)text, at + 3, &taken, &ack), ACK_MALFORMED);
    memset(text + 1, ' ', sizeof text - 1);
    assert_int_equal(json_ack_parse((const uint8_t *)text, JSON_ACK_BYTES_MAX - 1, &taken, &ack), ACK_MORE);
    assert_int_equal(json_ack_parse((const uint8_t *)text, JSON_ACK_BYTES_MAX, &taken, &ack), ACK_MALFORMED);
    assert_int_equal(json_ack_parse((const uint8_t *)text, sizeof text, &taken, &ack), ACK_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ack_is_read_with_any_white_space),
        cmocka_unit_test(escapes_give_the_bytes_of_the_id),
        cmocka_unit_test(other_members_are_skipped),
        cmocka_unit_test(an_answer_without_an_ack_is_negative),
        cmocka_unit_test(other_text_is_malformed_at_the_first_wrong_byte),
        cmocka_unit_test(an_id_and_an_answer_have_a_maximum_length),
    };

    return cmocka_run_group_tests_name("json_ack", tests, NULL, NULL);
}
