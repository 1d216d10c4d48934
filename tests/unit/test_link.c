#include "forward/link.h"
#include "forward/msgpack_bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

/* The bytes of a string literal without its NUL, and their number. */
#define BYTES(literal) literal, sizeof(literal) - 1

enum { BYTES_MAX = 2 * LINK_FRAME_BYTES_MAX };

enum direction { REQUEST, ANSWER };

/* On both sides of every border between two widths of an integer. */
static const uint64_t integers[] = {
    0,       0x7f,       0x80,       0xff,      0x100,      0xffff,
    0x10000, 0xffffffff, 1ULL << 32, INT64_MAX, 1ULL << 63, UINT64_MAX - 1,
};

enum { INTEGERS = sizeof integers / sizeof *integers };

static enum link_status parse(enum direction direction, const uint8_t *bytes, size_t length, size_t *taken)
{
    struct link_request request;
    struct link_answer answer;

    return direction == REQUEST ? link_request_parse(bytes, length, taken, &request)
                                : link_answer_parse(bytes, length, taken, &answer);
}

/* The result must come at `whole` bytes, and not earlier. */
static void assert_verdict(enum direction direction, const void *bytes, size_t length, size_t whole,
                           enum link_status verdict)
{
    uint8_t copy[BYTES_MAX];
    size_t taken;

    memset(copy, 0xc1, sizeof copy);
    for (size_t cut = 0; cut <= length; cut++) {
        if (cut)
            copy[cut - 1] = ((const uint8_t *)bytes)[cut - 1];
        assert_int_equal(parse(direction, copy, cut, &taken), cut < whole ? LINK_MORE : verdict);
        assert_int_equal(taken, cut >= whole && verdict == LINK_FOUND ? whole : 0);
    }
}

static void request_read(const void *bytes, size_t length, struct link_request *request)
{
    size_t taken;

    assert_verdict(REQUEST, bytes, length, length, LINK_FOUND);
    assert_int_equal(link_request_parse(bytes, length, &taken, request), LINK_FOUND);
}

static void answer_read(const void *bytes, size_t length, struct link_answer *answer)
{
    size_t taken;

    assert_verdict(ANSWER, bytes, length, length, LINK_FOUND);
    assert_int_equal(link_answer_parse(bytes, length, &taken, answer), LINK_FOUND);
}

static void assert_span(const void *bytes, struct span span, const void *expected, size_t length)
{
    assert_int_equal(span.end - span.start, length);
    assert_memory_equal((const uint8_t *)bytes + span.start, expected, length);
}

/* Appends `more`; returns the new length. */
static size_t add(uint8_t *bytes, size_t length, const void *more, size_t more_length)
{
    memcpy(bytes + length, more, more_length);
    return length + more_length;
}

/* Writes a frame of one pair: {key: value}. */
static size_t pair_write(uint8_t *bytes, const char *key, const void *value, size_t value_length)
{
    bytes[0] = 0x81;
    return add(bytes, 1 + msgpack_bytes_put_str(bytes + 1, key), value, value_length);
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
    uint8_t id[ACK_ID_BYTES_MAX] = "\xc5\x03\xfd", bytes[LINK_ACK_BYTES_MAX];
    struct link_answer answer;

    (void)state;
    answer_read(bytes, link_write_waiting(bytes, text), &answer);
    assert_true(answer.is_waiting && !answer.names_sender && !answer.names_window && !answer.refused);
    assert_span(bytes, answer.waiting, text, 0);
    memset(text, 'x', LINK_TEXT_BYTES_MAX);
    answer_read(bytes, link_write_waiting(bytes, text), &answer);
    assert_span(bytes, answer.waiting, text, LINK_TEXT_BYTES_MAX);

    assert_false(answer.is_goaway);
    answer_read(bytes, link_write_goaway(bytes, text), &answer);
    assert_true(answer.is_goaway && !answer.is_waiting && !answer.names_sender && !answer.names_window);
    assert_span(bytes, answer.goaway, text, LINK_TEXT_BYTES_MAX);
    answer_read(bytes, link_write_goaway(bytes, ""), &answer);
    assert_true(answer.is_goaway);
    assert_span(bytes, answer.goaway, text, 0);

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
        const struct link_ack ack = { id, sizeof id, integers[i] - 1, integers[i], text, integers[i] };
        answer_read(bytes, link_write_ack(bytes, &ack), &answer);
        assert_span(bytes, answer.ack, id, sizeof id);
        assert_true(answer.names_sender && answer.sender == integers[i] - 1);
        assert_int_equal(answer.refused, integers[i]);
        assert_int_equal(answer.version, integers[i]);
        assert_span(bytes, answer.reason, text, LINK_TEXT_BYTES_MAX);
        assert_false(answer.is_waiting);
    }
}

static void assert_written(const uint8_t *bytes, size_t length, const char *expected, size_t expected_length)
{
    assert_int_equal(length, expected_length);
    assert_memory_equal(bytes, expected, length);
}

/* The shortest form of everything, with the pairs in the order of docs/link.md. */
static void frames_are_written_as_specified(void **state)
{
    uint8_t bytes[LINK_ACK_BYTES_MAX];

    (void)state;
    assert_written(bytes, link_write_waiting_every(bytes, 5000),
                   BYTES("\x81\xb0waiting_every_ms\xcd\x13\x88"));
    assert_written(bytes, link_write_sender(bytes, 7), BYTES("\x81\xa6sender\x07"));
    assert_written(bytes, link_write_sender(bytes, 0x7f), BYTES("\x81\xa6sender\x7f"));
    assert_written(bytes, link_write_gone(bytes, 200), BYTES("\x81\xa4gone\xcc\xc8"));
    assert_written(bytes, link_write_waiting(bytes, "busy"),
                   BYTES("\x81\xa7waiting\xa4"
                         "busy"));
    assert_written(bytes, link_write_goaway(bytes, "retired"), BYTES("\x81\xa6goaway\xa7retired"));
    assert_written(bytes, link_write_window(bytes, 7, 0), BYTES("\x82\xa6sender\x07\xa6window\x00"));
    assert_written(bytes, link_write_window(bytes, 1ULL << 32, UINT64_MAX),
                   BYTES("\x82\xa6sender\xcf\0\0\0\1\0\0\0\0\xa6window\xc0"));
    const uint8_t *id = (const uint8_t *)"\xa1x";
    assert_written(bytes, link_write_ack(bytes, &(struct link_ack) { id, 2, LINK_NO_SENDER, 0, NULL, 0 }),
                   BYTES("\x81\xa3"
                         "ack\xa1x"));
    assert_written(bytes, link_write_ack(bytes, &(struct link_ack) { id, 2, 7, 0, NULL, 0 }),
                   BYTES("\x82\xa3"
                         "ack\xa1x\xa6sender\x07"));
    assert_written(bytes, link_write_ack(bytes, &(struct link_ack) { id, 2, LINK_NO_SENDER, 0, NULL, 1 }),
                   BYTES("\x82\xa3"
                         "ack\xa1x\xa4link\x01"));
    assert_written(bytes, link_write_ack(bytes, &(struct link_ack) { id, 2, 7, 70000, "tag_not_allowed", 0 }),
                   BYTES("\x84\xa3"
                         "ack\xa1x\xa6sender\x07\xa7refused\xce\x00\x01\x11\x70\xa6reason\xaf"
                         "tag_not_allowed"));
}

/* All keys of a direction in one frame, in any order, among others. */
static void keys_may_be_combined(void **state)
{
    static const char request_bytes[] =
        "\x84\xa4gone\x03\xa6sender\x04\xa1x\xc0\xb0waiting_every_ms\xcd\x13\x88";
    static const char answer_bytes[] = "\x87\xa6window\x00\xa6goaway\xa7retired\xa6reason\xa4"
                                       "cafe\xa7waiting\xa4"
                                       "busy\xa7refused\x02\xa6sender\x09\xa3"
                                       "ack\xc4\x02\x00\xff";
    struct link_request request;
    struct link_answer answer;

    (void)state;
    request_read(BYTES(request_bytes), &request);
    assert_true(request.names_sender && request.names_gone);
    assert_true(request.sender == 4 && request.gone == 3 && request.waiting_every_ms == 5000);

    answer_read(BYTES(answer_bytes), &answer);
    assert_true(answer.names_sender && answer.names_window && answer.is_waiting && answer.is_goaway);
    assert_true(answer.sender == 9 && answer.window == 0 && answer.refused == 2);
    assert_span(answer_bytes, answer.ack, "\xc4\x02\x00\xff", 4);
    assert_span(answer_bytes, answer.reason, "cafe", 4);
    assert_span(answer_bytes, answer.waiting, "busy", 4);
    assert_span(answer_bytes, answer.goaway, "retired", 7);
}

static void assert_says_nothing(const void *bytes, size_t length)
{
    struct link_request request;
    struct link_answer answer;

    request_read(bytes, length, &request);
    assert_true(!request.names_sender && !request.names_gone && !request.waiting_every_ms);
    answer_read(bytes, length, &answer);
    assert_true(!answer.names_sender && !answer.names_window && !answer.is_waiting && !answer.refused);
    assert_true(!answer.ack.end && !answer.reason.end && !answer.waiting.end && !answer.is_goaway);
}

static void unknown_keys_are_skipped(void **state)
{
    uint8_t deep[1200] = "\x81\xa1k";

    (void)state;
    assert_says_nothing(BYTES("\x80"));
    assert_says_nothing(BYTES("\xde\x00\x00"));
    assert_says_nothing(BYTES("\xdf\x00\x00\x00\x00"));
    /* values of all kinds, with known keys inside them; the key is known only at the top of the frame */
    assert_says_nothing(
        BYTES("\x85\xa1k\x92\x01\x81\xa6sender\xa1x\xa1l\xd7\x00\x01\x02\x03\x04\x05\x06\x07\x08"
              "\xa1m\xca\0\0\0\0\xa1n\x81\xa3"
              "ack\x01\xa1o\xc3"));
    /* keys that are no str, also a map and an array */
    assert_says_nothing(BYTES("\x86\xc4\x06sender\xc0\xc4\x03"
                              "ack\xc0\x01\xc0\xc0\xc0\x81\xa6sender\xa1x\xc0\x91\xa6window\xc0"));
    /* names that begin like a known one, or in capitals */
    assert_says_nothing(BYTES("\x84\xa5sende\xc0\xa7senders\xc0\xa6SENDER\xc0\xa0\xc0"));
    /* an unknown key may stand twice */
    assert_says_nothing(BYTES("\x82\xa1k\xc0\xa1k\xc0"));
    memset(deep + 3, 0x91, 1000);
    deep[1003] = 0x81;
    deep[1004] = 0xc0;
    deep[1005] = 0xc0;
    assert_says_nothing(deep, 1006);
}

static void keys_of_the_other_direction_are_skipped(void **state)
{
    struct link_request request;
    struct link_answer answer;

    (void)state;
    request_read(BYTES("\x86\xa3"
                       "ack\xc0\xa7refused\xc0\xa6reason\xc0\xa7waiting\xc0\xa6goaway\xc0\xa6window\xa1x"),
                 &request);
    assert_false(request.names_sender);
    answer_read(BYTES("\x82\xa4gone\xc0\xb0waiting_every_ms\xc0"), &answer);
    assert_false(answer.names_sender);
}

static void headers_may_have_any_width(void **state)
{
    static const struct {
        const char *bytes;
        size_t length;
    } maps[] = { { BYTES("\x81") }, { BYTES("\xde\x00\x01") }, { BYTES("\xdf\x00\x00\x00\x01") } },
      keys[] = { { BYTES("\xa6") },
                 { BYTES("\xd9\x06") },
                 { BYTES("\xda\x00\x06") },
                 { BYTES("\xdb\0\0\0\x06") } },
      fives[] = { { BYTES("\x05") },
                  { BYTES("\xcc\x05") },
                  { BYTES("\xcd\x00\x05") },
                  { BYTES("\xce\x00\x00\x00\x05") },
                  { BYTES("\xcf\x00\x00\x00\x00\x00\x00\x00\x05") },
                  { BYTES("\xd0\x05") },
                  { BYTES("\xd1\x00\x05") },
                  { BYTES("\xd2\x00\x00\x00\x05") },
                  { BYTES("\xd3\x00\x00\x00\x00\x00\x00\x00\x05") } };

    (void)state;
    for (size_t i = 0; i < 3 * 4 * 9; i++) {
        struct link_request request;
        uint8_t bytes[32];
        size_t length = add(bytes, 0, maps[i % 3].bytes, maps[i % 3].length);

        length = add(bytes, length, keys[i / 3 % 4].bytes, keys[i / 3 % 4].length);
        length = add(bytes, length, "sender", 6);
        length = add(bytes, length, fives[i / 12].bytes, fives[i / 12].length);
        request_read(bytes, length, &request);
        assert_true(request.names_sender && request.sender == 5);
    }
}

enum { TAKES_INTEGER = 1, TAKES_STR = 2, TAKES_BIN = 4, TAKES_NIL = 8 };

static const struct {
    enum direction direction;
    const char *name;
    unsigned takes;
    const char *rest; /* the pairs that the key needs in its frame */
    size_t rest_length;
    uint8_t rest_pairs;
} known_keys[] = {
    { REQUEST, "sender", TAKES_INTEGER, BYTES(""), 0 },
    { REQUEST, "gone", TAKES_INTEGER, BYTES(""), 0 },
    { REQUEST, "waiting_every_ms", TAKES_INTEGER, BYTES(""), 0 },
    { ANSWER, "ack", TAKES_STR | TAKES_BIN, BYTES(""), 0 },
    { ANSWER, "refused", TAKES_INTEGER,
      BYTES("\xa3"
            "ack\xa1x\xa6reason\xa1x"),
      2 },
    { ANSWER, "reason", TAKES_STR, BYTES(""), 0 },
    { ANSWER, "waiting", TAKES_STR, BYTES(""), 0 },
    { ANSWER, "goaway", TAKES_STR, BYTES(""), 0 },
    { ANSWER, "sender", TAKES_INTEGER, BYTES(""), 0 },
    { ANSWER, "window", TAKES_INTEGER | TAKES_NIL, BYTES("\xa6sender\x00"), 1 },
};

enum { KNOWN_KEYS = sizeof known_keys / sizeof *known_keys };

/* Writes a frame in which the value of the known key comes last. */
static size_t known_write(uint8_t *bytes, size_t key, const void *value, size_t value_length)
{
    size_t length = 1;

    bytes[0] = 0x81 + known_keys[key].rest_pairs;
    length = add(bytes, length, known_keys[key].rest, known_keys[key].rest_length);
    length += msgpack_bytes_put_str(bytes + length, known_keys[key].name);
    return add(bytes, length, value, value_length);
}

/* Each key with a value of each kind. */
static void values_of_a_wrong_kind_are_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t length;
        size_t at; /* where a wrong value is refused */
        unsigned kind;
    } values[] = {
        { BYTES("\x01"), 1, TAKES_INTEGER },
        { BYTES("\xd3\x00\x00\x00\x00\x00\x00\x00\x01"), 9, TAKES_INTEGER },
        { BYTES("\xa1x"), 2, TAKES_STR },
        { BYTES("\xdb\x00\x00\x00\x01x"), 6, TAKES_STR },
        { BYTES("\xc4\x01x"), 3, TAKES_BIN },
        { BYTES("\xc0"), 1, TAKES_NIL },
        { BYTES("\xc1"), 1, 0 },
        { BYTES("\xc2"), 1, 0 },
        { BYTES("\xc3"), 1, 0 },
        { BYTES("\xca\x3f\x80\x00\x00"), 5, 0 },                 /* 1.0 */
        { BYTES("\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00"), 9, 0 }, /* 1.0 */
        { BYTES("\xff"), 1, 0 },                                 /* -1 of each width */
        { BYTES("\xe0"), 1, 0 },
        { BYTES("\xd0\xff"), 2, 0 },
        { BYTES("\xd1\xff\xff"), 3, 0 },
        { BYTES("\xd2\xff\xff\xff\xff"), 5, 0 },
        { BYTES("\xd3\xff\xff\xff\xff\xff\xff\xff\xff"), 9, 0 },
        { BYTES("\xd4\x01\x01"), 3, 0 },
        { BYTES("\xc7\x01\x01\x01"), 4, 0 },
        { BYTES("\x91\x01"), 1, 0 },
        { BYTES("\x80"), 1, 0 },
        { BYTES("\x81\x01\x01"), 1, 0 },
        { BYTES("\xdc\x00\x01\x01"), 3, 0 },
    };

    (void)state;
    for (size_t key = 0; key < KNOWN_KEYS; key++) {
        for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
            bool is_taken = (values[i].kind & known_keys[key].takes) != 0;
            uint8_t bytes[64];
            size_t length = known_write(bytes, key, values[i].bytes, values[i].length);
            size_t at = length - values[i].length + values[i].at;

            assert_verdict(known_keys[key].direction, bytes, length, at,
                           is_taken ? LINK_FOUND : LINK_REFUSED);
        }
    }
}

static void a_known_key_twice_is_refused(void **state)
{
    (void)state;
    for (size_t key = 0; key < KNOWN_KEYS; key++) {
        const char *value = known_keys[key].takes & TAKES_INTEGER ? "\x01" : "\xa1x";
        size_t value_length = known_keys[key].takes & TAKES_INTEGER ? 1 : 2;
        uint8_t bytes[64];
        size_t length = known_write(bytes, key, value, value_length), at;

        bytes[0]++;
        at = length += msgpack_bytes_put_str(bytes + length, known_keys[key].name);
        length = add(bytes, length, value, value_length);
        assert_verdict(known_keys[key].direction, bytes, length, at, LINK_REFUSED);
    }
}

static void values_out_of_range_are_refused(void **state)
{
    uint8_t bytes[BYTES_MAX], value[BYTES_MAX];
    size_t length;

    (void)state;
    memset(value, 'x', sizeof value);

    length = pair_write(bytes, "waiting_every_ms", BYTES("\x00"));
    assert_verdict(REQUEST, bytes, length, length, LINK_REFUSED);
    length = pair_write(bytes, "waiting_every_ms", BYTES("\xcf\0\0\0\1\0\0\0\0"));
    assert_verdict(REQUEST, bytes, length, length, LINK_REFUSED);
    length = add(bytes, 0,
                 BYTES("\x83\xa3"
                       "ack\xa1x\xa6reason\xa1x\xa7refused\x00"));
    assert_verdict(ANSWER, bytes, length, length, LINK_REFUSED);
    length = pair_write(bytes, "reason", BYTES("\xa0"));
    assert_verdict(ANSWER, bytes, length, length, LINK_REFUSED);

    static const char *const texts[] = { "reason", "waiting", "goaway" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *key = texts[i];

        add(value, 0, "\xd9\x40", 2);
        length = pair_write(bytes, key, value, 2 + LINK_TEXT_BYTES_MAX);
        assert_verdict(ANSWER, bytes, length, length, LINK_FOUND);
        value[1]++;
        length = pair_write(bytes, key, value, 2 + LINK_TEXT_BYTES_MAX + 1);
        assert_verdict(ANSWER, bytes, length, length, LINK_REFUSED);
    }

    add(value, 0, "\xda\x03\xfd", 3);
    length = pair_write(bytes, "ack", value, ACK_ID_BYTES_MAX);
    assert_verdict(ANSWER, bytes, length, length, LINK_FOUND);
    value[2]++;
    length = pair_write(bytes, "ack", value, ACK_ID_BYTES_MAX + 1);
    assert_verdict(ANSWER, bytes, length, length, LINK_REFUSED);
}

/* "refused" needs an ack and a reason, and "window" needs a sender. No other key needs one. */
static void keys_need_each_other(void **state)
{
    static const struct {
        const char *bytes;
        size_t length;
        enum link_status verdict;
    } cases[] = {
        { BYTES("\x81\xa7refused\x01"), LINK_REFUSED },
        { BYTES("\x82\xa7refused\x01\xa3"
                "ack\xa1x"),
          LINK_REFUSED },
        { BYTES("\x82\xa7refused\x01\xa6reason\xa1x"), LINK_REFUSED },
        { BYTES("\x81\xa6window\x00"), LINK_REFUSED },
        { BYTES("\x81\xa6window\xc0"), LINK_REFUSED },
        { BYTES("\x81\xa6reason\xa1x"), LINK_FOUND },
        { BYTES("\x81\xa6sender\x01"), LINK_FOUND },
        { BYTES("\x82\xa3"
                "ack\xa1x\xa6reason\xa1x"),
          LINK_FOUND },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_verdict(ANSWER, cases[i].bytes, cases[i].length, cases[i].length, cases[i].verdict);
}

/* A frame is a map and nothing else is; an array is a message. */
static void the_first_byte_decides(void **state)
{
    (void)state;
    for (unsigned first = 0; first <= UINT8_MAX; first++) {
        uint8_t bytes[BYTES_MAX] = { (uint8_t)first };
        bool is_frame = link_is_frame((uint8_t)first);

        assert_int_equal(is_frame, (first >= 0x80 && first <= 0x8f) || first == 0xde || first == 0xdf);
        for (enum direction direction = REQUEST; direction <= ANSWER; direction++) {
            size_t taken;

            assert_true((parse(direction, bytes, sizeof bytes, &taken) == LINK_FOUND) == is_frame);
        }
    }
}

static void a_frame_has_a_maximum_length(void **state)
{
    enum { HEADER = 1 + 2 + 3 };
    uint8_t bytes[BYTES_MAX] = "\x81\xa1k\xc5";
    size_t body = LINK_FRAME_BYTES_MAX - HEADER;

    (void)state;
    bytes[4] = (uint8_t)(body >> 8);
    bytes[5] = (uint8_t)body;
    for (enum direction direction = REQUEST; direction <= ANSWER; direction++) {
        assert_verdict(direction, bytes, LINK_FRAME_BYTES_MAX + 1, LINK_FRAME_BYTES_MAX, LINK_FOUND);
        bytes[5]++; /* refused as soon as the length is known */
        assert_verdict(direction, bytes, LINK_FRAME_BYTES_MAX + 1, HEADER, LINK_REFUSED);
        bytes[5]--;
    }

    /* more pairs than there are bytes left for them */
    memset(bytes, 0x01, sizeof bytes);
    add(bytes, 0, "\xdf\xff\xff\xff\xff", 5);
    assert_verdict(REQUEST, bytes, 100, 5, LINK_REFUSED);
    add(bytes, 0, BYTES("\xde\x03\xfe")); /* 1022 pairs, 2047 bytes */
    assert_verdict(REQUEST, bytes, LINK_FRAME_BYTES_MAX, LINK_FRAME_BYTES_MAX - 1, LINK_FOUND);
    add(bytes, 0, BYTES("\xde\x03\xff"));
    assert_verdict(REQUEST, bytes, LINK_FRAME_BYTES_MAX, 3, LINK_REFUSED);
    add(bytes, 0, BYTES("\xde\x03\xfe\xd0")); /* the first key takes two bytes: still 2048 */
    assert_verdict(REQUEST, bytes, LINK_FRAME_BYTES_MAX, LINK_FRAME_BYTES_MAX, LINK_FOUND);
    add(bytes, 0, BYTES("\xde\x03\xfe\xd1"));
    assert_verdict(REQUEST, bytes, LINK_FRAME_BYTES_MAX, 7, LINK_REFUSED);
}

static void frames_stand_one_after_another(void **state)
{
    uint8_t bytes[2 * LINK_SHORT_BYTES_MAX + 1];
    struct link_request request;
    size_t first = link_write_gone(bytes, 300), length, taken;

    (void)state;
    length = first + link_write_sender(bytes + first, 301);
    bytes[length++] = 0x92; /* a message */
    assert_int_equal(link_request_parse(bytes, length, &taken, &request), LINK_FOUND);
    assert_true(taken == first && request.gone == 300 && !request.names_sender);
    assert_int_equal(link_request_parse(bytes + taken, length - taken, &taken, &request), LINK_FOUND);
    assert_true(taken == length - 1 - first && request.sender == 301 && !request.names_gone);
    assert_false(link_is_frame(bytes[first + taken]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_requests_are_read),
        cmocka_unit_test(written_answers_are_read),
        cmocka_unit_test(frames_are_written_as_specified),
        cmocka_unit_test(keys_may_be_combined),
        cmocka_unit_test(unknown_keys_are_skipped),
        cmocka_unit_test(keys_of_the_other_direction_are_skipped),
        cmocka_unit_test(headers_may_have_any_width),
        cmocka_unit_test(values_of_a_wrong_kind_are_refused),
        cmocka_unit_test(a_known_key_twice_is_refused),
        cmocka_unit_test(values_out_of_range_are_refused),
        cmocka_unit_test(keys_need_each_other),
        cmocka_unit_test(the_first_byte_decides),
        cmocka_unit_test(a_frame_has_a_maximum_length),
        cmocka_unit_test(frames_stand_one_after_another),
    };

    return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
