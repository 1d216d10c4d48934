/* proxy/wire/srv_reply.c: order, limits, TTL, and damaged replies. */
#include "wire/srv_reply.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGE_BYTES = 8192, FLAGS = 0x8180, TYPE_CNAME = 5, TYPE_SRV = 33 };

struct message {
    uint8_t bytes[MESSAGE_BYTES];
    size_t length;
};

static void put16(struct message *message, unsigned value)
{
    message->bytes[message->length++] = (uint8_t)(value >> 8);
    message->bytes[message->length++] = (uint8_t)value;
}

/* One label and the root. */
static void put_name(struct message *message, const char *label)
{
    size_t length = strlen(label);

    message->bytes[message->length++] = (uint8_t)length;
    memcpy(message->bytes + message->length, label, length);
    message->length += length;
    message->bytes[message->length++] = 0;
}

static void put_head(struct message *message)
{
    *message = (struct message) { .length = 0 };
    put16(message, 1);
    put16(message, FLAGS);
    put16(message, 1);
    put16(message, 0);
    put16(message, 0);
    put16(message, 0);
    put_name(message, "service");
    put16(message, TYPE_SRV);
    put16(message, 1);
}

static void put_record(struct message *message, unsigned type, uint32_t ttl)
{
    message->bytes[7]++;
    put16(message, 0xc00c); /* the question's name */
    put16(message, type);
    put16(message, 1);
    put16(message, ttl >> 16);
    put16(message, ttl & 0xffff);
}

static void put_service(struct message *message, uint32_t ttl, unsigned priority, const char *label)
{
    put_record(message, TYPE_SRV, ttl);
    put16(message, 6 + (unsigned)strlen(label) + 2);
    put16(message, priority);
    put16(message, 1);
    put16(message, 24224);
    put_name(message, label);
}

static const char *parse(struct srv_reply *reply, const struct message *message, size_t length)
{
    uint8_t *bytes = malloc(length + 1); /* its own block, so that sanitizers detect a read past its end */

    memcpy(bytes, message->bytes, length);
    bytes = realloc(bytes, length ? length : 1);
    const char *why = srv_reply_parse(reply, bytes, length);
    free(bytes);
    return why;
}

static void targets_are_ordered_by_priority_with_the_smallest_ttl(void **state)
{
    struct message message;
    struct srv_reply reply;

    (void)state;
    put_head(&message);
    put_service(&message, 300, 7, "c");
    put_service(&message, 200, 3, "a");
    put_service(&message, 400, 3, "b");
    assert_null(parse(&reply, &message, message.length));
    assert_int_equal(reply.count, 3);
    assert_int_equal(reply.ttl_seconds, 200);
    assert_string_equal(reply.targets[0].address.host, "a");
    assert_string_equal(reply.targets[1].address.host, "b");
    assert_string_equal(reply.targets[2].address.host, "c");
    assert_int_equal(reply.targets[2].priority, 7);
    assert_int_equal(reply.targets[2].address.port, 24224);
}

static void the_ttl_of_an_alias_counts_and_a_negative_ttl_is_zero(void **state)
{
    struct message message;
    struct srv_reply reply;

    (void)state;
    put_head(&message);
    put_record(&message, TYPE_CNAME, 20);
    put16(&message, 3);
    put_name(&message, "x");
    put_service(&message, 300, 1, "a");
    assert_null(parse(&reply, &message, message.length));
    assert_int_equal(reply.ttl_seconds, 20);

    put_head(&message);
    put_service(&message, UINT32_C(0x80000000), 1, "a");
    assert_null(parse(&reply, &message, message.length));
    assert_int_equal(reply.ttl_seconds, 0);
}

static void targets_beyond_the_maximum_are_left_out(void **state)
{
    struct message message;
    struct srv_reply reply;
    char label[16];

    (void)state;
    put_head(&message);
    for (unsigned i = 0; i < SRV_TARGETS_MAX + 6; i++) {
        snprintf(label, sizeof label, "h%u", i);
        put_service(&message, 300, SRV_TARGETS_MAX + 6 - i, label);
    }
    assert_null(parse(&reply, &message, message.length));
    assert_int_equal(reply.count, SRV_TARGETS_MAX);
    for (unsigned i = 0; i < SRV_TARGETS_MAX; i++)
        assert_int_equal(reply.targets[i].priority, i + 1);
}

static void damaged_answers_are_refused_or_read_safely(void **state)
{
    struct message message;
    struct srv_reply reply;

    (void)state;
    put_head(&message);
    put_service(&message, 300, 7, "c");
    put_service(&message, 200, 3, "a");
    for (size_t length = 0; length < message.length; length++) {
        const char *why = parse(&reply, &message, length);
        assert_true(why ? strlen(why) > 0 : reply.count > 0);
    }
    for (size_t at = 0; at < message.length; at++) {
        for (unsigned value = 0; value <= UINT8_MAX; value++) {
            struct message broken = message;
            broken.bytes[at] = (uint8_t)value;
            const char *why = parse(&reply, &broken, broken.length);
            assert_true(why ? strlen(why) > 0 : reply.count > 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_are_ordered_by_priority_with_the_smallest_ttl),
        cmocka_unit_test(the_ttl_of_an_alias_counts_and_a_negative_ttl_is_zero),
        cmocka_unit_test(targets_beyond_the_maximum_are_left_out),
        cmocka_unit_test(damaged_answers_are_refused_or_read_safely),
    };

    return cmocka_run_group_tests_name("srv_reply", tests, NULL, NULL);
}
