#include "forward/entries.h"

#include "support/body_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

enum { RANDOM_BODIES = 300 };

struct fixture {
    struct bytes body, expected, got;
};

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct fixture));
    return *state == NULL;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

/* Walks the body in slices that end at `first` and `second`. fixture->got has the bytes that stay. */
static void walk(struct fixture *fixture, struct entries *entries, size_t first, size_t second)
{
    const size_t ends[] = { first, second, fixture->body.length };
    size_t at = 0;

    fixture->got.length = 0;
    entries_init(entries);
    for (unsigned i = 0; i < 3; i++) {
        uint8_t *slice = malloc(ends[i] - at + 1); /* a block of its own: a sanitizer sees a read past it */
        size_t length = ends[i] - at, taken = 0;
        memcpy(slice, fixture->body.at + at, length);
        slice = realloc(slice, length ? length : 1);
        while (taken < length && !entries->refused) {
            bool goes;
            size_t part = entries_feed(entries, slice + taken, length - taken, &goes);
            assert_in_range(part, 1, length - taken);
            if (!goes) {
                memcpy(fixture->got.at + fixture->got.length, slice + taken, part);
                fixture->got.length += part;
            }
            taken += part;
        }
        free(slice);
        at = ends[i];
    }
}

static void expect_stripped(struct fixture *fixture, size_t first, size_t second)
{
    const struct body_options options = { .strip_metadata = true };
    struct body_check_counts counts;
    struct entries entries;

    assert_true(body_check_filter(&fixture->expected, &fixture->body, &options, &counts));
    walk(fixture, &entries, first, second);
    assert_false(entries.refused);
    assert_true(entries_is_between(&entries));
    assert_int_equal(entries.count, counts.left);
    assert_int_equal(entries.kinds[ENTRY_EVENT], counts.left);
    assert_int_equal(entries.with_metadata, counts.with_metadata);
    assert_int_equal(entries.bytes, fixture->body.length);
    assert_int_equal(entries.staying, fixture->expected.length);
    assert_int_equal(fixture->got.length, fixture->expected.length);
    assert_memory_equal(fixture->got.at, fixture->expected.at, fixture->expected.length);
}

static void set(struct fixture *fixture, const char *bytes, size_t length)
{
    memcpy(fixture->body.at, bytes, length);
    fixture->body.length = length;
}

#define SET(fixture, text) set(fixture, text, sizeof(text) - 1)

/* Every kind of time and header, and empty values. */
static const char all_forms[] =
    "\x92\x92\xd7\x00\x6b\x03\xd1\xdd\x09\xc2\xbc\x8f\x80\x82\xa7message\xa5hello\xa1k\x01" /* Fluent Bit 5 */
    "\x92\x05\x80"
    "\xdc\x00\x02\xdc\x00\x02\x05\x81\xa1m\x92\x92\x01\x02\x80\x81\xa1r\x92\x92\x05\x80\x80"
    "\xdd\x00\x00\x00\x02\xdd\x00\x00\x00\x02\xcb\x92\x92\x92\x92\x92\x92\x92\x92\xdf\x00\x00\x00\x01"
    "\xa0\xc4\x02\x92\x92\xde\x00\x01\xc0\xc7\x03\x01\x92\x92\x92"
    "\x92\xca\x92\x92\x92\x92\x80"
    "\x92\xc7\x08\x00\x92\x92\x92\x92\x92\x92\x92\x92\x80"
    "\x92\x92\xc0\x80\x80"
    "\x92\xc0\x80";

static void only_metadata_is_removed_wherever_slices_end(void **state)
{
    struct fixture *fixture = *state;

    SET(fixture, all_forms);
    for (size_t first = 0; first <= fixture->body.length; first++) {
        for (size_t second = first; second <= fixture->body.length; second++)
            expect_stripped(fixture, first, second);
    }
}

/* Walks the body entry by entry in slices that end at `cut`. The ends of the entries go to `ends`. */
static unsigned walk_by_entry(const struct bytes *body, size_t cut, size_t *ends)
{
    struct entries entries;
    unsigned found = 0;

    entries_init(&entries);
    for (size_t at = 0; at < body->length;) {
        size_t end = at < cut ? cut : body->length;
        bool goes;
        at += entries_feed_one(&entries, body->at + at, end - at, &goes);
        assert_false(entries.refused);
        assert_int_equal(entries.bytes, at);
        if (entries.count > found) {
            assert_true(entries_is_between(&entries));
            ends[found++] = at;
        }
    }
    assert_true(entries_is_between(&entries));
    return found;
}

static void a_walk_by_entry_stops_at_each_entry_wherever_slices_end(void **state)
{
    struct fixture *fixture = *state;
    size_t ends[16], expected[16];

    SET(fixture, all_forms);
    unsigned count = walk_by_entry(&fixture->body, fixture->body.length, expected);
    for (unsigned i = 0; i < count; i++) { /* each entry is one on its own */
        size_t start = i ? expected[i - 1] : 0;
        memcpy(fixture->got.at, fixture->body.at + start, expected[i] - start);
        fixture->got.length = expected[i] - start;
        assert_int_equal(walk_by_entry(&fixture->got, 0, ends), 1);
    }
    for (size_t cut = 1; cut < fixture->body.length; cut++) {
        assert_int_equal(walk_by_entry(&fixture->body, cut, ends), count);
        assert_memory_equal(ends, expected, count * sizeof *ends);
    }
}

static void bytes_that_are_no_messagepack_are_refused_wherever_slices_end(void **state)
{
    static const struct {
        const char *bytes;
        size_t length;
    } cases[] = {
#define CASE(text) { text, sizeof(text) - 1 }
        CASE("\x92\x01\x81\xc1\x01"), /* the byte that MessagePack does not use */
        CASE("\xc1"),
        CASE("\x92\xc1"),
        CASE("\x92\x92\xc1"),
        CASE("\x92\x92\x01\xc1"),
        CASE("\x92\x01\xc1"),
        CASE("\x93\x01\xc1"),
        CASE("\x92\x01\x84\x01\xc1\x01\x01\x01\x01\x01\x01"),
        CASE("\x92\x01\xdf\xff\xff\xff\xff\x01\x01"), /* more values than a body has bytes */
        CASE("\x92\x01\x81\x01\xdd\xff\xff\xff\xff\xdd\xff\xff\xff\xff"),
#undef CASE
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        set(fixture, cases[i].bytes, cases[i].length);
        for (size_t cut = 0; cut <= cases[i].length; cut++) {
            struct entries entries;
            walk(fixture, &entries, cut, cut);
            if (!entries.refused || entries_is_between(&entries))
                fail_msg("case %zu cut at %zu was not refused", i, cut);
        }
    }
}

static void other_values_are_invalid_entries_wherever_slices_end(void **state)
{
    static const struct {
        const char *bytes;
        size_t length;
        enum event_fault fault;
    } cases[] = {
#define CASE(text, fault) { text, sizeof(text) - 1, fault }
        CASE("\x80", EVENT_FAULT_ENTRY), /* a map */
        CASE("\x82\x01\x92\x01\x80\x02\xa0", EVENT_FAULT_ENTRY),
        CASE("\x01", EVENT_FAULT_ENTRY), /* a number */
        CASE("\xc0", EVENT_FAULT_ENTRY),
        CASE("\x90", EVENT_FAULT_ENTRY),             /* no element */
        CASE("\x91\x92\x01\x80", EVENT_FAULT_ENTRY), /* one */
        CASE("\x93\x01\x80\x80", EVENT_FAULT_ENTRY), /* three */
        CASE("\x92\xa1t\x80", EVENT_FAULT_TIME),     /* a str for a time */
        CASE("\x92\xa1t\xc0", EVENT_FAULT_TIME),
        CASE("\x92\xc2\x81\x01\x92\x01\x80", EVENT_FAULT_TIME),
        CASE("\x92\x81\x01\x02\x80", EVENT_FAULT_TIME),
        CASE("\x92\x91\x01\x80", EVENT_FAULT_TIME),
        CASE("\x92\x93\x01\x80\x80\x80", EVENT_FAULT_TIME),
        CASE("\x92\x92\x92\x01\x80\x80\x80", EVENT_FAULT_TIME), /* a pair in a pair */
        CASE("\x92\x92\xa1t\x80\x80", EVENT_FAULT_TIME),
        CASE("\x92\x92\x01\x90\x80", EVENT_FAULT_ENTRY), /* an array for metadata */
        CASE("\x92\x92\x01\xc0\x81\x01\x02", EVENT_FAULT_ENTRY),
        CASE("\x92\x01\x90", EVENT_FAULT_RECORD), /* an array for a record */
        CASE("\x92\x01\x92\x01\x80", EVENT_FAULT_RECORD),
        CASE("\x92\x92\x01\x80\xd9\x01x", EVENT_FAULT_RECORD),
        CASE("\x92\xd7\x00\xff\xff\xff\xff\x00\x00\x00\x00\xc0", EVENT_FAULT_RECORD),
        CASE("\x92\x92\xd7\x00\xff\xff\xff\xff\x00\x00\x00\x00\x80\x01", EVENT_FAULT_RECORD),
#undef CASE
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        SET(fixture, "\x92\x05\x80");
        memcpy(fixture->body.at + 3, cases[i].bytes, cases[i].length);
        memcpy(fixture->body.at + 3 + cases[i].length, "\x92\x92\x05\x80\x80", 5);
        fixture->body.length += cases[i].length + 5;
        for (size_t cut = 0; cut <= fixture->body.length; cut++) {
            struct entries entries;
            walk(fixture, &entries, cut, cut);
            assert_true(entries_is_between(&entries));
            if (entries.count != 3 || entries.kinds[ENTRY_INVALID] != 1 ||
                entries.faults[cases[i].fault] != 1)
                fail_msg("case %zu cut at %zu", i, cut);
            assert_int_equal(entries.with_metadata, 1);
        }
    }
}

static void markers_are_recognised_wherever_slices_end(void **state)
{
    static const struct {
        const char *bytes;
        size_t length;
        enum entry_kind kind;
    } cases[] = {
#define CASE(text, kind) { text, sizeof(text) - 1, kind }
        CASE("\x92\x92\xd7\x00\xff\xff\xff\xff\x00\x00\x00\x00\x80\x80", ENTRY_MARKER),
        CASE("\x92\x92\xd7\x00\xff\xff\xff\xfe\x00\x00\x00\x07\x81\x01\x02\x81\x01\x02", ENTRY_MARKER),
        CASE("\x92\x92\xc7\x08\x00\xff\xff\xff\xff\x00\x00\x00\x00\x80\x80", ENTRY_MARKER),
        CASE("\x92\x92\xd7\x00\xff\xff\xff\xfd\x00\x00\x00\x00\x80\x80", ENTRY_EVENT),
        CASE("\x92\x92\xd7\x01\xff\xff\xff\xff\x00\x00\x00\x00\x80\x80", ENTRY_EVENT),
        CASE("\x92\x92\xd3\xff\xff\xff\xff\xff\xff\xff\xff\x80\x80", ENTRY_EVENT),
        CASE("\x92\x92\xff\x80\x80", ENTRY_EVENT),
        CASE("\x92\xd7\x00\xff\xff\xff\xff\x00\x00\x00\x00\x80", ENTRY_EVENT), /* no metadata */
#undef CASE
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        set(fixture, cases[i].bytes, cases[i].length);
        memcpy(fixture->body.at + cases[i].length, "\x92\x92\x05\x80\x80", 5); /* its time is none of these */
        fixture->body.length += 5;
        for (size_t cut = 0; cut <= fixture->body.length; cut++) {
            struct entries entries;
            walk(fixture, &entries, cut, cut);
            assert_int_equal(entries.count, 2);
            assert_int_equal(entries.kinds[ENTRY_MARKER], cases[i].kind == ENTRY_MARKER);
            assert_int_equal(entries.kinds[ENTRY_INVALID], 0);
            assert_int_equal(entries.last, ENTRY_EVENT);
        }
    }
}

static void a_body_may_end_between_entries_only(void **state)
{
    struct fixture *fixture = *state;
    struct entries entries;

    SET(fixture, all_forms);
    size_t whole = fixture->body.length;
    uint64_t count = 0;
    for (size_t length = 1; length <= whole; length++) {
        fixture->body.length = length;
        walk(fixture, &entries, length, length);
        assert_false(entries.refused);
        assert_int_equal(entries_is_between(&entries), entries.count > count);
        count = entries.count;
    }
    assert_int_equal(count, 8);
}

/* ---- generated bodies ---- */

static void pack_value(msgpack_packer *packer, unsigned depth)
{
    char text[300] = "\x92\x92";
    unsigned size = (unsigned)rand() % (rand() % 8 ? 12 : 300),
             count = (unsigned)rand() % (rand() % 8 ? 4 : 20);

    switch (rand() % (depth < 4 ? 7 : 4)) {
    case 0:
        msgpack_pack_int64(packer, rand() % 3 ? rand() % 200 - 100 : (int64_t)rand() * rand());
        break;
    case 1:
        msgpack_pack_str_with_body(packer, text, size);
        break;
    case 2:
        msgpack_pack_bin_with_body(packer, text, size);
        break;
    case 3:
        msgpack_pack_double(packer, rand() / 7.0);
        break;
    case 4:
        msgpack_pack_array(packer, count);
        for (unsigned i = 0; i < count; i++)
            pack_value(packer, depth + 1);
        break;
    default:
        msgpack_pack_map(packer, count);
        for (unsigned i = 0; i < 2 * count; i++)
            pack_value(packer, depth + 1);
        break;
    }
}

static void pack_map(msgpack_packer *packer)
{
    unsigned pairs = (unsigned)rand() % 5;

    msgpack_pack_map(packer, pairs);
    for (unsigned i = 0; i < 2 * pairs; i++)
        pack_value(packer, 2);
}

static void generated_bodies_agree_with_msgpack_c(void **state)
{
    struct fixture *fixture = *state;

    srand(20);
    for (unsigned round = 0; round < RANDOM_BODIES; round++) {
        msgpack_sbuffer packed;
        msgpack_packer packer;
        msgpack_sbuffer_init(&packed);
        msgpack_packer_init(&packer, &packed, msgpack_sbuffer_write);
        for (int left = rand() % 20; left > 0; left--) {
            bool is_pair = rand() % 2;
            msgpack_pack_array(&packer, 2);
            if (is_pair)
                msgpack_pack_array(&packer, 2);
            msgpack_pack_int64(&packer, rand());
            if (is_pair)
                pack_map(&packer);
            pack_map(&packer);
        }
        assert_in_range(packed.size, 0, sizeof fixture->body.at);
        if (packed.size)
            set(fixture, packed.data, packed.size);
        fixture->body.length = packed.size;
        size_t first = packed.size ? (size_t)rand() % packed.size : 0;
        expect_stripped(fixture, first, first + (packed.size ? (size_t)rand() % (packed.size - first) : 0));
        msgpack_sbuffer_destroy(&packed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_metadata_is_removed_wherever_slices_end, setup, teardown),
        cmocka_unit_test_setup_teardown(a_walk_by_entry_stops_at_each_entry_wherever_slices_end, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(bytes_that_are_no_messagepack_are_refused_wherever_slices_end, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(other_values_are_invalid_entries_wherever_slices_end, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(markers_are_recognised_wherever_slices_end, setup, teardown),
        cmocka_unit_test_setup_teardown(a_body_may_end_between_entries_only, setup, teardown),
        cmocka_unit_test_setup_teardown(generated_bodies_agree_with_msgpack_c, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
