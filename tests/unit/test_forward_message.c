/* proxy/commands/forward_message.c and forward_batch.c: what one encodes the other reads; messages that are
 * not Forward are refused with a reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "commands/forward_batch.h"
#include "commands/forward_message.h"

enum { LIMIT = 100000 };

static void count_event(void *target, const struct forward_event *event)
{
    size_t *count = target;

    assert_int_equal(event->tag.type, MSGPACK_OBJECT_STR);
    (*count)++;
}

/* The number of events in the bytes; -1 and a fault if they are refused. */
static int events_in(const char *bytes, size_t length, size_t limit, struct fault *fault)
{
    struct forward_message message;
    msgpack_unpacked object;
    size_t at = 0, count = 0;

    msgpack_unpacked_init(&object);
    assert_int_equal(msgpack_unpack_next(&object, bytes, length, &at), MSGPACK_UNPACK_SUCCESS);
    bool accepted = forward_message_read(&message, &object.data, fault) &&
                    forward_message_visit(&message, limit, count_event, &count, fault);
    msgpack_unpacked_destroy(&object);
    return accepted ? (int)count : -1;
}

static void expect_events(const char *bytes, size_t length, int count)
{
    struct fault fault = { .text = "" };
    int found = events_in(bytes, length, LIMIT, &fault);

    if (found != count)
        fail_msg("%d events instead of %d: %s", found, count, fault.text);
}
#define EXPECT(bytes, count) expect_events(bytes, sizeof(bytes) - 1, count)

static void expect_refused(const char *bytes, size_t length, const char *why)
{
    struct fault fault = { .text = "" };

    assert_int_equal(events_in(bytes, length, LIMIT, &fault), -1);
    if (!strstr(fault.text, why))
        fail_msg("\"%s\" does not say \"%s\"", fault.text, why);
}
#define REFUSED(bytes, why) expect_refused(bytes, sizeof(bytes) - 1, why)

static void test_modes(void **state)
{
    (void)state;
    EXPECT("\x93\xa1t\x01\x80", 1);
    EXPECT("\x94\xa1t\x01\x80\xc0", 1); /* nil option: old Docker */
    EXPECT("\x94\xa1t\x01\x80\x80", 1);
    EXPECT("\x92\xa1t\x92\x92\x01\x80\x92\x02\x80", 2);
    EXPECT("\x93\xa1t\x90\x80", 0);
    EXPECT("\x92\xa1t\xa6\x92\x01\x80\x92\x02\x80", 2);     /* str */
    EXPECT("\x92\xa1t\xc4\x06\x92\x01\x80\x92\x02\x80", 2); /* bin */
    EXPECT("\x93\xa1t\xa3\x92\x01\x80\x81\xaa"
           "compressed\xa4text",
           1);
}

static void test_other_protocols(void **state)
{
    (void)state;
    REFUSED("\x16", "TLS");
    REFUSED("{", "JSON");
    REFUSED("G", "0x47");
    REFUSED("\x80", "a message is an array");
    REFUSED("\x90", "an array of 0 elements");
    REFUSED("\x91\xa1t", "an array of 1 elements");
    REFUSED("\x96\xa4PING\xa0\xa0\xa0\xa0\xa0", "shared-key handshake");
    REFUSED("\x93\x01\x01\x80", "the tag is not a string");
    REFUSED("\x92\xa1t\x01", "no record");
    REFUSED("\x94\xa1t\x90\x80\x80", "3 is the most");
    REFUSED("\x94\xa1t\x01\x80\x01", "the option is not a map");
}

#define DEEP_10 "\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91"
#define DEEP_19 "\x91\x91\x91\x91\x91\x91\x91\x91\x91" DEEP_10
#define DEEP_20 DEEP_10 DEEP_10

static void test_broken_events(void **state)
{
    (void)state;
    REFUSED("\x93\xa1t\x01\x01", "record is not a map");
    REFUSED("\x93\xa1t\xc0\x80", "neither EventTime nor a number");
    REFUSED("\x93\xa1t\xd4\x05\x00\x80", "neither EventTime nor a number");
    REFUSED("\x92\xa1t\x91\x92\x92\x01\x01\x80", "[time, metadata]");
    REFUSED("\x92\xa1t\x91\x80", "an entry is not");
    REFUSED("\x92\xa1t\x91\x93\x01\x80\x80", "an entry is not");
    REFUSED("\x92\xa1t\xa2\x92\x01", "in the middle");
    REFUSED("\x92\xa1t\xa1\xc1", "not MessagePack");
    REFUSED("\x92\xa1t\xda\x00\x28" DEEP_20 DEEP_19 "\x01", "too deep");
    REFUSED("\x92\xa1t\xa6\xdd\xff\xff\xff\xff\x01", "in the middle");
}

static void test_options(void **state)
{
    (void)state;
    REFUSED("\x94\xa1t\x01\x80\x81\xa5"
            "chunk\x01",
            "chunk is neither");
    REFUSED("\x93\xa1t\xa0\x81\xaa"
            "compressed\xa4zstd",
            "zstd: only gzip is supported");
    REFUSED("\x93\xa1t\xa0\x81\xaa"
            "compressed\xa2xz",
            "unknown algorithm");
    REFUSED("\x93\xa1t\xa0\x81\xad"
            "fluent_signal\x03",
            "fluent_signal");
}

/* [1,{}] twice, each in a gzip member of its own, both stored rather than deflated. */
#define MEMBER                                                                                               \
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x01\x03\x00\xfc\xff\x92\x01\x80\xed\x07\x75\xf5\x03\x00\x00"   \
    "\x00"
#define GZIP_OPTION                                                                                          \
    "\x81\xaa"                                                                                               \
    "compressed\xa4gzip"

static void test_gzip(void **state)
{
    (void)state;
    EXPECT("\x93\xa1t\xc4\x1a" MEMBER GZIP_OPTION, 1);
    EXPECT("\x93\xa1t\xc4\x34" MEMBER MEMBER GZIP_OPTION, 2);
    EXPECT("\x93\xa1t\xc4\x00" GZIP_OPTION, 0);
    REFUSED("\x93\xa1t\xc4\x03"
            "abc" GZIP_OPTION,
            "not valid gzip");
    REFUSED("\x93\xa1t\xc4\x0c\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x01\x03" GZIP_OPTION, "too early");
    REFUSED("\x93\xa1t\xc4\x1b" MEMBER "x" GZIP_OPTION, "too early");
}

static void test_gzip_is_limited(void **state)
{
    static const char message[] = "\x93\xa1t\xc4\x34" MEMBER MEMBER GZIP_OPTION;
    struct fault fault = { .text = "" };

    (void)state;
    assert_int_equal(events_in(message, sizeof message - 1, 6, &fault), 2);
    assert_int_equal(events_in(message, sizeof message - 1, 5, &fault), -1);
    assert_non_null(strstr(fault.text, "inflates to more than 5 bytes"));
}

static void test_batches_can_be_read(void **state)
{
    static const enum forward_mode modes[] = { FORWARD_MODE_MESSAGE, FORWARD_MODE_FORWARD,
                                               FORWARD_MODE_PACKED };
    const struct timespec time = { .tv_sec = 5, .tv_nsec = 6 };
    msgpack_sbuffer record, encoded;
    struct fault fault;

    (void)state;
    msgpack_sbuffer_init(&record);
    msgpack_sbuffer_init(&encoded);
    assert_int_equal(msgpack_sbuffer_write(&record, "\x80", 1), 0);
    for (size_t i = 0; i < 3; i++) {
        struct forward_batch batch;
        int count = modes[i] == FORWARD_MODE_MESSAGE ? 1 : 20;
        forward_batch_init(&batch, "t", modes[i]);
        for (int round = 0; round < 4; round++) { /* a batch is reused, with and without a chunk */
            for (int event = 0; event < count; event++)
                assert_true(forward_batch_add(&batch, &time, &record, &fault));
            assert_true(forward_batch_encode(&batch, round % 2 ? "id" : NULL, &encoded, &fault));
            expect_events(encoded.data, encoded.size, count);
            assert_int_equal(batch.count, 0);
        }
        forward_batch_deinit(&batch);
    }
    msgpack_sbuffer_destroy(&encoded);
    msgpack_sbuffer_destroy(&record);
}

static void test_batch_bytes(void **state)
{
    static const char expected[] = "\x94\xa1t\xd7\x00\x00\x00\x00\x05\x00\x00\x00\x06\x80\x81\xa5"
                                   "chunk\xa2id";
    const struct timespec time = { .tv_sec = 5, .tv_nsec = 6 };
    struct forward_batch batch;
    msgpack_sbuffer record, encoded;
    struct fault fault;

    (void)state;
    msgpack_sbuffer_init(&record);
    msgpack_sbuffer_init(&encoded);
    assert_int_equal(msgpack_sbuffer_write(&record, "\x80", 1), 0);
    forward_batch_init(&batch, "t", FORWARD_MODE_MESSAGE);
    assert_true(forward_batch_add(&batch, &time, &record, &fault));
    assert_true(forward_batch_encode(&batch, "id", &encoded, &fault));
    assert_int_equal(encoded.size, sizeof expected - 1);
    assert_memory_equal(encoded.data, expected, sizeof expected - 1);
    forward_batch_deinit(&batch);
    msgpack_sbuffer_destroy(&encoded);
    msgpack_sbuffer_destroy(&record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_other_protocols),
        cmocka_unit_test(test_broken_events),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_gzip),
        cmocka_unit_test(test_gzip_is_limited),
        cmocka_unit_test(test_batches_can_be_read),
        cmocka_unit_test(test_batch_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
