/* proxy/wire/flight.c: the rest of a client's handshake, and data. */
#include "wire/flight.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

enum { CHANGE_CIPHER_SPEC = 20, ALERT = 21, HANDSHAKE = 22, DATA = 23, FINISHED = 53, LONG_FINISHED = 69 };

struct row {
    const char *what;
    bool has_data;
    struct {
        uint8_t type;
        uint16_t length;
    } records[5]; /* until type 0 */
};

static const struct row rows[] = {
    { "nothing", false, { { 0 } } },
    { "a flight of TLS 1.2",
      false,
      { { HANDSHAKE, 900 },
        { HANDSHAKE, 70 },
        { HANDSHAKE, 264 },
        { CHANGE_CIPHER_SPEC, 1 },
        { HANDSHAKE, 40 } } },
    { "an alert", false, { { ALERT, 2 } } },
    { "an empty record", false, { { HANDSHAKE, 0 }, { ALERT, 2 } } },
    { "a Finished", false, { { DATA, FINISHED } } },
    { "a Finished with SHA-384", false, { { CHANGE_CIPHER_SPEC, 1 }, { DATA, LONG_FINISHED } } },
    { "a Finished and data", true, { { DATA, FINISHED }, { DATA, 900 } } },
    { "two of that size", true, { { DATA, FINISHED }, { DATA, FINISHED } } },
    { "data alone", true, { { DATA, 900 } } },
    { "data of a byte more", true, { { DATA, FINISHED + 1 } } },
    { "data of a byte", true, { { DATA, 1 + 1 + 16 } } },
    { "data after handshake records", true, { { HANDSHAKE, 900 }, { HANDSHAKE, 70 }, { DATA, 900 } } },
};

static size_t row_write(const struct row *row, uint8_t *bytes)
{
    size_t at = 0;

    for (size_t i = 0; i < sizeof row->records / sizeof *row->records && row->records[i].type; i++) {
        uint16_t length = row->records[i].length;
        const uint8_t header[] = { row->records[i].type, 3, 3, (uint8_t)(length >> 8), (uint8_t)length };
        memcpy(bytes + at, header, sizeof header);
        memset(bytes + at + sizeof header, DATA, length); /* a body is no header */
        at += sizeof header + length;
    }
    return at;
}

static void records_are_told_apart_in_pieces_of_any_size(void **state)
{
    static const size_t sizes[] = { 1, 2, 3, 7, 64, 4096 };
    uint8_t bytes[4096];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t length = row_write(&rows[i], bytes);
        for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++) {
            struct flight flight = { 0 };
            for (size_t at = 0; at < length; at += sizes[j])
                flight_read(&flight, bytes + at, length - at < sizes[j] ? length - at : sizes[j]);
            if (flight.has_data != rows[i].has_data)
                fail_msg("%s, in pieces of %zu", rows[i].what, sizes[j]);
        }
    }
}

static void data_shows_at_its_header(void **state)
{
    struct flight flight = { 0 };

    (void)state;
    flight_read(&flight, (const uint8_t *)"\x17\x03\x03\x03", 4);
    assert_false(flight.has_data);
    flight_read(&flight, (const uint8_t *)"\x84", 1);
    assert_true(flight.has_data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_told_apart_in_pieces_of_any_size),
        cmocka_unit_test(data_shows_at_its_header),
    };

    return cmocka_run_group_tests_name("flight", tests, NULL, NULL);
}
