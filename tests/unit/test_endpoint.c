#include "link/endpoint.h"

#include "support/addresses.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

enum { MIN_MS = 500, MAX_MS = 1500 };

struct place {
    uint16_t port;
    unsigned weight, tier;
    const char *server_name;
};

static struct endpoint_list *list_of(const struct place *places, size_t count)
{
    struct endpoint endpoints[ENDPOINTS_MAX];

    for (size_t i = 0; i < count; i++)
        endpoints[i] = (struct endpoint) { .address = addresses_at_port(places[i].port),
                                           .weight = places[i].weight,
                                           .tier = places[i].tier,
                                           .server_name = places[i].server_name };
    struct endpoint_list *list = endpoint_list_new(endpoints, count);
    assert_non_null(list);
    return list;
}

static const struct place three[] = { { 1, 1, 0, NULL }, { 2, 1, 0, NULL }, { 3, 1, 0, NULL } };

static void pool_of(struct endpoint_pool *pool, const struct place *places, size_t count)
{
    endpoint_pool_init(pool, MIN_MS, MAX_MS, 0);
    assert_true(endpoint_pool_replace(pool, list_of(places, count)));
}

static void expect_next(struct endpoint_walk *walk, struct endpoint_pool *pool, uint64_t now_ms,
                        uint16_t port)
{
    struct socket_address expected = addresses_at_port(port);
    const struct endpoint *next = endpoint_walk_next(walk, pool, now_ms);

    assert_non_null(next);
    assert_memory_equal(&next->address.storage, &expected.storage, expected.length);
}

/* A dial that begins with `port` and ends so. */
static void dial(struct endpoint_pool *pool, uint64_t now_ms, uint16_t port, enum endpoint_outcome outcome)
{
    struct endpoint_walk walk;

    assert_true(endpoint_walk_begin(&walk, pool));
    expect_next(&walk, pool, now_ms, port);
    endpoint_walk_report(&walk, pool, outcome, now_ms);
    endpoint_walk_end(&walk);
}

static void expect_walk(struct endpoint_pool *pool, uint64_t now_ms, const uint16_t *ports, size_t count)
{
    struct endpoint_walk walk;

    assert_true(endpoint_walk_begin(&walk, pool));
    for (size_t i = 0; i < count; i++)
        expect_next(&walk, pool, now_ms, ports[i]);
    assert_null(endpoint_walk_next(&walk, pool, now_ms));
    endpoint_walk_end(&walk);
}

#define EXPECT_WALK(pool, now_ms, ...)                                                                       \
    expect_walk(pool, now_ms, (const uint16_t[]) { __VA_ARGS__ },                                            \
                sizeof((const uint16_t[]) { __VA_ARGS__ }) / sizeof(uint16_t))

static void an_unresolved_pool_offers_no_walk(void **state)
{
    struct endpoint_pool pool = { 0 };
    struct endpoint_walk walk;

    (void)state;
    assert_false(endpoint_walk_begin(&walk, &pool));
    assert_false(endpoint_walk_begin_at(&walk, &pool, 0));
    assert_true(endpoint_pool_replace(&pool, list_of(three, 0)));
    assert_false(endpoint_walk_begin(&walk, &pool));
    endpoint_pool_deinit(&pool);
}

static void walks_take_turns_and_visit_each_address_once(void **state)
{
    struct endpoint_pool pool;

    (void)state;
    pool_of(&pool, three, 3);
    for (uint16_t round = 0; round < 6; round++) {
        struct endpoint_walk walk;
        assert_true(endpoint_walk_begin(&walk, &pool));
        expect_next(&walk, &pool, 0, (uint16_t)(1 + round % 3));
        endpoint_walk_end(&walk);
    }
    EXPECT_WALK(&pool, 0, 1, 2, 3);
    endpoint_pool_deinit(&pool);
}

static void turns_are_taken_by_weight_and_evenly_spread(void **state)
{
    static const struct place places[] = { { 1, 300, 0, NULL }, { 2, 100, 0, NULL } };
    struct endpoint_pool pool;

    (void)state;
    pool_of(&pool, places, 2);
    for (int round = 0; round < 100; round++) {
        dial(&pool, 0, 1, ENDPOINT_WORKED);
        dial(&pool, 0, 1, ENDPOINT_WORKED);
        dial(&pool, 0, 2, ENDPOINT_WORKED);
        dial(&pool, 0, 1, ENDPOINT_WORKED);
    }
    endpoint_pool_deinit(&pool);
}

static void pools_with_different_seeds_begin_in_proportion_to_weight(void **state)
{
    static const struct place places[] = { { 1, 300, 0, NULL }, { 2, 100, 0, NULL } };
    struct socket_address heavy = addresses_at_port(1);
    unsigned begun = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct endpoint_pool pool;
        struct endpoint_walk walk;
        endpoint_pool_init(&pool, 0, 0, seed * UINT64_C(0x9e3779b97f4a7c15));
        assert_true(endpoint_pool_replace(&pool, list_of(places, 2)));
        assert_true(endpoint_walk_begin(&walk, &pool));
        const struct endpoint *next = endpoint_walk_next(&walk, &pool, 0);
        begun += memcmp(&next->address, &heavy, sizeof heavy) == 0;
        endpoint_walk_end(&walk);
        endpoint_pool_deinit(&pool);
    }
    assert_in_range(begun, 260, 340);
}

static void higher_tiers_are_tried_after_lower_ones_and_rested_ones_last(void **state)
{
    static const struct place places[] = {
        { 9, 1, 2, NULL }, { 1, 1, 0, NULL }, { 5, 1, 1, NULL }, { 2, 1, 0, NULL }
    };
    struct endpoint_pool pool;

    (void)state;
    pool_of(&pool, places, 4);
    EXPECT_WALK(&pool, 0, 1, 2, 5, 9);
    dial(&pool, 1000, 2, ENDPOINT_FAILED);
    dial(&pool, 1100, 1, ENDPOINT_FAILED);
    dial(&pool, 1200, 5, ENDPOINT_FAILED);
    dial(&pool, 1300, 9, ENDPOINT_FAILED);
    EXPECT_WALK(&pool, 1499, 2, 1, 5, 9);
    dial(&pool, 1500, 2, ENDPOINT_WORKED); /* back, and its tier is used alone again */
    EXPECT_WALK(&pool, 1599, 2, 1, 5, 9);
    dial(&pool, 1600, 1, ENDPOINT_WORKED);
    dial(&pool, 1600, 2, ENDPOINT_WORKED);
    endpoint_pool_deinit(&pool);
}

static void a_failed_address_is_tried_last_until_it_has_rested(void **state)
{
    struct endpoint_pool pool;

    (void)state;
    pool_of(&pool, three, 3);
    dial(&pool, 1000, 1, ENDPOINT_FAILED);
    assert_true(endpoint_is_ejected(&pool, 0, 1499));
    assert_false(endpoint_is_ejected(&pool, 0, 1500));
    assert_false(endpoint_is_ejected(&pool, 1, 1499));
    EXPECT_WALK(&pool, 1499, 2, 3, 1);
    endpoint_pool_deinit(&pool);
}

static void rests_double_up_to_the_maximum_and_a_success_resets_them(void **state)
{
    static const uint64_t rests[] = { 500, 1000, 1500, 1500, 500 };
    struct endpoint_pool pool;
    uint64_t now_ms = 1000;

    (void)state;
    pool_of(&pool, three, 1);
    for (size_t i = 0; i < 5; i++) {
        if (i == 4)
            dial(&pool, now_ms, 1, ENDPOINT_WORKED);
        dial(&pool, now_ms, 1, ENDPOINT_FAILED);
        assert_true(endpoint_is_ejected(&pool, 0, now_ms + rests[i] - 1));
        assert_false(endpoint_is_ejected(&pool, 0, now_ms + rests[i]));
        /* What was dialled before, or dialled because nothing else is left, tells nothing new. */
        dial(&pool, now_ms + 1, 1, ENDPOINT_FAILED);
        now_ms += rests[i];
        assert_false(endpoint_is_ejected(&pool, 0, now_ms));
    }
    endpoint_pool_deinit(&pool);
}

static void rests_are_up_to_a_quarter_longer_by_chance(void **state)
{
    uint64_t shortest = UINT64_MAX, longest = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct endpoint_pool pool;
        endpoint_pool_init(&pool, MIN_MS, MAX_MS, seed * UINT64_C(0x9e3779b97f4a7c15));
        assert_true(endpoint_pool_replace(&pool, list_of(three, 1)));
        dial(&pool, 1000, 1, ENDPOINT_FAILED);
        uint64_t rest = pool.status[0].ejected_until_ms - 1000;
        shortest = rest < shortest ? rest : shortest;
        longest = rest > longest ? rest : longest;
        endpoint_pool_deinit(&pool);
    }
    assert_in_range(shortest, MIN_MS, MIN_MS + MIN_MS / 16);
    assert_in_range(longest, MIN_MS + MIN_MS / 6, MIN_MS + MIN_MS / 4);
}

static void one_dial_at_a_time_tries_an_address_that_has_rested(void **state)
{
    struct endpoint_pool pool;
    struct endpoint_walk trial;

    (void)state;
    pool_of(&pool, three, 2);
    dial(&pool, 1000, 1, ENDPOINT_FAILED);
    assert_true(endpoint_walk_begin_at(&trial, &pool, 0));
    expect_next(&trial, &pool, 1500, 1);
    assert_true(endpoint_is_ejected(&pool, 0, 1600));
    dial(&pool, 1600, 2, ENDPOINT_WORKED);
    dial(&pool, 1600, 2, ENDPOINT_WORKED);
    endpoint_walk_report(&trial, &pool, ENDPOINT_FAILED, 1700); /* counts: the second failure */
    assert_true(endpoint_is_ejected(&pool, 0, 2699));
    endpoint_walk_end(&trial);

    /* Nobody hears of a trial that was given up: it does not last. */
    assert_true(endpoint_walk_begin_at(&trial, &pool, 0));
    expect_next(&trial, &pool, 2700, 1);
    endpoint_walk_end(&trial);
    assert_true(endpoint_is_ejected(&pool, 0, 3699));
    assert_false(endpoint_is_ejected(&pool, 0, 3700));
    endpoint_pool_deinit(&pool);
}

static void a_walk_of_one_goes_nowhere_else(void **state)
{
    struct endpoint_pool pool;
    struct endpoint_walk walk;

    (void)state;
    pool_of(&pool, three, 3);
    assert_false(endpoint_walk_begin_at(&walk, &pool, 3));
    for (size_t at = 0; at < 3; at++) {
        assert_true(endpoint_walk_begin_at(&walk, &pool, at));
        expect_next(&walk, &pool, 0, (uint16_t)(at + 1));
        endpoint_walk_report(&walk, &pool, ENDPOINT_FAILED, 0);
        assert_null(endpoint_walk_next(&walk, &pool, 0));
        endpoint_walk_end(&walk);
        assert_true(endpoint_walk_begin_at(&walk, &pool, at)); /* also when it rests */
        expect_next(&walk, &pool, 0, (uint16_t)(at + 1));
        assert_null(endpoint_walk_next(&walk, &pool, 0));
        endpoint_walk_end(&walk);
    }
    endpoint_pool_deinit(&pool);
}

static void a_new_list_keeps_what_is_known_of_addresses_that_stay(void **state)
{
    static const struct place changed[] = { { 4, 1, 0, NULL }, { 1, 2, 3, NULL }, { 2, 1, 0, NULL } };
    struct endpoint_pool pool;
    struct endpoint_walk walk;

    (void)state;
    pool_of(&pool, three, 3);
    assert_true(endpoint_walk_begin(&walk, &pool));
    expect_next(&walk, &pool, 0, 1);
    endpoint_walk_report(&walk, &pool, ENDPOINT_FAILED, 0);
    assert_true(endpoint_pool_replace(&pool, list_of(changed, 3)));
    assert_false(endpoint_is_ejected(&pool, 0, 0));
    assert_true(endpoint_is_ejected(&pool, 1, 499));
    assert_false(endpoint_is_ejected(&pool, 1, 500));
    /* The walk that began before goes on over its own list; what it finds is filed where the address is now,
     * if it still is. */
    expect_next(&walk, &pool, 600, 2);
    endpoint_walk_report(&walk, &pool, ENDPOINT_FAILED, 600);
    assert_true(endpoint_is_ejected(&pool, 2, 1099));
    assert_false(endpoint_is_ejected(&pool, 1, 600));
    expect_next(&walk, &pool, 600, 3);
    endpoint_walk_report(&walk, &pool, ENDPOINT_FAILED, 600);
    assert_false(endpoint_is_ejected(&pool, 0, 600));
    assert_null(endpoint_walk_next(&walk, &pool, 600));
    endpoint_walk_end(&walk);
    endpoint_pool_deinit(&pool);
}

/* The list changes from {1/a, 1/b, 2/a} to {1/B., 2/b, 2/A, 1/c}. */
static void names_at_one_address_have_a_health_of_their_own(void **state)
{
    static const struct place before[] = { { 1, 1, 0, "a" }, { 1, 1, 0, "b" }, { 2, 1, 0, "a" } };
    static const struct place after[] = {
        { 1, 1, 0, "B." }, { 2, 1, 0, "b" }, { 2, 1, 0, "A" }, { 1, 1, 0, "c" }
    };
    struct endpoint_pool pool;
    struct endpoint_walk walk;

    (void)state;
    pool_of(&pool, before, 3);
    assert_true(endpoint_walk_begin_at(&walk, &pool, 1));
    assert_string_equal(endpoint_walk_next(&walk, &pool, 0)->server_name, "b");
    endpoint_walk_report(&walk, &pool, ENDPOINT_FAILED, 0);
    assert_false(endpoint_is_ejected(&pool, 0, 0));
    assert_true(endpoint_is_ejected(&pool, 1, 499));

    assert_true(endpoint_pool_replace(&pool, list_of(after, 4)));
    assert_true(endpoint_is_ejected(&pool, 0, 499));
    for (size_t at = 1; at < 4; at++)
        assert_false(endpoint_is_ejected(&pool, at, 0));
    endpoint_walk_report(&walk, &pool, ENDPOINT_WORKED,
                         100); /* the old list's endpoint is found by its name */
    assert_false(endpoint_is_ejected(&pool, 0, 100));
    endpoint_walk_end(&walk);

    assert_true(endpoint_walk_begin_at(&walk, &pool, 2));
    assert_string_equal(endpoint_walk_next(&walk, &pool, 200)->server_name, "A");
    endpoint_walk_report(&walk, &pool, ENDPOINT_FAILED, 200);
    endpoint_walk_end(&walk);
    assert_false(endpoint_is_ejected(&pool, 1, 200));
    assert_true(endpoint_is_ejected(&pool, 2, 200));
    endpoint_pool_deinit(&pool);
}

static void a_walk_visits_each_name_at_one_address(void **state)
{
    static const struct place places[] = { { 1, 1, 0, "a" }, { 1, 1, 1, "b" }, { 1, 1, 1, "c" } };
    struct endpoint_pool pool;
    struct endpoint_walk walk;

    (void)state;
    pool_of(&pool, places, 3);
    assert_true(endpoint_walk_begin(&walk, &pool));
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(endpoint_walk_next(&walk, &pool, 0)->server_name, places[i].server_name);
        endpoint_walk_report(&walk, &pool, ENDPOINT_FAILED, 0);
    }
    assert_null(endpoint_walk_next(&walk, &pool, 0));
    endpoint_walk_end(&walk);
    endpoint_pool_deinit(&pool);
}

static void lists_are_equal_whatever_their_order(void **state)
{
    static const struct place list[] = { { 1, 1, 0, "a" }, { 2, 1, 0, "b" }, { 3, 1, 0, NULL } };
    static const struct place turned[] = { { 3, 1, 0, NULL }, { 1, 1, 0, "a" }, { 2, 1, 0, "b" } };
    static const struct place others[][3] = {
        { { 1, 1, 0, "a" }, { 2, 1, 0, "b" }, { 4, 1, 0, NULL } },
        { { 1, 1, 0, "a" }, { 2, 1, 0, "b" }, { 3, 2, 0, NULL } },
        { { 1, 1, 0, "a" }, { 2, 1, 0, "b" }, { 3, 1, 1, NULL } },
        { { 1, 1, 0, "a" }, { 2, 1, 0, "c" }, { 3, 1, 0, NULL } },
        { { 1, 1, 0, "a" }, { 2, 1, 0, NULL }, { 3, 1, 0, NULL } },
    };
    struct endpoint_list *one = list_of(list, 3), *same = list_of(turned, 3), *shorter = list_of(list, 2);

    (void)state;
    assert_true(endpoint_list_equal(one, same));
    assert_false(endpoint_list_equal(one, shorter));
    assert_false(endpoint_list_equal(shorter, one));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct endpoint_list *other = list_of(others[i], 3);
        assert_false(endpoint_list_equal(one, other));
        assert_false(endpoint_list_equal(other, one));
        endpoint_list_release(other);
    }
    endpoint_list_release(one);
    endpoint_list_release(same);
    endpoint_list_release(shorter);
}

static void a_list_owns_its_names_and_has_a_limit(void **state)
{
    struct endpoint endpoints[ENDPOINTS_MAX + 1];
    char name[] = "aggregator.example";

    (void)state;
    for (size_t i = 0; i <= ENDPOINTS_MAX; i++)
        endpoints[i] = (struct endpoint) { .address = addresses_at_port((uint16_t)(i + 1)),
                                           .weight = 1,
                                           .server_name = i % 2 ? name : NULL };
    struct endpoint_list *list = endpoint_list_new(endpoints, ENDPOINTS_MAX + 1);
    memset(name, 'x', sizeof name - 1);
    assert_int_equal(list->count, ENDPOINTS_MAX);
    for (size_t i = 0; i < ENDPOINTS_MAX; i++) {
        if (i % 2)
            assert_string_equal(list->endpoints[i].server_name, "aggregator.example");
        else
            assert_null(list->endpoints[i].server_name);
    }
    endpoint_list_release(list);
}

/* A connection that has said that the husk at the endpoint of this port stops. */
static struct endpoint_walk say_leaving(struct endpoint_pool *pool, uint16_t port)
{
    struct endpoint_walk walk;

    assert_true(endpoint_walk_begin_at(&walk, pool, port - 1));
    expect_next(&walk, pool, 0, port);
    endpoint_walk_report(&walk, pool, ENDPOINT_WORKED, 0);
    endpoint_walk_note_leaving(&walk, pool);
    return walk;
}

static void an_endpoint_leaves_until_its_connections_have_ended_and_a_while_longer(void **state)
{
    struct endpoint_pool pool;
    (void)state;

    pool_of(&pool, (const struct place[]) { { 1, 1, 0, NULL }, { 2, 1, 1, NULL } }, 2);
    struct endpoint_walk a = say_leaving(&pool, 1), b = say_leaving(&pool, 1);
    assert_true(endpoint_tier(&pool, 0, 0) > endpoint_tier(&pool, 1, 0));
    assert_int_equal(endpoint_tier(&pool, 1, 0), 1);
    endpoint_walk_note_left(&a, &pool, 1000);
    assert_true(endpoint_tier(&pool, 0, 1000 + MIN_MS) > 1); /* one is left */
    endpoint_walk_note_left(&b, &pool, 5000);
    assert_true(endpoint_tier(&pool, 0, 5000 + MIN_MS - 1) > 1);
    assert_int_equal(endpoint_tier(&pool, 0, 5000 + MIN_MS), 0);
    assert_false(endpoint_has_failed(&pool, 0) || endpoint_is_ejected(&pool, 0, 5000));
    endpoint_walk_end(&a);
    endpoint_walk_end(&b);
    endpoint_pool_deinit(&pool);
}

static void of_endpoints_that_leave_the_first_one_is_used(void **state)
{
    struct endpoint_pool pool;
    (void)state;

    pool_of(&pool, (const struct place[]) { { 1, 1, 0, NULL }, { 2, 1, 1, NULL } }, 2);
    struct endpoint_walk standby = say_leaving(&pool, 2), first = say_leaving(&pool, 1);
    assert_true(endpoint_tier(&pool, 0, 0) > endpoint_tier(&pool, 1, 0));
    assert_true(endpoint_tier(&pool, 1, 0) > 1);
    struct endpoint_walk again = say_leaving(&pool, 2);
    assert_true(endpoint_tier(&pool, 1, 0) > endpoint_tier(&pool, 0, 0));
    endpoint_walk_end(&standby);
    endpoint_walk_end(&first);
    endpoint_walk_end(&again);
    endpoint_pool_deinit(&pool);
}

static void an_endpoint_leaves_also_in_a_new_list_that_has_it(void **state)
{
    struct endpoint_pool pool;
    (void)state;

    pool_of(&pool, three, 3);
    struct endpoint_walk walk = say_leaving(&pool, 3);
    assert_true(endpoint_pool_replace(&pool, list_of(&three[2], 1)));
    assert_true(endpoint_tier(&pool, 0, 0) > 0);
    assert_true(endpoint_pool_replace(&pool, list_of(three, 2)));
    endpoint_walk_note_left(&walk, &pool, 0); /* the list does not have it */
    assert_true(endpoint_pool_replace(&pool, list_of(three, 3)));
    endpoint_walk_note_left(&walk, &pool, 0); /* the list has it again */
    assert_int_equal(endpoint_tier(&pool, 2, 0), 0);
    endpoint_walk_end(&walk);
    endpoint_pool_deinit(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unresolved_pool_offers_no_walk),
        cmocka_unit_test(walks_take_turns_and_visit_each_address_once),
        cmocka_unit_test(turns_are_taken_by_weight_and_evenly_spread),
        cmocka_unit_test(pools_with_different_seeds_begin_in_proportion_to_weight),
        cmocka_unit_test(higher_tiers_are_tried_after_lower_ones_and_rested_ones_last),
        cmocka_unit_test(a_failed_address_is_tried_last_until_it_has_rested),
        cmocka_unit_test(rests_double_up_to_the_maximum_and_a_success_resets_them),
        cmocka_unit_test(rests_are_up_to_a_quarter_longer_by_chance),
        cmocka_unit_test(one_dial_at_a_time_tries_an_address_that_has_rested),
        cmocka_unit_test(a_walk_of_one_goes_nowhere_else),
        cmocka_unit_test(a_new_list_keeps_what_is_known_of_addresses_that_stay),
        cmocka_unit_test(names_at_one_address_have_a_health_of_their_own),
        cmocka_unit_test(a_walk_visits_each_name_at_one_address),
        cmocka_unit_test(lists_are_equal_whatever_their_order),
        cmocka_unit_test(a_list_owns_its_names_and_has_a_limit),
        cmocka_unit_test(an_endpoint_leaves_until_its_connections_have_ended_and_a_while_longer),
        cmocka_unit_test(of_endpoints_that_leave_the_first_one_is_used),
        cmocka_unit_test(an_endpoint_leaves_also_in_a_new_list_that_has_it),
    };

    return cmocka_run_group_tests_name("endpoint", tests, NULL, NULL);
}
