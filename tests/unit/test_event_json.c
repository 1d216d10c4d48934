/* proxy/commands/event_json.c: every MessagePack value becomes valid JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "commands/event_json.h"

/* One encoded value as JSON text; the caller frees it. */
static char *value_as_json(const char *bytes, size_t length)
{
    msgpack_unpacked value;
    char *text = NULL;
    size_t size, at = 0;

    msgpack_unpacked_init(&value);
    assert_int_equal(msgpack_unpack_next(&value, bytes, length, &at), MSGPACK_UNPACK_SUCCESS);
    assert_int_equal(at, length);
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    event_json_print_value(out, &value.data);
    fclose(out);
    msgpack_unpacked_destroy(&value);
    return text;
}

static void expect_json(const char *bytes, size_t length, const char *json)
{
    char *text = value_as_json(bytes, length);

    assert_string_equal(text, json);
    free(text);
}
#define EXPECT(bytes, json) expect_json(bytes, sizeof(bytes) - 1, json)

static void test_scalars(void **state)
{
    (void)state;
    EXPECT("\xc0", "null");
    EXPECT("\xc2", "false");
    EXPECT("\xc3", "true");
    EXPECT("\x7f", "127");
    EXPECT("\xff", "-1");
    EXPECT("\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615");
    EXPECT("\xd3\x80\x00\x00\x00\x00\x00\x00\x00", "-9223372036854775808");
}

static void test_floats_are_short_and_exact(void **state)
{
    (void)state;
    EXPECT("\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a", "0.1");
    EXPECT("\xcb\x3f\xd5\x55\x55\x55\x55\x55\x55", "0.3333333333333333");
    EXPECT("\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00", "1.0");
    EXPECT("\xcb\x80\x00\x00\x00\x00\x00\x00\x00", "-0.0");
    EXPECT("\xcb\x7e\x37\xe4\x3c\x88\x00\x75\x9c", "1e+300");
    EXPECT("\xca\x3d\xcc\xcc\xcd", "0.1"); /* float32 */
    EXPECT("\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", "null");
    EXPECT("\xcb\xff\xf0\x00\x00\x00\x00\x00\x00", "null");
}

static void test_strings(void **state)
{
    (void)state;
    EXPECT("\xa0", "\"\"");
    EXPECT("\xa8 \"\\/\n\t\r\x01", "\" \\\"\\\\/\\n\\t\\r\\u0001\"");
    EXPECT("\xa3"
           "a\0b",
           "\"a\\u0000b\"");
    EXPECT("\xa6\xc3\xa9\xf0\x9f\x98\x80", "\"\xc3\xa9\xf0\x9f\x98\x80\"");
    EXPECT("\xc4\x02hi", "\"hi\""); /* bin with text */
}

static void test_bytes_that_are_not_utf8(void **state)
{
    (void)state;
    EXPECT("\xc4\x03\xff\x00\x61", "\"\\\\xff\\u0000a\"");
    EXPECT("\xa2\xc3\x28", "\"\\\\xc3(\"");                             /* incomplete sequence */
    EXPECT("\xa1\xc3", "\"\\\\xc3\"");                                  /* incomplete at the end */
    EXPECT("\xa2\xc0\xaf", "\"\\\\xc0\\\\xaf\"");                       /* overlong */
    EXPECT("\xa3\xed\xa0\x80", "\"\\\\xed\\\\xa0\\\\x80\"");            /* surrogate */
    EXPECT("\xa4\xf4\x90\x80\x80", "\"\\\\xf4\\\\x90\\\\x80\\\\x80\""); /* above U+10FFFF */
}

static void test_containers(void **state)
{
    (void)state;
    EXPECT("\x90", "[]");
    EXPECT("\x80", "{}");
    EXPECT("\x93\x01\x92\xc0\xc3\x81\xa1k\x90", "[1,[null,true],{\"k\":[]}]");
    EXPECT("\xdf\x00\x00\x00\x01\xa1k\x01", "{\"k\":1}"); /* map32, as Fluent Bit writes it */
}

static void test_keys_become_strings(void **state)
{
    (void)state;
    EXPECT("\x84\x01\xa1x\xc0\xa1x\xc3\xa1x\xff\xa1x",
           "{\"1\":\"x\",\"null\":\"x\",\"true\":\"x\",\"-1\":\"x\"}");
    EXPECT("\x81\x92\xa1k\x01\x02", "{\"[\\\"k\\\",1]\":2}");
    EXPECT("\x82\xa1k\x01\xa1k\x02", "{\"k\":1,\"k\":2}");
    EXPECT("\x81\xc4\x01\xff\x01", "{\"\\\\xff\":1}");
}

static void test_ext(void **state)
{
    (void)state;
    EXPECT("\xd4\x05\xab", "{\"ext\":5,\"hex\":\"ab\"}");
    EXPECT("\xc7\x03\xff\x00\x01\xfe", "{\"ext\":-1,\"hex\":\"0001fe\"}");
}

static void print_event(void *target, const struct forward_event *event)
{
    event_json_print(target, event);
}

/* Reads a whole message and prints its events. */
static void expect_events(const char *bytes, size_t length, const char *json)
{
    struct forward_message message;
    msgpack_unpacked object;
    struct fault fault;
    char *text = NULL;
    size_t size, at = 0;

    msgpack_unpacked_init(&object);
    assert_int_equal(msgpack_unpack_next(&object, bytes, length, &at), MSGPACK_UNPACK_SUCCESS);
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    if (!forward_message_read(&message, &object.data, &fault) ||
        !forward_message_visit(&message, 1024, print_event, out, &fault))
        fail_msg("%s", fault.text);
    fclose(out);
    msgpack_unpacked_destroy(&object);
    assert_string_equal(text, json);
    free(text);
}
#define EXPECT_EVENTS(bytes, json) expect_events(bytes, sizeof(bytes) - 1, json)

static void test_event_times(void **state)
{
    (void)state;
    EXPECT_EVENTS("\x93\xa1t\xd7\x00\x69\x57\x27\x45\x07\x5b\xcd\x15\x80",
                  "{\"tag\":\"t\",\"time\":\"2026-01-02T02:02:45.123456789Z\",\"record\":{}}\n");
    EXPECT_EVENTS("\x93\xa1t\xc7\x08\x00\x00\x00\x00\x00\x00\x00\x00\x01\x80", /* ext8 */
                  "{\"tag\":\"t\",\"time\":\"1970-01-01T00:00:00.000000001Z\",\"record\":{}}\n");
    EXPECT_EVENTS("\x93\xa1t\x07\x80", "{\"tag\":\"t\",\"time\":7,\"record\":{}}\n");
    EXPECT_EVENTS("\x93\xa1t\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\x80",
                  "{\"tag\":\"t\",\"time\":1.5,\"record\":{}}\n");
    EXPECT_EVENTS("\x93\xa1t\xd7\x00\x00\x00\x00\x00\xff\xff\xff\xff\x80", /* nanoseconds out of range */
                  "{\"tag\":\"t\",\"time\":{\"ext\":0,\"hex\":\"00000000ffffffff\"},\"record\":{}}\n");
}

static void test_metadata_and_signals(void **state)
{
    (void)state;
    EXPECT_EVENTS("\x92\xa1t\x92\x92\x92\x01\x80\x80\x92\x92\x02\x81\xa1m\x01\x80",
                  "{\"tag\":\"t\",\"time\":1,\"record\":{}}\n"
                  "{\"tag\":\"t\",\"time\":2,\"metadata\":{\"m\":1},\"record\":{}}\n");
    EXPECT_EVENTS("\x93\xa1t\xc4\x02\x01\x90\x81\xad"
                  "fluent_signal\x01",
                  "{\"tag\":\"t\",\"signal\":\"metrics\",\"record\":1}\n"
                  "{\"tag\":\"t\",\"signal\":\"metrics\",\"record\":[]}\n");
    EXPECT_EVENTS("\x93\xa1t\xc4\x01\x80\x81\xad"
                  "fluent_signal\x02",
                  "{\"tag\":\"t\",\"signal\":\"traces\",\"record\":{}}\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars),
        cmocka_unit_test(test_floats_are_short_and_exact),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_bytes_that_are_not_utf8),
        cmocka_unit_test(test_containers),
        cmocka_unit_test(test_keys_become_strings),
        cmocka_unit_test(test_ext),
        cmocka_unit_test(test_event_times),
        cmocka_unit_test(test_metadata_and_signals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
