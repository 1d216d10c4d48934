/* proxy/trust/token_results.c */
#include "trust/token_results.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static unsigned woken, finished;

static void on_result(void *owner)
{
    assert_ptr_equal(owner, &woken);
    woken++;
}

static void on_finished(void *owner)
{
    struct token_signature *signature = owner;

    assert_false(signature->is_awaited);
    finished++;
}

static struct token_results *begin(void)
{
    struct token_results *results = token_results_new(on_result, &woken);

    assert_non_null(results);
    woken = finished = 0;
    return results;
}

/* A signature on its way. */
static struct token_signature *send(struct token_results *results)
{
    struct token_signature *signature = calloc(1, sizeof *signature);

    assert_non_null(signature);
    signature->results = token_results_share(results);
    signature->is_awaited = true;
    signature->on_finished = on_finished;
    signature->owner = signature;
    return signature;
}

static void one_wake_up_is_for_all_that_have_arrived(void **state)
{
    struct token_results *results = begin();
    struct token_signature *signatures[] = { send(results), send(results), send(results) };

    (void)state;
    token_results_put(signatures[0]);
    token_results_put(signatures[1]);
    assert_int_equal(woken, 1);
    assert_int_equal(finished, 0);
    token_results_deliver(results);
    assert_int_equal(finished, 2);
    token_results_put(signatures[2]);
    assert_int_equal(woken, 2);
    token_results_deliver(results);
    token_results_deliver(results);
    assert_int_equal(finished, 3);
    for (int i = 0; i < 3; i++)
        free(signatures[i]);
    token_results_release(results);
}

/* The sanitizers see whether it is freed. */
static void an_abandoned_signature_is_freed_and_not_told(void **state)
{
    struct token_results *results = begin();
    struct token_signature *abandoned = send(results), *other = send(results);

    (void)state;
    abandoned->is_abandoned = true;
    token_results_put(abandoned);
    token_results_put(other);
    token_results_deliver(results);
    assert_int_equal(finished, 1);
    free(other);
    token_results_release(results);
}

static void a_worker_that_has_ended_is_not_woken(void **state)
{
    struct token_results *results = begin();
    struct token_signature *signature = send(results), *late = send(results);

    (void)state;
    token_results_put(signature);
    token_results_close(results);
    token_results_release(results); /* of the worker: the late one still has its share */
    token_results_put(late);        /* the last share frees both */
    assert_int_equal(woken, 1);
    assert_int_equal(finished, 0);
    token_results_release(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_wake_up_is_for_all_that_have_arrived),
        cmocka_unit_test(an_abandoned_signature_is_freed_and_not_told),
        cmocka_unit_test(a_worker_that_has_ended_is_not_woken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
