/* config/yaml_scalar.c: traps and flags. */
#include "config/yaml_scalar.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

static struct yaml_node plain(char *text)
{
    return (struct yaml_node) { .kind = YAML_KIND_SCALAR, .text = text };
}

static void expect_trap(const char *const *texts, enum yaml_trap expected)
{
    char text[64];

    for (; *texts; texts++) {
        strcpy(text, *texts);
        struct yaml_node node = plain(text);
        if (yaml_scalar_trap(&node) != expected)
            fail_msg("\"%s\" is trap %d, not %d", text, yaml_scalar_trap(&node), expected);
        node.quoted = true;
        assert_int_equal(yaml_scalar_trap(&node), YAML_TRAP_NONE);
        node = plain(text);
        node.has_reference = true;
        assert_int_equal(yaml_scalar_trap(&node), YAML_TRAP_NONE);
    }
}

#define EXPECT_TRAP(trap, ...) expect_trap((const char *const[]) { __VA_ARGS__, NULL }, trap)

static void traps_are_recognised(void **state)
{
    (void)state;
    EXPECT_TRAP(YAML_TRAP_BOOLEAN, "true", "True", "FALSE", "yes", "No", "ON", "off", "y", "N");
    EXPECT_TRAP(YAML_TRAP_NULL, "", "~", "null", "Null", "NULL");
    EXPECT_TRAP(YAML_TRAP_OCTAL, "0660", "0o660", "-0o17", "+012", "089", "0_7", "00");
    EXPECT_TRAP(YAML_TRAP_HEX, "0x10", "0xFf", "-0x1_0");
    EXPECT_TRAP(YAML_TRAP_BINARY, "0b10", "+0b1_0");
    EXPECT_TRAP(YAML_TRAP_UNDERSCORE, "1_000", "-1_", "1__0");
    EXPECT_TRAP(YAML_TRAP_SEXAGESIMAL, "1:30", "190:20:30", "-1:0", "22:22", "1:30.5", "1:30.", "1_0:5",
                "0:0");
    EXPECT_TRAP(YAML_TRAP_EXPONENT, "1e3", "1E+3", "6.02e-23");
    EXPECT_TRAP(YAML_TRAP_FLOAT, "1.0", "-.5", "1.", "1_0.5", ".inf", "-.INF", ".nan", "0.5");
    EXPECT_TRAP(YAML_TRAP_DATE, "2024-01-31", "2024-1-2T10:00:00Z", "2024-01-31 1:00:00.5 +2",
                "2024-01-31t10:00:00");
}

static void other_plain_texts_are_no_traps(void **state)
{
    (void)state;
    EXPECT_TRAP(YAML_TRAP_NONE, "0", "1", "-17", "+5", "24224", "yess", "nul", "truee", "o", "on off", "-",
                "+", ".", "_", "_1", "0x", "0xg", "0o", "0o8", "0b2", "0O17", "0X10", "1:60", "24:60",
                "1:", "1:2:", ":1", "1:123", "::1", "127.0.0.1:1", "127.0.0.1", "1.2.3", "1e", "e3", "1e3x",
                ".e3", "-.", "1.e", "1e+", "inf", "infinity", "nan", ".infx", "2024-1-2", "2024-01-3",
                "2024-01", "2024-01-31T", "2024-01-31 10:00", "2024-01-31x", "10s", "5KiB", "a.example",
                "[::1]:80", "1,000");
}

static void only_scalars_have_traps(void **state)
{
    const struct yaml_node map = { .kind = YAML_KIND_MAP }, invalid = { .kind = YAML_KIND_INVALID };

    (void)state;
    assert_int_equal(yaml_scalar_trap(&map), YAML_TRAP_NONE);
    assert_int_equal(yaml_scalar_trap(&invalid), YAML_TRAP_NONE);
}

static void every_trap_has_a_sentence(void **state)
{
    (void)state;
    for (unsigned trap = YAML_TRAP_BOOLEAN; trap <= YAML_TRAP_DATE; trap++) {
        const char *text = yaml_scalar_trap_text(trap);
        const char *end = strstr(text, "; write it in quotes if it is text");
        assert_ptr_equal(strstr(text, "YAML reads this as "), text);
        assert_true(end && !end[strlen("; write it in quotes if it is text")]);
    }
    assert_string_equal(yaml_scalar_trap_text(YAML_TRAP_BOOLEAN),
                        "YAML reads this as a truth value; write it in quotes if it is text");
}

static void true_and_false_are_flags(void **state)
{
    char yes[] = "true", no[] = "false";
    struct yaml_node node = plain(yes);
    struct fault fault;
    bool flag = false;

    (void)state;
    assert_true(yaml_scalar_flag(&node, &flag, &fault) && flag);
    node.quoted = true;
    assert_true(yaml_scalar_flag(&node, &flag, &fault) && flag);
    node = plain(no);
    assert_true(yaml_scalar_flag(&node, &flag, &fault) && !flag);
    node.has_reference = true;
    assert_true(yaml_scalar_flag(&node, &flag, &fault) && !flag);
}

static void expect_no_flag(const struct yaml_node *node, const char *expected)
{
    struct fault fault = { .text = "" };
    bool flag;

    assert_false(yaml_scalar_flag(node, &flag, &fault));
    assert_string_equal(fault.text, expected);
}

static void nothing_else_is_a_flag(void **state)
{
    static const struct {
        char text[16];
        const char *fault;
    } rows[] = {
        { "yes", "expected true or false; \"yes\" is neither in YAML 1.2" },
        { "OFF", "expected true or false; \"OFF\" is neither in YAML 1.2" },
        { "True", "expected true or false in small letters, not \"True\"" },
        { "FALSE", "expected true or false in small letters, not \"FALSE\"" },
        { "", "expected true or false, but there is no value" },
        { "~", "expected true or false, but there is no value" },
        { "1", "expected true or false, not \"1\"" },
        { "a\nb", "expected true or false, not \"a\\x0ab\"" },
    };
    const struct yaml_node map = { .kind = YAML_KIND_MAP }, sequence = { .kind = YAML_KIND_SEQUENCE };
    char text[16] = "secret";
    struct yaml_node node = plain(text);

    (void)state;
    node.has_reference = true;
    expect_no_flag(&node, "expected true or false, not the value from the environment");
    strcpy(text, "yes");
    node = plain(text);
    node.quoted = true;
    expect_no_flag(&node, "expected true or false, not \"yes\"");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        strcpy(text, rows[i].text);
        node = plain(text);
        expect_no_flag(&node, rows[i].fault);
    }
    expect_no_flag(&map, "expected true or false, not a map");
    expect_no_flag(&sequence, "expected true or false, not a list");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(traps_are_recognised),     cmocka_unit_test(other_plain_texts_are_no_traps),
        cmocka_unit_test(only_scalars_have_traps),  cmocka_unit_test(every_trap_has_a_sentence),
        cmocka_unit_test(true_and_false_are_flags), cmocka_unit_test(nothing_else_is_a_flag),
    };

    return cmocka_run_group_tests_name("yaml_scalar", tests, NULL, NULL);
}
