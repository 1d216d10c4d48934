/* proxy/relay/endpoint_stats.c, and how lists and pools of proxy/relay/endpoint.c share and write
 * stats_registry. */
#include "link/endpoint.h"

#include "support/addresses.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

static struct endpoint_stats *tally_of(struct endpoint_stats_registry *stats_registry, uint16_t port,
                                       const char *server_name)
{
    struct socket_address address = addresses_at_port(port);
    struct endpoint_stats *stats = endpoint_stats_registry_get(stats_registry, &address, server_name);

    assert_non_null(stats);
    return stats;
}

static struct endpoint_stats *tally_at(struct endpoint_stats_registry *stats_registry, uint16_t port)
{
    return tally_of(stats_registry, port, NULL);
}

/* A list of these ports; each with its stats, and listed. */
static struct endpoint_list *list_of(struct endpoint_stats_registry *stats_registry, const uint16_t *ports,
                                     size_t count)
{
    struct endpoint endpoints[ENDPOINTS_MAX] = { 0 };

    for (size_t i = 0; i < count; i++)
        endpoints[i] = (struct endpoint) { .address = addresses_at_port(ports[i]),
                                           .weight = 1,
                                           .stats = tally_at(stats_registry, ports[i]) };
    struct endpoint_list *list = endpoint_list_new(endpoints, count);
    assert_non_null(list);
    endpoint_stats_registry_unlist(stats_registry);
    for (size_t i = 0; i < count; i++)
        endpoint_stats_list(list->endpoints[i].stats);
    return list;
}

static size_t count_of(const struct endpoint_stats_registry *stats_registry)
{
    size_t count = 0;

    for (const struct endpoint_metrics *metrics = stats_registry->first; metrics; metrics = metrics->next)
        count++;
    return count;
}

static void an_address_has_one_tally(void **state)
{
    struct endpoint_stats_registry stats_registry = { 0 };
    struct endpoint_stats *first = tally_at(&stats_registry, 1), *second = tally_at(&stats_registry, 2);

    (void)state;
    assert_ptr_not_equal(first, second);
    assert_ptr_equal(tally_at(&stats_registry, 1), first);
    assert_string_equal(first->metrics.address, "127.0.0.1:1");
    assert_string_equal(second->metrics.address, "127.0.0.1:2");
    assert_int_equal(count_of(&stats_registry), 2);
    endpoint_stats_registry_deinit(&stats_registry);
    assert_null(stats_registry.first);
}

static void each_name_at_an_address_has_a_tally_of_its_own(void **state)
{
    struct endpoint_stats_registry registry = { 0 };
    char name[] = "a.test";
    struct endpoint_stats *a = tally_of(&registry, 1, name), *b = tally_of(&registry, 1, "b.test");
    struct endpoint_stats *none = tally_at(&registry, 1);

    (void)state;
    memset(name, 'x', sizeof name - 1); /* the stats own a copy */
    assert_int_equal(count_of(&registry), 3);
    assert_ptr_equal(tally_of(&registry, 1, "A.test."), a);
    assert_ptr_equal(tally_of(&registry, 1, "b.test"), b);
    assert_ptr_equal(tally_at(&registry, 1), none);
    assert_ptr_not_equal(tally_of(&registry, 2, "a.test"), a);
    assert_string_equal(a->metrics.server_name, "a.test");
    assert_string_equal(b->metrics.server_name, "b.test");
    assert_null(none->metrics.server_name);

    assert_true(endpoint_stats_note_proof(a, 1));
    endpoint_stats_eject(a, 7);
    assert_int_equal(endpoint_stats_acks(b), METRICS_ACKS_UNKNOWN);
    assert_int_equal(metrics_read(&b->metrics.ejected_until_ms), 0);
    endpoint_stats_registry_deinit(&registry);
}

static void states_are_counted(void **state)
{
    struct endpoint_stats_registry stats_registry = { 0 };
    struct endpoint_stats *stats = tally_at(&stats_registry, 1);

    (void)state;
    endpoint_stats_enter(stats, METRICS_CONNECTING);
    endpoint_stats_enter(stats, METRICS_CONNECTING);
    endpoint_stats_leave(stats, METRICS_CONNECTING);
    endpoint_stats_enter(stats, METRICS_READY);
    assert_int_equal(metrics_read(&stats->metrics.connections[METRICS_CONNECTING]), 1);
    assert_int_equal(metrics_read(&stats->metrics.connections[METRICS_READY]), 1);
    endpoint_stats_registry_deinit(&stats_registry);
}

static void an_endpoint_need_not_be_counted(void **state)
{
    (void)state;
    endpoint_stats_enter(NULL, METRICS_READY);
    endpoint_stats_leave(NULL, METRICS_READY);
    endpoint_stats_eject(NULL, 1);
    endpoint_stats_list(NULL);
    endpoint_stats_release(NULL);
}

/* An old list is held by the connections that were dialled by it. */
static void a_tally_lives_as_long_as_any_list_that_has_it(void **state)
{
    struct endpoint_stats_registry stats_registry = { 0 };
    struct endpoint_list *old = list_of(&stats_registry, (const uint16_t[]) { 1, 2 }, 2);
    struct endpoint_stats *first = old->endpoints[0].stats, *second = old->endpoints[1].stats;

    (void)state;
    struct endpoint_list *now = list_of(&stats_registry, (const uint16_t[]) { 2, 3 }, 2);
    assert_ptr_equal(now->endpoints[0].stats, second);
    assert_int_equal(count_of(&stats_registry), 3);
    assert_false(first->metrics.is_listed);
    assert_true(second->metrics.is_listed);

    endpoint_list_release(old);
    endpoint_stats_registry_unlist(&stats_registry);
    assert_int_equal(count_of(&stats_registry), 2);
    assert_ptr_equal(stats_registry.first, &second->metrics);

    endpoint_stats_registry_deinit(&stats_registry); /* the list may outlive the registry */
    endpoint_stats_enter(now->endpoints[1].stats, METRICS_READY);
    endpoint_list_release(now);
}

static void rests_are_told_to_the_tally(void **state)
{
    struct endpoint_stats_registry stats_registry = { 0 };
    struct endpoint_list *list = list_of(&stats_registry, (const uint16_t[]) { 1 }, 1);
    struct endpoint_stats *stats = list->endpoints[0].stats;
    struct endpoint_pool pool;
    struct endpoint_walk walk;

    (void)state;
    endpoint_pool_init(&pool, 500, 1500, 0);
    assert_true(endpoint_pool_replace(&pool, list));
    assert_true(endpoint_walk_begin(&walk, &pool));
    assert_non_null(endpoint_walk_next(&walk, &pool, 1000));
    endpoint_walk_report(&walk, &pool, ENDPOINT_FAILED, 1000);
    endpoint_walk_end(&walk);
    assert_int_equal(metrics_read(&stats->metrics.ejected_until_ms), 1500);

    assert_true(endpoint_walk_begin(&walk, &pool));
    assert_non_null(endpoint_walk_next(&walk, &pool, 1600)); /* on trial */
    assert_int_equal(metrics_read(&stats->metrics.ejected_until_ms), 2100);
    endpoint_walk_report(&walk, &pool, ENDPOINT_WORKED, 1700);
    endpoint_walk_end(&walk);
    assert_int_equal(metrics_read(&stats->metrics.ejected_until_ms), 0);
    endpoint_pool_deinit(&pool);
    endpoint_stats_registry_deinit(&stats_registry);
}

static void an_address_never_acknowledges_if_enough_connections_show_it(void **state)
{
    struct endpoint_stats stats = { 0 };

    (void)state;
    assert_false(endpoint_stats_note_proof(NULL, 1));
    assert_int_equal(endpoint_stats_acks(NULL), METRICS_ACKS_UNKNOWN);
    assert_false(endpoint_stats_note_proof(&stats, 3));
    assert_false(endpoint_stats_note_proof(&stats, 3));
    assert_int_equal(endpoint_stats_acks(&stats), METRICS_ACKS_UNKNOWN);
    assert_true(endpoint_stats_note_proof(&stats, 3)); /* one caller is told */
    assert_false(endpoint_stats_note_proof(&stats, 3));
    assert_int_equal(endpoint_stats_acks(&stats), METRICS_ACKS_NEVER);
}

static void after_an_ack_the_address_never_counts_as_without_acks(void **state)
{
    struct endpoint_stats stats = { 0 };

    (void)state;
    assert_true(endpoint_stats_note_proof(&stats, 1));
    assert_int_equal(endpoint_stats_note_ack(&stats), METRICS_ACKS_NEVER); /* one caller is told */
    assert_int_equal(endpoint_stats_note_ack(&stats), METRICS_ACKS_SENT);
    assert_false(endpoint_stats_note_proof(&stats, 1));
    assert_int_equal(endpoint_stats_acks(&stats), METRICS_ACKS_SENT);
    assert_int_equal(endpoint_stats_note_ack(NULL), METRICS_ACKS_SENT); /* nothing to tell */
}

static void a_success_tells_what_was_known_before(void **state)
{
    struct endpoint_stats stats = { 0 };
    (void)state;

    assert_int_equal(endpoint_stats_note_success(&stats), ENDPOINT_UNPROVEN);
    assert_int_equal(endpoint_stats_note_success(&stats), ENDPOINT_PROVEN);
    endpoint_stats_note_failure(&stats);
    assert_int_equal(endpoint_stats_note_success(&stats), ENDPOINT_FAILING); /* one caller is told */
    assert_int_equal(endpoint_stats_note_success(&stats), ENDPOINT_PROVEN);
    endpoint_stats_note_failure(NULL);
    assert_int_equal(endpoint_stats_note_success(NULL), ENDPOINT_PROVEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_success_tells_what_was_known_before),
        cmocka_unit_test(an_address_has_one_tally),
        cmocka_unit_test(each_name_at_an_address_has_a_tally_of_its_own),
        cmocka_unit_test(states_are_counted),
        cmocka_unit_test(an_endpoint_need_not_be_counted),
        cmocka_unit_test(a_tally_lives_as_long_as_any_list_that_has_it),
        cmocka_unit_test(rests_are_told_to_the_tally),
        cmocka_unit_test(an_address_never_acknowledges_if_enough_connections_show_it),
        cmocka_unit_test(after_an_ack_the_address_never_counts_as_without_acks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
