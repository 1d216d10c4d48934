#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fixture {
    int ends[2];
    struct log log;
    char text[8192];
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    if (pipe(fixture->ends) != 0)
        return -1;
    log_init(&fixture->log, fixture->ends[1], LOG_INFO, LOG_TEXT);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    log_deinit(&fixture->log);
    close(fixture->ends[0]);
    close(fixture->ends[1]);
    free(fixture);
    return 0;
}

/* The written text, without the time stamp of a text line. */
static const char *written(struct fixture *fixture)
{
    ssize_t got = read(fixture->ends[0], fixture->text, sizeof fixture->text - 1);

    assert_true(got > 0);
    fixture->text[got] = '\0';
    return fixture->log.format == LOG_TEXT ? strchr(fixture->text, ' ') + 1 : fixture->text;
}

static void a_text_line_quotes_only_what_needs_it(void **state)
{
    struct fixture *fixture = *state;
    struct log_line line;

    log_begin(&line, &fixture->log, LOG_WARN, "connection ended");
    log_text(&line, "reason", "reset");
    log_text(&line, "detail", "CN=\"a b\"\n");
    log_text(&line, "empty", "");
    log_text(&line, "absent", NULL);
    log_number(&line, "bytes", -5);
    log_end(&line);
    assert_string_equal(written(fixture),
                        "warn connection ended reason=reset detail=\"CN=\\\"a b\\\"\\n\" bytes=-5\n");
}

static void a_json_line_escapes_every_byte_that_could_break_it(void **state)
{
    struct fixture *fixture = *state;
    struct log_line line;

    fixture->log.format = LOG_JSON;
    log_begin(&line, &fixture->log, LOG_ERROR, "a \"quoted\" word");
    log_text(&line, "bytes", "\x01\\\xff");
    log_number(&line, "n", 7);
    log_end(&line);
    const char *text = written(fixture);
    assert_memory_equal(text, "{\"time\":\"", 9);
    assert_non_null(strstr(text, "\"level\":\"error\",\"message\":\"a \\\"quoted\\\" word\","
                                 "\"bytes\":\"\\u0001\\\\\\u00ff\",\"n\":7}\n"));
}

static void lines_below_the_level_are_not_written(void **state)
{
    struct fixture *fixture = *state;

    log_say(&fixture->log, LOG_DEBUG, "unseen");
    log_say(&fixture->log, LOG_INFO, "seen");
    assert_string_equal(written(fixture), "info seen\n");
}

static void a_long_value_is_cut_and_the_line_stays_whole(void **state)
{
    struct fixture *fixture = *state;
    struct log_line line;
    char value[2 * LOG_LINE_BYTES];

    memset(value, '"', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    fixture->log.format = LOG_JSON;
    log_begin(&line, &fixture->log, LOG_ERROR, "long");
    log_text(&line, "value", value);
    log_text(&line, "unfit", "dropped whole");
    log_end(&line);
    const char *text = written(fixture);
    size_t length = strlen(text);
    assert_in_range(length, LOG_LINE_BYTES / 2, LOG_LINE_BYTES);
    assert_string_equal(text + length - 5, "\\\"\"}\n");
    assert_null(strstr(text, "unfit"));
}

static void a_full_pipe_drops_lines_and_the_next_one_says_so(void **state)
{
    struct fixture *fixture = *state;
    char block[4096];
    ssize_t filled = 0, got;

    memset(block, '.', sizeof block);
    fcntl(fixture->ends[1], F_SETFL, O_NONBLOCK);
    while ((got = write(fixture->ends[1], block, sizeof block)) > 0)
        filled += got;
    log_say(&fixture->log, LOG_INFO, "lost");
    log_say(&fixture->log, LOG_INFO, "lost too");
    assert_int_equal(fixture->log.dropped, 2);
    while (filled > 0)
        filled -= read(fixture->ends[0], block, sizeof block);
    log_say(&fixture->log, LOG_INFO, "back");
    assert_string_equal(written(fixture), "info back lines_lost=2\n");
    assert_int_equal(fixture->log.dropped, 0);
}

static void the_limiter_lets_a_burst_through_and_counts_the_rest(void **state)
{
    struct log_limiter limiter = { 0 };
    uint32_t suppressed = 99;

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_true(log_limiter_admit(&limiter, 50000 + i, 3, &suppressed));
        assert_int_equal(suppressed, 0);
    }
    assert_false(log_limiter_admit(&limiter, 50010, 3, &suppressed));
    assert_false(log_limiter_admit(&limiter, 59999, 3, &suppressed));
    assert_true(log_limiter_admit(&limiter, 60001, 3, &suppressed));
    assert_int_equal(suppressed, 2);
    for (int i = 0; i < 1000; i++)
        assert_true(log_limiter_admit(&limiter, 60002, 0, &suppressed));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_text_line_quotes_only_what_needs_it, setup, teardown),
        cmocka_unit_test_setup_teardown(a_json_line_escapes_every_byte_that_could_break_it, setup, teardown),
        cmocka_unit_test_setup_teardown(lines_below_the_level_are_not_written, setup, teardown),
        cmocka_unit_test_setup_teardown(a_long_value_is_cut_and_the_line_stays_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_pipe_drops_lines_and_the_next_one_says_so, setup, teardown),
        cmocka_unit_test(the_limiter_lets_a_burst_through_and_counts_the_rest),
    };

    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
