/* proxy/commands/object_stream.c: any way to cut the bytes gives the same objects; no object exceeds the
 * limit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "commands/object_stream.h"

/* One object for each kind of header in MessagePack. */
static const struct sample {
    const char *bytes;
    size_t length;
} samples[] = {
#define SAMPLE(text) { text, sizeof(text) - 1 }
    SAMPLE("\x00"),
    SAMPLE("\x7f"),
    SAMPLE("\xff"),
    SAMPLE("\x80"),
    SAMPLE("\x82\x01\x02\x03\x04"),
    SAMPLE("\x90"),
    SAMPLE("\x92\x01\x91\xc0"),
    SAMPLE("\xa0"),
    SAMPLE("\xa3"
           "abc"),
    SAMPLE("\xc0"),
    SAMPLE("\xc2"),
    SAMPLE("\xc3"),
    SAMPLE("\xc4\x02\x91\x91"),
    SAMPLE("\xc5\x00\x02\x91\x91"),
    SAMPLE("\xc6\x00\x00\x00\x02\x91\x91"),
    SAMPLE("\xc7\x02\x05\x91\x91"),
    SAMPLE("\xc8\x00\x02\x05\x91\x91"),
    SAMPLE("\xc9\x00\x00\x00\x02\x05\x91\x91"),
    SAMPLE("\xca\x91\x91\x91\x91"),
    SAMPLE("\xcb\x91\x91\x91\x91\x91\x91\x91\x91"),
    SAMPLE("\xcc\x91"),
    SAMPLE("\xcd\x91\x91"),
    SAMPLE("\xce\x91\x91\x91\x91"),
    SAMPLE("\xcf\x91\x91\x91\x91\x91\x91\x91\x91"),
    SAMPLE("\xd0\x91"),
    SAMPLE("\xd1\x91\x91"),
    SAMPLE("\xd2\x91\x91\x91\x91"),
    SAMPLE("\xd3\x91\x91\x91\x91\x91\x91\x91\x91"),
    SAMPLE("\xd4\x05\x91"),
    SAMPLE("\xd5\x05\x91\x91"),
    SAMPLE("\xd6\x05\x91\x91\x91\x91"),
    SAMPLE("\xd7\x05\x91\x91\x91\x91\x91\x91\x91\x91"),
    SAMPLE("\xd8\x05\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91"),
    SAMPLE("\xd9\x02\x91\x91"),
    SAMPLE("\xda\x00\x02\x91\x91"),
    SAMPLE("\xdb\x00\x00\x00\x02\x91\x91"),
    SAMPLE("\xdc\x00\x02\x01\x90"),
    SAMPLE("\xdd\x00\x00\x00\x02\x01\x90"),
    SAMPLE("\xde\x00\x01\x01\x90"),
    SAMPLE("\xdf\x00\x00\x00\x01\x01\x90"),
#undef SAMPLE
};
enum { SAMPLE_TOTAL = sizeof samples / sizeof samples[0] };

/* The object from the stream is equal to the one that msgpack-c reads from the sample. */
static void assert_is_sample(const msgpack_object *object, const struct sample *sample)
{
    msgpack_unpacked expected;
    size_t at = 0;

    msgpack_unpacked_init(&expected);
    assert_int_equal(msgpack_unpack_next(&expected, sample->bytes, sample->length, &at),
                     MSGPACK_UNPACK_SUCCESS);
    assert_int_equal(at, sample->length);
    assert_true(msgpack_object_equal(*object, expected.data));
    msgpack_unpacked_destroy(&expected);
}

static void test_every_kind_byte_by_byte(void **state)
{
    struct object_stream stream;
    msgpack_object object;
    struct fault fault;

    (void)state;
    object_stream_init(&stream, 1000);
    for (size_t i = 0; i < SAMPLE_TOTAL; i++) {
        for (size_t at = 0; at < samples[i].length; at++) {
            assert_int_equal(object_stream_next(&stream, &object, &fault), OBJECT_INCOMPLETE);
            assert_int_equal(object_stream_is_inside(&stream), at > 0);
            assert_true(object_stream_append(&stream, samples[i].bytes + at, 1, &fault));
        }
        assert_int_equal(object_stream_next(&stream, &object, &fault), OBJECT_WHOLE);
        assert_is_sample(&object, &samples[i]);
        assert_false(object_stream_is_inside(&stream));
    }
    object_stream_deinit(&stream);
}

static void test_every_kind_at_once(void **state)
{
    struct object_stream stream;
    msgpack_object object;
    struct fault fault;

    (void)state;
    object_stream_init(&stream, 1000);
    for (size_t i = 0; i < SAMPLE_TOTAL; i++)
        assert_true(object_stream_append(&stream, samples[i].bytes, samples[i].length, &fault));
    for (size_t i = 0; i < SAMPLE_TOTAL; i++) {
        assert_int_equal(object_stream_next(&stream, &object, &fault), OBJECT_WHOLE);
        assert_is_sample(&object, &samples[i]);
    }
    assert_int_equal(object_stream_next(&stream, &object, &fault), OBJECT_INCOMPLETE);
    object_stream_deinit(&stream);
}

static void expect_broken(const char *bytes, size_t length, const char *why)
{
    struct object_stream stream;
    msgpack_object object;
    struct fault fault = { .text = "" };

    object_stream_init(&stream, 10);
    assert_true(object_stream_append(&stream, bytes, length, &fault));
    assert_int_equal(object_stream_next(&stream, &object, &fault), OBJECT_BROKEN);
    assert_non_null(strstr(fault.text, why));
    object_stream_deinit(&stream);
}
#define BROKEN(bytes, why) expect_broken(bytes, sizeof(bytes) - 1, why)

static void test_limit_applies_to_announced_lengths(void **state)
{
    struct object_stream stream;
    msgpack_object object;
    struct fault fault;

    (void)state;
    BROKEN("\xdd\xff\xff\xff\xff", "larger than the limit of 10 bytes");
    BROKEN("\xdf\xff\xff\xff\xff", "larger than the limit of 10 bytes");
    BROKEN("\xc6\xff\xff\xff\xff", "larger than the limit of 10 bytes");
    BROKEN("\xc9\xff\xff\xff\xff", "larger than the limit of 10 bytes");
    BROKEN("\x9a", "larger than the limit of 10 bytes");
    BROKEN("\xc1", "not MessagePack");
    object_stream_init(&stream, 10); /* ten bytes exactly, twice: the limit is per object */
    for (int round = 0; round < 2; round++) {
        assert_true(object_stream_append(&stream, "\x99\x01\x01\x01\x01\x01\x01\x01\x01\x01", 10, &fault));
        assert_int_equal(object_stream_next(&stream, &object, &fault), OBJECT_WHOLE);
    }
    object_stream_deinit(&stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_byte_by_byte),
        cmocka_unit_test(test_every_kind_at_once),
        cmocka_unit_test(test_limit_applies_to_announced_lengths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
