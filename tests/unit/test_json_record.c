/* proxy/commands/json_record.c: a line of JSON becomes exactly one map in MessagePack, or a fault. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "commands/json_record.h"

static void expect_record(const char *line, size_t line_length, const char *bytes, size_t length)
{
    msgpack_sbuffer record;
    struct fault fault;

    msgpack_sbuffer_init(&record);
    if (!json_record_append(&record, line, line_length, &fault))
        fail_msg("%s: %s", line, fault.text);
    assert_int_equal(record.size, length);
    assert_memory_equal(record.data, bytes, length);
    msgpack_sbuffer_destroy(&record);
}
#define EXPECT(line, bytes) expect_record(line, sizeof(line) - 1, bytes, sizeof(bytes) - 1)

static void expect_refused(const char *line, size_t length, const char *why)
{
    msgpack_sbuffer record;
    struct fault fault = { .text = "" };

    msgpack_sbuffer_init(&record);
    assert_int_equal(msgpack_sbuffer_write(&record, "x", 1), 0);
    if (json_record_append(&record, line, length, &fault))
        fail_msg("%s: accepted", line);
    if (!strstr(fault.text, why))
        fail_msg("%s: \"%s\" does not say \"%s\"", line, fault.text, why);
    assert_null(strchr(fault.text, '\n'));
    assert_int_equal(record.size, 1); /* nothing is left behind */
    msgpack_sbuffer_destroy(&record);
}
#define REFUSED(line, why) expect_refused(line, sizeof(line) - 1, why)

static void test_values(void **state)
{
    (void)state;
    EXPECT("{}", "\x80");
    EXPECT(" {\"a\" : null, \"b\":true,\"c\":false} \r\n", "\x83\xa1\x61\xc0\xa1\x62\xc3\xa1\x63\xc2");
    EXPECT("{\"a\":[[],{},[1,{\"b\":[2]}]]}", "\x81\xa1\x61\x93\x90\x80\x92\x01\x81\xa1\x62\x91\x02");
}

static void test_integers_keep_all_bits(void **state)
{
    (void)state;
    EXPECT("{\"a\":0}", "\x81\xa1\x61\x00");
    EXPECT("{\"a\":-1}", "\x81\xa1\x61\xff");
    EXPECT("{\"a\":18446744073709551615}", "\x81\xa1\x61\xcf\xff\xff\xff\xff\xff\xff\xff\xff");
    EXPECT("{\"a\":9007199254740993}", "\x81\xa1\x61\xcf\x00\x20\x00\x00\x00\x00\x00\x01");
    EXPECT("{\"a\":-9223372036854775808}", "\x81\xa1\x61\xd3\x80\x00\x00\x00\x00\x00\x00\x00");
}

static void test_other_numbers_are_float64(void **state)
{
    (void)state;
    EXPECT("{\"a\":0.1}", "\x81\xa1\x61\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a");
    EXPECT("{\"a\":1e0}", "\x81\xa1\x61\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00");
    EXPECT("{\"a\":18446744073709551616}", "\x81\xa1\x61\xcb\x43\xf0\x00\x00\x00\x00\x00\x00");
    EXPECT("{\"a\":-9223372036854775809}", "\x81\xa1\x61\xcb\xc3\xe0\x00\x00\x00\x00\x00\x00");
}

static void test_strings(void **state)
{
    (void)state;
    EXPECT("{\"a\\u0000b\":\"\\ud83d\\ude00\\u00e9\\n\\\"\"}",
           "\x81\xa3\x61\x00\x62\xa8\xf0\x9f\x98\x80\xc3\xa9\x0a\x22");
    EXPECT("{\"\xc3\xa9\":\"\"}", "\x81\xa2\xc3\xa9\xa0");
    EXPECT("{\"k\":1,\"k\":2}", "\x82\xa1\x6b\x01\xa1\x6b\x02"); /* both, in order */
}

static void test_many_members(void **state)
{
    (void)state;
    EXPECT(
        "{\"a\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]}",
        "\x81\xa1\x61\xdd\x00\x00\x00\x10\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10");
    EXPECT("{\"a\":0,\"b\":1,\"c\":2,\"d\":3,\"e\":4,\"f\":5,\"g\":6,\"h\":7,"
           "\"i\":8,\"j\":9,\"k\":10,\"l\":11,\"m\":12,\"n\":13,\"o\":14,\"p\":15}",
           "\xdf\x00\x00\x00\x10\xa1\x61\x00\xa1\x62\x01\xa1\x63\x02\xa1\x64\x03\xa1\x65\x04\xa1\x66\x05"
           "\xa1\x67\x06\xa1\x68\x07\xa1\x69\x08\xa1\x6a\x09\xa1\x6b\x0a\xa1\x6c\x0b\xa1\x6d\x0c"
           "\xa1\x6e\x0d\xa1\x6f\x0e\xa1\x70\x0f");
}

static void test_refusals(void **state)
{
    (void)state;
    REFUSED("", "premature EOF");
    REFUSED("5", "not an object");
    REFUSED("[{}]", "not an object");
    REFUSED("\"text\"", "not an object");
    REFUSED("null", "not an object");
    REFUSED("{\"a\":1", "premature EOF");
    REFUSED("{\"a\":1}{\"b\":2}", "trailing garbage");
    REFUSED("{\"a\":1,}", "invalid object key");
    REFUSED("{'a':1}", "invalid");
    REFUSED("{\"a\":NaN}", "invalid");
    REFUSED("{\"a\":01}", "parse error");
    REFUSED("{\"a\":/* no */1}", "comment");
    REFUSED("{\"a\":\"\xff\"}", "not UTF-8");
    REFUSED("{\"a\":\"\xed\xa0\x80\"}", "not UTF-8");
}

static void test_nesting_is_limited(void **state)
{
    char line[1000] = "{\"a\":";

    (void)state;
    size_t head = strlen(line);
    memset(line + head, '[', 99);
    memset(line + head + 99, ']', 99);
    line[head + 198] = '}';
    msgpack_sbuffer record;
    struct fault fault;
    msgpack_sbuffer_init(&record);
    assert_true(json_record_append(&record, line, head + 199, &fault));
    msgpack_sbuffer_destroy(&record);
    memset(line + head, '[', 200);
    expect_refused(line, head + 200, "nested deeper than 100");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_integers_keep_all_bits),
        cmocka_unit_test(test_other_numbers_are_float64),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_many_members),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_nesting_is_limited),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
