/* proxy/wire/resolver_memory.c: short and long blocks behave as those of malloc. */
#include "wire/resolver_memory.h"

#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

enum { LONG_BYTES = RESOLVER_MEMORY_MAPPED_BYTES };

static void blocks_of_all_lengths_can_be_written(void **state)
{
    static const size_t lengths[] = { 0, 1, LONG_BYTES - 1, LONG_BYTES, LONG_BYTES + 1, 100 * LONG_BYTES };

    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        char *block = resolver_memory_get(lengths[i]);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % alignof(max_align_t), 0);
        memset(block, 'x', lengths[i]);
        resolver_memory_free(block);
    }
    resolver_memory_free(NULL);
}

static void a_block_keeps_its_bytes_when_its_length_changes(void **state)
{
    static const size_t lengths[] = { 10, LONG_BYTES, 3 * LONG_BYTES, LONG_BYTES - 1, 10 };
    char *block = resolver_memory_resize(NULL, 10);

    (void)state;
    memcpy(block, "123456789", 10);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        block = resolver_memory_resize(block, lengths[i]);
        assert_string_equal(block, "123456789");
    }
    resolver_memory_free(block);
}

static void a_length_beyond_all_memory_gives_no_block(void **state)
{
    char *block = resolver_memory_get(10);

    (void)state;
    memcpy(block, "123456789", 10);
    assert_null(resolver_memory_get(SIZE_MAX));
    assert_null(resolver_memory_get(SIZE_MAX / 2));
    assert_null(resolver_memory_resize(block, SIZE_MAX / 2));
    assert_string_equal(block, "123456789");
    resolver_memory_free(block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_of_all_lengths_can_be_written),
        cmocka_unit_test(a_block_keeps_its_bytes_when_its_length_changes),
        cmocka_unit_test(a_length_beyond_all_memory_gives_no_block),
    };

    return cmocka_run_group_tests_name("resolver_memory", tests, NULL, NULL);
}
