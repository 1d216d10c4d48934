#include "base/fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

static void a_fault_is_wrapped_from_the_inside_out(void **state)
{
    struct fault fault;

    (void)state;
    fault_set(&fault, "no such file");
    fault_wrap(&fault, "key %s", "a.pem");
    fault_wrap(&fault, "--key");
    assert_string_equal(fault.text, "--key: key a.pem: no such file");
}

static void a_long_text_is_cut_and_terminated(void **state)
{
    struct fault fault;
    char text[2 * FAULT_TEXT_BYTES];

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    fault_set(&fault, "%s", text);
    assert_int_equal(strlen(fault.text), FAULT_TEXT_BYTES - 1);
    fault_wrap(&fault, "%s", "outer");
    assert_int_equal(strlen(fault.text), FAULT_TEXT_BYTES - 1);
    assert_memory_equal(fault.text, "outer: xxx", 10);
    fault_wrap(&fault, "%s", text);
    assert_int_equal(strlen(fault.text), FAULT_TEXT_BYTES - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fault_is_wrapped_from_the_inside_out),
        cmocka_unit_test(a_long_text_is_cut_and_terminated),
    };

    return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
