/* proxy/relay/endpoint_tally.c, and how lists and pools of proxy/relay/endpoint.c share and write tallies. */
#include "relay/endpoint.h"

#include "support/test_address.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

static struct endpoint_tally *tally_at(struct endpoint_tallies *tallies, uint16_t port)
{
    struct socket_address address = address_at(port);
    struct endpoint_tally *tally = endpoint_tallies_get(tallies, &address);

    assert_non_null(tally);
    return tally;
}

/* A list of these ports; each with its tally, and listed. */
static struct endpoint_list *list_of(struct endpoint_tallies *tallies, const uint16_t *ports, size_t count)
{
    struct endpoint endpoints[ENDPOINTS_MAX];

    for (size_t i = 0; i < count; i++)
        endpoints[i] = (struct endpoint) { .address = address_at(ports[i]),
                                           .weight = 1,
                                           .tally = tally_at(tallies, ports[i]) };
    struct endpoint_list *list = endpoint_list_new(endpoints, count);
    assert_non_null(list);
    endpoint_tallies_unlist(tallies);
    for (size_t i = 0; i < count; i++)
        endpoint_tally_list(list->endpoints[i].tally);
    return list;
}

static size_t count_of(const struct endpoint_tallies *tallies)
{
    size_t count = 0;

    for (const struct endpoint_metrics *metrics = tallies->first; metrics; metrics = metrics->next)
        count++;
    return count;
}

static void an_address_has_one_tally(void **state)
{
    struct endpoint_tallies tallies = { 0 };
    struct endpoint_tally *first = tally_at(&tallies, 1), *second = tally_at(&tallies, 2);

    (void)state;
    assert_ptr_not_equal(first, second);
    assert_ptr_equal(tally_at(&tallies, 1), first);
    assert_string_equal(first->metrics.address, "127.0.0.1:1");
    assert_string_equal(second->metrics.address, "127.0.0.1:2");
    assert_int_equal(count_of(&tallies), 2);
    endpoint_tallies_deinit(&tallies);
    assert_null(tallies.first);
}

static void states_are_counted(void **state)
{
    struct endpoint_tallies tallies = { 0 };
    struct endpoint_tally *tally = tally_at(&tallies, 1);

    (void)state;
    endpoint_tally_enter(tally, METRICS_CONNECTING);
    endpoint_tally_enter(tally, METRICS_CONNECTING);
    endpoint_tally_leave(tally, METRICS_CONNECTING);
    endpoint_tally_enter(tally, METRICS_READY);
    assert_int_equal(metrics_read(&tally->metrics.connections[METRICS_CONNECTING]), 1);
    assert_int_equal(metrics_read(&tally->metrics.connections[METRICS_READY]), 1);
    endpoint_tallies_deinit(&tallies);
}

static void an_endpoint_need_not_be_counted(void **state)
{
    (void)state;
    endpoint_tally_enter(NULL, METRICS_READY);
    endpoint_tally_leave(NULL, METRICS_READY);
    endpoint_tally_rest(NULL, 1);
    endpoint_tally_list(NULL);
    endpoint_tally_release(NULL);
}

/* An old list is held by the connections that were dialled by it. */
static void a_tally_lives_as_long_as_any_list_that_has_it(void **state)
{
    struct endpoint_tallies tallies = { 0 };
    struct endpoint_list *old = list_of(&tallies, (const uint16_t[]) { 1, 2 }, 2);
    struct endpoint_tally *first = old->endpoints[0].tally, *second = old->endpoints[1].tally;

    (void)state;
    struct endpoint_list *now = list_of(&tallies, (const uint16_t[]) { 2, 3 }, 2);
    assert_ptr_equal(now->endpoints[0].tally, second);
    assert_int_equal(count_of(&tallies), 3);
    assert_false(first->metrics.is_listed);
    assert_true(second->metrics.is_listed);

    endpoint_list_release(old);
    endpoint_tallies_unlist(&tallies);
    assert_int_equal(count_of(&tallies), 2);
    assert_ptr_equal(tallies.first, &second->metrics);

    endpoint_tallies_deinit(&tallies); /* the list may outlive the registry */
    endpoint_tally_enter(now->endpoints[1].tally, METRICS_READY);
    endpoint_list_release(now);
}

static void rests_are_told_to_the_tally(void **state)
{
    struct endpoint_tallies tallies = { 0 };
    struct endpoint_list *list = list_of(&tallies, (const uint16_t[]) { 1 }, 1);
    struct endpoint_tally *tally = list->endpoints[0].tally;
    struct endpoint_pool pool;
    struct endpoint_walk walk;

    (void)state;
    endpoint_pool_init(&pool, 500, 1500, 0);
    endpoint_pool_replace(&pool, list);
    assert_true(endpoint_walk_begin(&walk, &pool));
    assert_non_null(endpoint_walk_next(&walk, &pool, 1000));
    endpoint_walk_report(&walk, &pool, ENDPOINT_FAILED, 1000);
    endpoint_walk_end(&walk);
    assert_int_equal(metrics_read(&tally->metrics.rested_until_ms), 1500);

    assert_true(endpoint_walk_begin(&walk, &pool));
    assert_non_null(endpoint_walk_next(&walk, &pool, 1600)); /* on trial */
    assert_int_equal(metrics_read(&tally->metrics.rested_until_ms), 2100);
    endpoint_walk_report(&walk, &pool, ENDPOINT_WORKED, 1700);
    endpoint_walk_end(&walk);
    assert_int_equal(metrics_read(&tally->metrics.rested_until_ms), 0);
    endpoint_pool_deinit(&pool);
    endpoint_tallies_deinit(&tallies);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_has_one_tally),
        cmocka_unit_test(states_are_counted),
        cmocka_unit_test(an_endpoint_need_not_be_counted),
        cmocka_unit_test(a_tally_lives_as_long_as_any_list_that_has_it),
        cmocka_unit_test(rests_are_told_to_the_tally),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
