#include "relay/endpoint.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

/* 127.0.0.1:port, one address for each port. */
static struct socket_address address_at(uint16_t port)
{
    struct address written = { .host = "127.0.0.1", .port = port };
    struct socket_address address;

    memset(&address, 0, sizeof address);
    assert_true(address_to_socket(&written, &address));
    return address;
}

static struct endpoint_list *list_of(const uint16_t *ports, size_t count)
{
    struct socket_address addresses[ENDPOINTS_MAX];

    for (size_t i = 0; i < count; i++)
        addresses[i] = address_at(ports[i]);
    struct endpoint_list *list = endpoint_list_new(addresses, count);
    assert_non_null(list);
    return list;
}

static const uint16_t three[] = { 1, 2, 3 };

static void expect_next(struct endpoint_walk *walk, const struct endpoint_pool *pool, uint64_t now_ms,
                        uint16_t port)
{
    struct socket_address expected = address_at(port);
    const struct socket_address *next = endpoint_walk_next(walk, pool, now_ms);

    assert_non_null(next);
    assert_memory_equal(&next->storage, &expected.storage, expected.length);
}

static void an_unresolved_pool_offers_no_walk(void **state)
{
    struct endpoint_pool pool = { 0 };
    struct endpoint_walk walk;

    (void)state;
    assert_false(endpoint_walk_begin(&walk, &pool));
    endpoint_pool_replace(&pool, list_of(three, 0));
    assert_false(endpoint_walk_begin(&walk, &pool));
    endpoint_pool_deinit(&pool);
}

static void walks_take_turns_and_visit_each_address_once(void **state)
{
    struct endpoint_pool pool = { 0 };

    (void)state;
    endpoint_pool_replace(&pool, list_of(three, 3));
    for (uint16_t start = 0; start < 6; start++) {
        struct endpoint_walk walk;
        assert_true(endpoint_walk_begin(&walk, &pool));
        for (uint16_t i = 0; i < 3; i++)
            expect_next(&walk, &pool, 0, (uint16_t)((start + i) % 3 + 1));
        assert_null(endpoint_walk_next(&walk, &pool, 0));
        endpoint_walk_end(&walk);
    }
    endpoint_pool_deinit(&pool);
}

static void a_failed_address_is_tried_last_until_it_has_rested(void **state)
{
    struct endpoint_pool pool = { 0 };
    struct endpoint_walk walk;

    (void)state;
    endpoint_pool_replace(&pool, list_of(three, 3));
    assert_true(endpoint_walk_begin(&walk, &pool));
    expect_next(&walk, &pool, 1000, 1);
    endpoint_walk_report(&walk, &pool, ENDPOINT_FAILED, 1000, 500);
    endpoint_walk_end(&walk);

    pool.next = 0;
    assert_true(endpoint_walk_begin(&walk, &pool));
    expect_next(&walk, &pool, 1499, 2);
    expect_next(&walk, &pool, 1499, 3);
    expect_next(&walk, &pool, 1499, 1); /* at last, rather than none */
    endpoint_walk_end(&walk);

    pool.next = 0;
    assert_true(endpoint_walk_begin(&walk, &pool));
    expect_next(&walk, &pool, 1500, 1);
    endpoint_walk_report(&walk, &pool, ENDPOINT_WORKED, 1500, 0);
    endpoint_walk_end(&walk);
    endpoint_pool_deinit(&pool);
}

static void a_new_list_keeps_what_is_known_of_addresses_that_stay(void **state)
{
    static const uint16_t changed[] = { 4, 1 };
    struct endpoint_pool pool = { 0 };
    struct endpoint_walk walk;

    (void)state;
    endpoint_pool_replace(&pool, list_of(three, 3));
    assert_true(endpoint_walk_begin(&walk, &pool));
    expect_next(&walk, &pool, 0, 1);
    endpoint_walk_report(&walk, &pool, ENDPOINT_FAILED, 0, 500);
    endpoint_pool_replace(&pool, list_of(changed, 2));
    assert_int_equal(pool.rested_until_ms[0], 0);
    assert_int_equal(pool.rested_until_ms[1], 500);
    /* The walk that began before goes on over its own list, and what it finds is not filed under another
     * address. */
    expect_next(&walk, &pool, 0, 2);
    endpoint_walk_report(&walk, &pool, ENDPOINT_FAILED, 0, 900);
    assert_int_equal(pool.rested_until_ms[1], 500);
    endpoint_walk_end(&walk);
    endpoint_pool_deinit(&pool);
}

static void lists_are_equal_whatever_their_order(void **state)
{
    static const uint16_t turned[] = { 3, 1, 2 }, other[] = { 1, 2, 4 };
    struct endpoint_list *list = list_of(three, 3), *same = list_of(turned, 3),
                         *different = list_of(other, 3), *shorter = list_of(three, 2);

    (void)state;
    assert_true(endpoint_list_equal(list, same));
    assert_false(endpoint_list_equal(list, different));
    assert_false(endpoint_list_equal(list, shorter));
    assert_false(endpoint_list_equal(shorter, list));
    endpoint_list_release(list);
    endpoint_list_release(same);
    endpoint_list_release(different);
    endpoint_list_release(shorter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unresolved_pool_offers_no_walk),
        cmocka_unit_test(walks_take_turns_and_visit_each_address_once),
        cmocka_unit_test(a_failed_address_is_tried_last_until_it_has_rested),
        cmocka_unit_test(a_new_list_keeps_what_is_known_of_addresses_that_stay),
        cmocka_unit_test(lists_are_equal_whatever_their_order),
    };

    return cmocka_run_group_tests_name("endpoint", tests, NULL, NULL);
}
