/* proxy/check/report.c and report_json.c: what people and scripts read. */
#include "check/report.h"
#include "check/report_json.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

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

static void a_setting_of_a_file_has_its_place(void **state)
{
    const struct subject subject = { .text = "k x", .setting = "k", .line = 3, .column = 5 };
    struct report report = { 0 };

    (void)state;
    report_begin(&report, "s");
    report_add(&report, FINDING_NOTE, &subject, "a");
    report_add(&report, FINDING_WARNING, &subject, "b");
    expect_output(&report, PEOPLE,
                  "s\n  note     k x: a\n  warning  k x (line 3, column 5): b\n\n"
                  "verdict: no problem, 1 warning\n");
    report_deinit(&report);
    report_begin(&report, "s");
    report_add(&report, FINDING_NOTE, &subject, "a");
    expect_output(&report, SCRIPTS,
                  "{\"verdict\":\"note\",\"problems\":0,\"warnings\":0,\"incomplete\":false,\"findings\":["
                  "{\"section\":\"s\",\"level\":\"note\",\"subject\":\"k x\",\"setting\":\"k\","
                  "\"line\":3,\"column\":5,\"text\":\"a\"}]}\n");
    report_deinit(&report);
}

static char *on_translate(const void *owner, const char *text)
{
    return strcmp(text, owner) == 0 ? strdup("translated") : strdup(text);
}

static void texts_come_in_the_words_of_the_user(void **state)
{
    const struct setting_words words = { .owner = "--key", .translate = on_translate };
    struct report report = { 0 };

    (void)state;
    report_use_words(&report, &words);
    report_add(&report, FINDING_NOTE, SUBJECT("--key"), "--%s", "key");
    report_advise(&report, "--key");
    report_use_words(&report, NULL);
    report_add(&report, FINDING_NOTE, SUBJECT("a"), "--key");
    expect_output(&report, PEOPLE,
                  "  note     --key: translated; translated\n  note     a: --key\n\nverdict: all good\n");
    report_deinit(&report);
}

static void findings_of_another_report_come_behind(void **state)
{
    struct report report = { 0 }, other = { .is_incomplete = true };

    (void)state;
    report_add(&report, FINDING_NOTE, SUBJECT("a"), "b");
    report_add(&other, FINDING_NOTE, SUBJECT("c"), "d");
    report_add(&other, FINDING_PROBLEM, SUBJECT("e"), "f");
    report_append(&report, &other);
    assert_int_equal(report.count, 3);
    assert_string_equal(report.findings[2].text, "f");
    assert_true(report.is_incomplete);
    assert_int_equal(other.count, 0);
    assert_null(other.findings);
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
        cmocka_unit_test(a_setting_of_a_file_has_its_place),
        cmocka_unit_test(texts_come_in_the_words_of_the_user),
        cmocka_unit_test(findings_of_another_report_come_behind),
        cmocka_unit_test(an_incomplete_report_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
