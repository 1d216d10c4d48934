/* proxy/delivery/chunk_ids.c: ids do not repeat, and are MessagePack strings. */
#include "delivery/chunk_ids.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

enum { IDS = 300 };

static void ids_do_not_repeat(void **state)
{
    static uint8_t values[IDS][CHUNK_ID_VALUE_BYTES];
    struct chunk_ids ids;

    (void)state;
    assert_true(chunk_ids_init(&ids));
    for (unsigned i = 0; i < IDS; i++) {
        chunk_ids_next(&ids, values[i]);
        for (unsigned before = 0; before < i; before++)
            assert_memory_not_equal(values[before], values[i], CHUNK_ID_VALUE_BYTES);
    }
}

static void two_workers_make_different_ids(void **state)
{
    uint8_t a[CHUNK_ID_VALUE_BYTES], b[CHUNK_ID_VALUE_BYTES];
    struct chunk_ids ids_a, ids_b;

    (void)state;
    assert_true(chunk_ids_init(&ids_a));
    assert_true(chunk_ids_init(&ids_b));
    chunk_ids_next(&ids_a, a);
    chunk_ids_next(&ids_b, b);
    assert_memory_not_equal(a, b, CHUNK_ID_VALUE_BYTES);
}

static void an_id_is_a_string_of_base64(void **state)
{
    struct chunk_ids ids = { .seed = UINT64_MAX };
    uint8_t value[CHUNK_ID_VALUE_BYTES];

    (void)state;
    chunk_ids_next(&ids, value);
    assert_int_equal(value[0], 0xa0 | CHUNK_ID_BYTES);
    /* The seed, then the count 1 as little-endian bytes. */
    assert_memory_equal(value + 1, "//////////8BAAAAAAAAAA~1", CHUNK_ID_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_do_not_repeat),
        cmocka_unit_test(two_workers_make_different_ids),
        cmocka_unit_test(an_id_is_a_string_of_base64),
    };

    return cmocka_run_group_tests_name("chunk_ids", tests, NULL, NULL);
}
