/* proxy/check/report.c and report_json.c: what people and scripts read. */
#include "check/report.h"
#include "check/report_json.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdlib.h>

#define SUBJECT(words) (&(struct subject) { .text = (words) })

enum printer { PEOPLE, SCRIPTS };

static void expect_output(const struct report *report, enum printer printer, const char *expected)
{
    char *text;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    if (printer == PEOPLE)
        report_print(report, out);
    else
        assert_true(report_json_print(report, out));
    fclose(out);
    assert_string_equal(text, expected);
    free(text);
}

static void an_empty_report_is_good(void **state)
{
    struct report report = { 0 };

    (void)state;
    expect_output(&report, PEOPLE, "verdict: all good\n");
    expect_output(
        &report, SCRIPTS,
        "{\"verdict\":\"ok\",\"problems\":0,\"warnings\":0,\"incomplete\":false,\"findings\":[]}\n");
}

static void findings_are_grouped_by_section(void **state)
{
    struct report report = { 0 };

    (void)state;
    report_begin(&report, "client, %s", "downstream");
    report_add(&report, FINDING_OK, SUBJECT("--listen 127.0.0.1:1"), "is free");
    report_add(&report, FINDING_WARNING, SUBJECT("--key k"), "can be read (mode %04o)", 0644U);
    report_advise(&report, "an advice that is replaced");
    report_advise(&report, "chmod %d", 600);
    report_begin(&report, "client, upstream");
    report_add(&report, FINDING_PROBLEM, SUBJECT("x:1"), "connection refused");
    expect_output(&report, PEOPLE,
                  "client, downstream\n"
                  "  ok       --listen 127.0.0.1:1: is free\n"
                  "  warning  --key k: can be read (mode 0644); chmod 600\n"
                  "\n"
                  "client, upstream\n"
                  "  problem  x:1: connection refused\n"
                  "\n"
                  "verdict: 1 problem, 1 warning\n");
    expect_output(&report, SCRIPTS,
                  "{\"verdict\":\"problem\",\"problems\":1,\"warnings\":1,\"incomplete\":false,\"findings\":["
                  "{\"section\":\"client, downstream\",\"level\":\"ok\",\"subject\":\"--listen 127.0.0.1:1\","
                  "\"text\":\"is free\"},"
                  "{\"section\":\"client, downstream\",\"level\":\"warning\",\"subject\":\"--key k\","
                  "\"text\":\"can be read (mode 0644)\",\"advice\":\"chmod 600\"},"
                  "{\"section\":\"client, upstream\",\"level\":\"problem\",\"subject\":\"x:1\","
                  "\"text\":\"connection refused\"}]}\n");
    report_deinit(&report);
}

static void warnings_and_notes_are_no_problem(void **state)
{
    struct report report = { 0 };

    (void)state;
    report_begin(&report, "s");
    report_add(&report, FINDING_NOTE, SUBJECT("a"), "b");
    expect_output(&report, PEOPLE, "s\n  note     a: b\n\nverdict: all good\n");
    report_add(&report, FINDING_WARNING, SUBJECT("c"), "d");
    report_add(&report, FINDING_WARNING, SUBJECT("e"), "f");
    expect_output(
        &report, PEOPLE,
        "s\n  note     a: b\n  warning  c: d\n  warning  e: f\n\nverdict: no problem, 2 warnings\n");
    report_deinit(&report);
}

static void texts_of_others_cannot_control_the_terminal(void **state)
{
    struct report report = { 0 };

    (void)state;
    report_begin(&report, "s\n");
    report_add(&report, FINDING_NOTE, SUBJECT("a\x1b[31m"), "\"ü\" \xff\xc2\x9b\x7f€\xe2\x82");
    report_advise(&report, "\r%s", "x\ty");
    expect_output(&report, PEOPLE, "s?\n  note     a?[31m: \"ü\" ???€??; ?x?y\n\nverdict: all good\n");
    expect_output(
        &report, SCRIPTS,
        "{\"verdict\":\"note\",\"problems\":0,\"warnings\":0,\"incomplete\":false,\"findings\":["
        "{\"section\":\"s?\",\"level\":\"note\",\"subject\":\"a?[31m\",\"text\":\"\\\"ü\\\" ???€??\","
        "\"advice\":\"?x?y\"}]}\n");
    report_deinit(&report);
}

static void an_incomplete_report_says_so(void **state)
{
    struct report report = { .is_incomplete = true };

    (void)state;
    expect_output(&report, PEOPLE, "verdict: incomplete: out of memory\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_report_is_good),
        cmocka_unit_test(findings_are_grouped_by_section),
        cmocka_unit_test(warnings_and_notes_are_no_problem),
        cmocka_unit_test(texts_of_others_cannot_control_the_terminal),
        cmocka_unit_test(an_incomplete_report_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
