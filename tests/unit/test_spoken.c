/* proxy/wire/spoken.c: what a peer speaks, from its first bytes. */
#include "wire/spoken.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

struct opening {
    enum spoken spoken;
    size_t needed; /* bytes after which the answer is known */
    const char *bytes;
    size_t length;
};

#define OPENING(spoken, needed, bytes) { spoken, needed, bytes, sizeof(bytes) - 1 }

static const struct opening openings[] = {
    OPENING(SPOKEN_TLS, 2, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    OPENING(SPOKEN_TLS, 2, "\x16\x03\x03\x00\x7a\x02"),
    OPENING(SPOKEN_TLS, 2, "\x15\x03\x01\x00\x02\x02\x46"),
    OPENING(SPOKEN_HELO, 7, "\x92\xa4HELO\x83\xa5nonce\xc4\x10"),
    OPENING(SPOKEN_HELO, 7, "\x92\xa4HELO\x82\xa5nonce\xb0"),
    OPENING(SPOKEN_FORWARD, 7, "\x92\xa4HELO\x91\x92\x01\x80"), /* the tag HELO */
    OPENING(SPOKEN_FORWARD, 6, "\x92\xa4HEL\xc3\x01\xc4\x00"),
    OPENING(SPOKEN_FORWARD, 2, "\x92\xa3tag\x91\x92\x01\x80"),
    OPENING(SPOKEN_FORWARD, 2, "\x92\xd9\x20tagtagtag"),
    OPENING(SPOKEN_FORWARD, 2, "\x92\xdb\x00\x00\x00\x20tagtagtag"),
    OPENING(SPOKEN_FORWARD, 2, "\x92\xc4\x03tag\x90"),
    OPENING(SPOKEN_FORWARD, 1, "\x93\xa3tag\x01\x80"),
    OPENING(SPOKEN_FORWARD, 1, "\x94\xa3tag\x01\x80\xc0"),
    OPENING(SPOKEN_FORWARD, 1, "\xc0\x93\xa3tag\x01\x80"),
    OPENING(SPOKEN_FORWARD, 3, "\xdc\x00\x03\xa3tag\x01\x80"),
    OPENING(SPOKEN_FORWARD, 5, "\xdd\x00\x00\x00\x03\xa3tag\x01\x80"),
    OPENING(SPOKEN_ACK, 5,
            "\x81\xa3"
            "ack\xa3one"),
    OPENING(SPOKEN_ACK, 5,
            "\x82\xa3"
            "ack\xa3one\xa4link\x01"),
    OPENING(SPOKEN_PING, 6, "\x96\xa4PING\xa4host"),
    OPENING(SPOKEN_OTHER, 4, "\x96\xa4PONG"),
    OPENING(SPOKEN_ACK, 1, "\x80"),
    OPENING(SPOKEN_LINK, 18, "\x81\xb0waiting_every_ms\xcd\x03\xe8"),
    OPENING(SPOKEN_LINK, 8, "\x82\xa6sender\x07\xa6window\xc0"),
    OPENING(SPOKEN_LINK, 6, "\x81\xa4gone\x07"),
    OPENING(SPOKEN_HTTP_REQUEST, 4, "GET / HTTP/1.1\r\n"),
    OPENING(SPOKEN_HTTP_REQUEST, 5, "HEAD / HTTP/1.1\r\n"),
    OPENING(SPOKEN_HTTP_REQUEST, 5, "POST /logs HTTP/1.1\r\n"),
    OPENING(SPOKEN_HTTP_REQUEST, 4, "PUT / HTTP/1.1\r\n"),
    OPENING(SPOKEN_HTTP_REQUEST, 7, "DELETE / HTTP/1.1\r\n"),
    OPENING(SPOKEN_HTTP_REQUEST, 8, "OPTIONS * HTTP/1.1\r\n"),
    OPENING(SPOKEN_HTTP_REQUEST, 6, "PATCH / HTTP/1.1\r\n"),
    OPENING(SPOKEN_HTTP_REQUEST, 8, "CONNECT a:1 HTTP/1.1\r\n"),
    OPENING(SPOKEN_HTTP_REQUEST, 6, "TRACE / HTTP/1.1\r\n"),
    OPENING(SPOKEN_HTTP_REQUEST, 14, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    OPENING(SPOKEN_HTTP_RESPONSE, 5, "HTTP/1.1 400 Bad Request\r\n"),
    OPENING(SPOKEN_JSON, 1, "[\"tag\",1,{}]"),
    OPENING(SPOKEN_JSON, 1, "{\"ack\":\"one\"}"),
    OPENING(SPOKEN_PROXY, 6, "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"),
    OPENING(SPOKEN_PROXY, 12, "\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c"),
    OPENING(SPOKEN_SYSLOG, 4, "<34>1 2003-10-11T22:14:15.003Z host app - - -"),
    OPENING(SPOKEN_SYSLOG, 5, "<191>Oct 11 22:14:15 host su: text"),
    OPENING(SPOKEN_SYSLOG, 8, "117 <34>1 2003-10-11T22:14:15.003Z"),
    OPENING(SPOKEN_SSH, 4, "SSH-2.0-OpenSSH_9.2\r\n"),
    OPENING(SPOKEN_OTHER, 2, "\x16\x00\x00\x00\x05hello"),
    OPENING(SPOKEN_OTHER, 1, "\x00\x00\x00\x00"),
    OPENING(SPOKEN_OTHER, 1, "\x95\xa4PONG\xc3"),
    OPENING(SPOKEN_OTHER, 2, "\x92\x01\x02"),
    OPENING(SPOKEN_OTHER, 2, "\xdc\x01\x00"),
    OPENING(SPOKEN_OTHER, 3, "\x81\xa3key\x01"),
    OPENING(SPOKEN_OTHER, 4, "GETS the wrong word"),
    OPENING(SPOKEN_OTHER, 1, "hello"),
    OPENING(SPOKEN_OTHER, 2, "<html>"),
    OPENING(SPOKEN_OTHER, 5, "<1234>"),
    OPENING(SPOKEN_OTHER, 2, "<>"),
    OPENING(SPOKEN_OTHER, 8, "12345678 <34>1"),
    OPENING(SPOKEN_OTHER, 3, "12,34"),
    OPENING(SPOKEN_OTHER, 4, "12 34"),
};

static void expect(const struct opening *opening, size_t length, enum spoken spoken)
{
    enum spoken found = spoken_of((const uint8_t *)opening->bytes, length);

    if (found != spoken)
        fail_msg("%zu bytes of \"%s\": %s instead of %s", length, opening->bytes, spoken_name(found),
                 spoken_name(spoken));
}

static void each_protocol_is_known_from_its_first_bytes_and_not_before(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof openings / sizeof *openings; i++) {
        const struct opening *opening = &openings[i];
        assert_true(opening->needed <= SPOKEN_BYTES_MAX);
        for (size_t length = 0; length <= opening->length; length++)
            expect(opening, length,
                   !length                    ? SPOKEN_NOTHING
                   : length < opening->needed ? SPOKEN_UNCLEAR
                                              : opening->spoken);
    }
}

static void bytes_beyond_the_limit_are_never_needed(void **state)
{
    uint8_t bytes[SPOKEN_BYTES_MAX + 1];

    (void)state;
    for (unsigned first = 0; first < 256; first++) {
        for (unsigned filler = 0; filler < 256; filler++) {
            memset(bytes, (int)filler, sizeof bytes);
            bytes[0] = (uint8_t)first;
            assert_int_not_equal(spoken_of(bytes, SPOKEN_BYTES_MAX), SPOKEN_UNCLEAR);
            assert_int_equal(spoken_of(bytes, SPOKEN_BYTES_MAX), spoken_of(bytes, sizeof bytes));
        }
    }
}

static void every_protocol_has_its_own_name(void **state)
{
    (void)state;
    for (enum spoken one = 0; one < SPOKEN_COUNT; one++) {
        assert_non_null(spoken_name(one));
        for (enum spoken other = 0; other < one; other++)
            assert_string_not_equal(spoken_name(one), spoken_name(other));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_protocol_is_known_from_its_first_bytes_and_not_before),
        cmocka_unit_test(bytes_beyond_the_limit_are_never_needed),
        cmocka_unit_test(every_protocol_has_its_own_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
