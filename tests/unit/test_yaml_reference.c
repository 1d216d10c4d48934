/* config/yaml_reference.c: variables of the environment in values. */
#include "config/yaml_reference.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

enum { LONG_BYTES = 40000 };

static char long_value[LONG_BYTES + 1];

static const char *look_up(const char *name)
{
    static const struct {
        const char *name, *value;
    } variables[] = {
        { "A", "alpha" }, { "_b1", "beta" }, { "EMPTY", "" }, { "ODD", "${A} }: #" }, { "LONG", long_value }
    };

    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        if (strcmp(variables[i].name, name) == 0)
            return variables[i].value;
    }
    return NULL;
}

static void expect_replaced(const char *text, const char *expected, bool expected_found)
{
    struct fault fault = { .text = "" };
    bool found = !expected_found;
    char *result;

    if (!yaml_reference_replace(text, look_up, &result, &found, &fault))
        fail_msg("%s: %s", text, fault.text);
    assert_string_equal(result, expected);
    assert_int_equal(found, expected_found);
    free(result);
}

static void expect_refused(const char *text, const char *expected)
{
    struct fault fault = { .text = "" };
    char *result;
    bool found;

    assert_false(yaml_reference_replace(text, look_up, &result, &found, &fault));
    assert_null(result);
    assert_string_equal(fault.text, expected);
}

static void variables_are_replaced(void **state)
{
    (void)state;
    expect_replaced("${A}", "alpha", true);
    expect_replaced("x${A}y${_b1}z", "xalphaybetaz", true);
    expect_replaced("${A}${A}", "alphaalpha", true);
    expect_replaced("${EMPTY}", "", true);
    expect_replaced("${ODD}", "${A} }: #", true); /* not replaced again */
}

static void a_default_is_for_an_unset_or_empty_variable(void **state)
{
    (void)state;
    expect_replaced("${A:-x}", "alpha", true);
    expect_replaced("${UNSET:-x y:-$z{}!", "x y:-$z{!", true);
    expect_replaced("${EMPTY:-x}", "x", true);
    expect_replaced("${UNSET:-}", "", true);
}

static void other_dollars_are_text(void **state)
{
    (void)state;
    expect_replaced("", "", false);
    expect_replaced("$A $$ $(x) a$", "$A $$ $(x) a$", false);
    expect_replaced("{A} }", "{A} }", false);
}

static void before_a_brace_two_dollars_write_one(void **state)
{
    (void)state;
    expect_replaced("$${A}", "${A}", false);
    expect_replaced("$$${A}", "$alpha", true);
    expect_replaced("$$$${A}", "$${A}", false);
    expect_replaced("$$$$${A}", "$$alpha", true);
    expect_replaced("$${${A}", "${alpha", true);
}

static void text_to_replace_is_recognised(void **state)
{
    (void)state;
    assert_true(yaml_reference_in("a${"));
    assert_true(yaml_reference_in("$${A}"));
    assert_false(yaml_reference_in("$ {A} $$"));
}

#define NO_NAME " names no variable; write ${NAME} or ${NAME:-default}, or $${ for the text \"${\""

static void wrong_references_are_refused(void **state)
{
    (void)state;
    expect_refused("${UNSET:-${A}}", "the default of a reference cannot have a reference");
    expect_refused("${A:-${UNSET}}", "the default of a reference cannot have a reference");
    expect_refused("${UNSET}", "the variable UNSET is not set; ${UNSET:-default} would give it a default");
    expect_refused("${A}${a", "\"${\" has no \"}\"; write $${ for the text \"${\"");
    expect_refused("${", "\"${\" has no \"}\"; write $${ for the text \"${\"");
    expect_refused("${}", "\"${}\"" NO_NAME);
    expect_refused("${:-x}", "\"${:-x}\"" NO_NAME);
    expect_refused("${1A}", "\"${1A}\"" NO_NAME);
    expect_refused("${A }", "\"${A }\"" NO_NAME);
    expect_refused("${A-x}", "\"${A-x}\"" NO_NAME);
    expect_refused("${A:}", "\"${A:}\"" NO_NAME);
    expect_refused("${A:?x}", "\"${A:?x}\"" NO_NAME);
    expect_refused("${\303\244\n}", "\"${???}\"" NO_NAME);
    expect_refused("${1234567890123456789012345678901234567890X}",
                   "\"${1234567890123456789012345678901234567890}\"" NO_NAME);
}

static void a_value_has_a_limit(void **state)
{
    struct fault fault;
    char *result;
    bool found;

    (void)state;
    memset(long_value, 'x', LONG_BYTES);
    assert_true(yaml_reference_replace("${LONG}", look_up, &result, &found, &fault));
    assert_int_equal(strlen(result), LONG_BYTES);
    free(result);
    expect_refused("${LONG}${LONG}",
                   "the value is longer than 65536 bytes after its references are replaced");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(variables_are_replaced),
        cmocka_unit_test(a_default_is_for_an_unset_or_empty_variable),
        cmocka_unit_test(other_dollars_are_text),
        cmocka_unit_test(before_a_brace_two_dollars_write_one),
        cmocka_unit_test(text_to_replace_is_recognised),
        cmocka_unit_test(wrong_references_are_refused),
        cmocka_unit_test(a_value_has_a_limit),
    };

    return cmocka_run_group_tests_name("yaml_reference", tests, NULL, NULL);
}
