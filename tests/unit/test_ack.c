#include "forward/ack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

enum { BYTES_MAX = 8192 };

/* The result must come at `whole` bytes, and not earlier. */
static void assert_verdict(const void *bytes, size_t length, size_t whole, enum ack_status verdict)
{
    size_t taken;
    struct span id;

    for (size_t cut = 0; cut <= length; cut++) {
        uint8_t copy[BYTES_MAX];

        memcpy(copy, bytes, cut);
        memset(copy + cut, 0xc1, sizeof copy - cut);
        assert_int_equal(ack_parse(copy, cut, &taken, &id), cut < whole ? ACK_MORE : verdict);
        assert_int_equal(taken, cut >= whole && verdict != ACK_MALFORMED ? whole : 0);
    }
}

static void assert_found(const void *bytes, size_t length, const void *id_value, size_t id_length)
{
    size_t taken;
    struct span id;

    assert_verdict(bytes, length, length, ACK_FOUND);
    assert_int_equal(ack_parse(bytes, length, &taken, &id), ACK_FOUND);
    assert_int_equal(id.end - id.start, id_length);
    assert_memory_equal((const uint8_t *)bytes + id.start, id_value, id_length);
}

/* Appends `more`; returns the new length. */
static size_t add(uint8_t *bytes, size_t length, const void *more, size_t more_length)
{
    memcpy(bytes + length, more, more_length);
    return length + more_length;
}

static size_t capture_read(const char *name, uint8_t bytes[BYTES_MAX])
{
    char path[128];
    FILE *file;
    size_t length;

    snprintf(path, sizeof path, "tests/support/captures/%s", name);
    file = fopen(path, "rb");
    assert_non_null(file);
    length = fread(bytes, 1, BYTES_MAX, file);
    fclose(file);
    return length;
}

/* Every ack of the recorded streams is found, and ack_write writes the same bytes. */
static void recorded_acks_are_read_and_written_again(void **state)
{
    static const struct {
        const char *name;
        unsigned count;
    } captures[] = {
        { "fluentbit-ack.s2c", 2 },     { "fluentbit-gzip-ack.s2c", 1 }, { "fluentbit-metadata-ack.s2c", 2 },
        { "fluentd-ack.s2c", 1 },       { "fluentd-gzip-ack.s2c", 1 },   { "fluentd-keepalive-ack.s2c", 2 },
        { "js-compressed-ack.s2c", 1 }, { "js-forward-ack.s2c", 1 },     { "js-message-ack.s2c", 3 },
        { "js-packed-ack.s2c", 1 },     { "jsold-ack.s2c", 3 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof captures / sizeof *captures; i++) {
        uint8_t bytes[BYTES_MAX], again[ACK_BYTES_MAX];
        size_t length = capture_read(captures[i].name, bytes);
        unsigned count = 0;
        struct span id;
        size_t taken;

        for (size_t at = 0; at < length; at += taken) {
            assert_int_equal(ack_parse(bytes + at, length - at, &taken, &id), ACK_FOUND);
            assert_verdict(bytes + at, length - at, taken, ACK_FOUND);
            assert_int_equal(ack_write(again, bytes + at + id.start, id.end - id.start), taken);
            assert_memory_equal(again, bytes + at, taken);
            count++;
        }
        assert_int_equal(count, captures[i].count);
    }
}

static void a_handshake_is_not_an_ack(void **state)
{
    uint8_t bytes[BYTES_MAX];
    size_t length = capture_read("fluentd-sharedkey-userauth-ack.s2c", bytes);

    (void)state;
    assert_verdict(bytes, length, 1, ACK_MALFORMED);
}

/* Every width of every header an ack may be written with. */
static void headers_may_have_any_width(void **state)
{
    static const struct {
        const char *bytes;
        size_t length;
    } maps[] = { { "\x81", 1 }, { "\xde\x00\x01", 3 }, { "\xdf\x00\x00\x00\x01", 5 } }, keys[] = {
        { "\xa3", 1 },     { "\xd9\x03", 2 },     { "\xda\x00\x03", 3 },        { "\xdb\x00\x00\x00\x03", 5 },
        { "\xc4\x03", 2 }, { "\xc5\x00\x03", 3 }, { "\xc6\x00\x00\x00\x03", 5 }
    };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        for (size_t j = 0; j < 7; j++) {
            for (size_t k = 0; k < 7; k++) {
                uint8_t bytes[32];
                size_t length = 0, id_at;

                length = add(bytes, length, maps[i].bytes, maps[i].length);
                length = add(bytes, length, keys[j].bytes, keys[j].length);
                id_at = length = add(bytes, length, "ack", 3);
                length = add(bytes, length, keys[k].bytes, keys[k].length);
                length = add(bytes, length, "a\0\xff", 3);
                assert_found(bytes, length, bytes + id_at, length - id_at);
            }
        }
    }
}

static void other_keys_are_skipped(void **state)
{
    static const char before[] = "\x83\xa1k\x92\x01\x81\xc0\xd7\x00\x01\x02\x03\x04\x05\x06\x07\x08"
                                 "\x93\xa3"
                                 "ack\xc2\xca\x00\x00\x00\x00\xcb\x00\x00\x00\x00\x00\x00\x00\x00"
                                 "\xa3"
                                 "ack\xa1x";
    static const char after[] = "\x82\xa3"
                                "ack\xa1x\xa4"
                                "ack2\xdf\x00\x00\x00\x01\xc7\x01\x09\x00\x90";
    uint8_t deep[1000] = "\x82\xa1k";

    (void)state;
    assert_found(before, sizeof before - 1, "\xa1x", 2);
    assert_found(after, sizeof after - 1, "\xa1x", 2);
    memset(deep + 3, 0x91, 900);
    add(deep, 903,
        "\xc0\xa3"
        "ack\xa1x",
        7);
    assert_found(deep, 910, "\xa1x", 2);
}

static void other_values_are_refused_at_once(void **state)
{
    static const struct {
        const char *bytes;
        size_t length, at;
    } cases[] = {
        { "\x81\xa3"
          "ack\xc0",
          6, 6 }, /* an id that is neither str nor bin */
        { "\x81\xa3"
          "ack\x91\xa1x",
          8, 6 }, /* nor an array */
        { "\x82\xa3"
          "ack\xa1x\xa3"
          "ack\xa1x",
          13, 13 }, /* two */
        { "\x81\xa3"
          "ack\xc6\xff\xff\xff\xff",
          10, 10 },                                /* an id longer than a whole ack may be */
        { "\x82\xa1k\xdd\xff\xff\xff\xff", 8, 8 }, /* more elements than bytes allowed */
        { "\x82\xa1k\xdf\x00\x01\x00\x00", 8, 8 }, /* the same of pairs */
        { "\x82\xa1k\xc1", 4, 4 },                 /* the byte MessagePack never uses */
        { "{\"ack\":\"x\"}", 11, 1 },              /* JSON */
        { "\x93\xa3tag", 5, 1 },
        { "\xc1", 1, 1 },
        { "\xc4\x01x", 3, 3 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_verdict(cases[i].bytes, cases[i].length, cases[i].at, ACK_MALFORMED);
}

static void a_map_without_an_ack_is_negative(void **state)
{
    (void)state;
    assert_verdict("\x80\x00", 2, 1, ACK_NEGATIVE);
    assert_verdict("\xdf\x00\x00\x00\x00", 5, 5, ACK_NEGATIVE);
    assert_verdict("\x81\xa4"
                   "ack2\xa1x",
                   8, 8, ACK_NEGATIVE);
}

static void an_ack_has_a_maximum_length(void **state)
{
    uint8_t bytes[BYTES_MAX] = "\x81\xa3"
                               "ack\xda\x03\xfd";
    uint8_t written[ACK_BYTES_MAX];

    (void)state;
    memset(bytes + 8, 'x', 1021);
    assert_found(bytes, 5 + ACK_ID_BYTES_MAX, bytes + 5, ACK_ID_BYTES_MAX);
    assert_int_equal(ack_write(written, bytes + 5, ACK_ID_BYTES_MAX), 5 + ACK_ID_BYTES_MAX);
    assert_memory_equal(written, bytes, 5 + ACK_ID_BYTES_MAX);

    bytes[7]++; /* its value is one byte over ACK_ID_BYTES_MAX */
    assert_verdict(bytes, sizeof bytes, 5 + ACK_ID_BYTES_MAX + 1, ACK_MALFORMED);

    memset(bytes, 0x01, sizeof bytes); /* pairs of numbers without an end */
    add(bytes, 0, "\xdf\xff\xff\xff\xff", 5);
    assert_verdict(bytes, sizeof bytes, ACK_BYTES_MAX, ACK_MALFORMED);
}

static void ids_are_compared_by_bytes_and_by_type(void **state)
{
    static const struct {
        const char *a;
        size_t a_length;
        const char *b;
        size_t b_length;
        enum ack_id_match match;
    } cases[] = {
        { "\xa1x", 2, "\xa1x", 2, ACK_IDS_EQUAL },
        { "\xa1x", 2, "\xdb\x00\x00\x00\x01x", 6, ACK_IDS_EQUAL },
        { "\xc4\x01x", 3, "\xc5\x00\x01x", 4, ACK_IDS_EQUAL },
        { "\xa0", 1, "\xd9\x00", 2, ACK_IDS_EQUAL },
        { "\xa1x", 2, "\xc4\x01x", 3, ACK_IDS_SAME_BYTES },
        { "\xa1x", 2, "\xa1y", 2, ACK_IDS_DIFFER },
        { "\xa1x", 2, "\xc4\x01y", 3, ACK_IDS_DIFFER },
        { "\xa1x", 2, "\xa2xx", 3, ACK_IDS_DIFFER },
        { "\xa1x", 2, "\xa1xx", 3, ACK_IDS_DIFFER },
        { "\xa2x", 2, "\xa2x", 2, ACK_IDS_DIFFER },
        { "\x01", 1, "\x01", 1, ACK_IDS_DIFFER },
        { "", 0, "", 0, ACK_IDS_DIFFER },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const uint8_t *a = (const uint8_t *)cases[i].a, *b = (const uint8_t *)cases[i].b;
        assert_int_equal(ack_id_compare(a, cases[i].a_length, b, cases[i].b_length), cases[i].match);
        assert_int_equal(ack_id_compare(b, cases[i].b_length, a, cases[i].a_length), cases[i].match);
    }
}

static void the_bytes_of_an_id_are_behind_its_header(void **state)
{
    (void)state;
    assert_int_equal(ack_id_body((const uint8_t *)"\xa1x", 2), 1);
    assert_int_equal(ack_id_body((const uint8_t *)"\xc5\x00\x01x", 4), 3);
    assert_int_equal(ack_id_body((const uint8_t *)"\xa2x", 2), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_acks_are_read_and_written_again),
        cmocka_unit_test(a_handshake_is_not_an_ack),
        cmocka_unit_test(headers_may_have_any_width),
        cmocka_unit_test(other_keys_are_skipped),
        cmocka_unit_test(other_values_are_refused_at_once),
        cmocka_unit_test(an_ack_has_a_maximum_length),
        cmocka_unit_test(a_map_without_an_ack_is_negative),
        cmocka_unit_test(ids_are_compared_by_bytes_and_by_type),
        cmocka_unit_test(the_bytes_of_an_id_are_behind_its_header),
    };

    return cmocka_run_group_tests_name("ack", tests, NULL, NULL);
}
