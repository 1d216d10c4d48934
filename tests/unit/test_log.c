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
                                 "\"bytes\":\"\\u0001\\\\\\udcff\",\"n\":7}\n"));
}

static void characters_are_kept_unless_they_hide_or_reorder_text(void **state)
{
    static const struct {
        const char *value, *json, *text; /* as the value of a field; text NULL: as json */
    } cases[] = {
        { "Pr\303\274fstelle", "\"Pr\303\274fstelle\"", "Pr\303\274fstelle" },
        { "\346\227\245\346\234\254", "\"\346\227\245\346\234\254\"", "\346\227\245\346\234\254" },
        { "\360\237\230\200", "\"\360\237\230\200\"", "\360\237\230\200" },
        { "\357\277\277", "\"\357\277\277\"", "\357\277\277" },                 /* U+FFFF */
        { "a\177", "\"a\\u007f\"", NULL },                                      /* DEL */
        { "a\302\205", "\"a\\u0085\"", NULL },                                  /* C1 */
        { "a\342\200\256b", "\"a\\u202eb\"", NULL },                            /* right-to-left override */
        { "a\342\201\246b", "\"a\\u2066b\"", NULL },                            /* isolate */
        { "a\330\234b", "\"a\\u061cb\"", NULL },                                /* Arabic letter mark */
        { "a\342\200\213b", "\"a\\u200bb\"", NULL },                            /* zero width space */
        { "a\342\201\241b", "\"a\\u2061b\"", NULL },                            /* function application */
        { "a\363\240\201\201b", "\"a\\udb40\\udc41b\"", NULL },                 /* tag A */
        { "a\342\200\250b", "\"a\\u2028b\"", NULL },                            /* line separator */
        { "\033[31m", "\"\\u001b[31m\"", NULL },                                /* colour of a terminal */
        { "\300\257", "\"\\udcc0\\udcaf\"", "\"\\xc0\\xaf\"" },                 /* overlong */
        { "\355\240\200", "\"\\udced\\udca0\\udc80\"", "\"\\xed\\xa0\\x80\"" }, /* a surrogate */
        { "\364\220\200\200", "\"\\udcf4\\udc90\\udc80\\udc80\"", "\"\\xf4\\x90\\x80\\x80\"" },
        { "\303", "\"\\udcc3\"", "\"\\xc3\"" }, /* the end is missing */
        { "\\udcc3", "\"\\\\udcc3\"", NULL },   /* the text of an escape sequence */
        { "\\xc3", "\"\\\\xc3\"", NULL },
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        struct log_line line;
        char expected[64];
        bool is_json = i % 2;
        const char *text = is_json || !cases[i / 2].text ? cases[i / 2].json : cases[i / 2].text;
        fixture->log.format = is_json ? LOG_JSON : LOG_TEXT;
        log_begin(&line, &fixture->log, LOG_INFO, "m");
        log_text(&line, "v", cases[i / 2].value);
        log_end(&line);
        snprintf(expected, sizeof expected, is_json ? ",\"v\":%s}\n" : " v=%s\n", text);
        const char *got = strstr(written(fixture), is_json ? ",\"v\"" : " v=");
        assert_non_null(got);
        assert_string_equal(got, expected);
    }
}

static void a_message_cannot_begin_a_line(void **state)
{
    struct fixture *fixture = *state;

    log_say(&fixture->log, LOG_INFO, "%s is not \"x\"", "peer\n2026 error forged\342\200\256\xff");
    assert_string_equal(written(fixture), "info peer\\n2026 error forged\\u202e\\xff is not \"x\"\n");
}

static void a_line_of_a_route_names_it(void **state)
{
    struct fixture *fixture = *state;

    log_say_of(&fixture->log, LOG_INFO, "audit", "%u of %u", 1, 2);
    assert_string_equal(written(fixture), "info 1 of 2 route=audit\n");
    log_say_of(&fixture->log, LOG_INFO, NULL, "none");
    assert_string_equal(written(fixture), "info none\n");
}

/* The bytes that a JSON string stands for; lone surrogates U+DC80 to U+DCFF are bytes. */
static size_t json_decode(const char *text, char *bytes)
{
    size_t length = 0;

    for (text++; *text != '"'; text++) {
        if (*text != '\\') {
            bytes[length++] = *text;
            continue;
        }
        unsigned point;
        switch (*++text) {
        case 'n':
            bytes[length++] = '\n';
            break;
        case 'u':
            assert_int_equal(sscanf(text + 1, "%4x", &point), 1);
            text += 4;
            if (point >= 0xdc80 && point <= 0xdcff) {
                bytes[length++] = (char)(point & 0xff);
            } else if (point < 0x80) {
                bytes[length++] = (char)point;
            } else if (point < 0x800) {
                bytes[length++] = (char)(0xc0 | point >> 6);
                bytes[length++] = (char)(0x80 | (point & 0x3f));
            } else {
                bytes[length++] = (char)(0xe0 | point >> 12);
                bytes[length++] = (char)(0x80 | (point >> 6 & 0x3f));
                bytes[length++] = (char)(0x80 | (point & 0x3f));
            }
            break;
        default:
            bytes[length++] = *text;
        }
    }
    return length;
}

static void any_bytes_can_be_read_back_from_a_json_line(void **state)
{
    static const char alphabet[] = "a\\\"udcx8\n\x01\x7f\x80\x85\xa0\xc2\xc3\xe2\xed\xf0\xf4\xff\xbf\x90";
    struct fixture *fixture = *state;
    uint32_t random = 1;

    fixture->log.format = LOG_JSON;
    for (int round = 0; round < 20000; round++) {
        char value[17] = { 0 }, bytes[64];
        struct log_line line;
        for (size_t i = 0; i < sizeof value - 1; i++) {
            random = random * 1664525 + 1013904223;
            value[i] = alphabet[(random >> 16) % (sizeof alphabet - 1)];
        }
        log_begin(&line, &fixture->log, LOG_INFO, "m");
        log_text(&line, "v", value);
        log_end(&line);
        const char *text = strstr(written(fixture), "\"v\":");
        assert_non_null(text);
        assert_int_equal(json_decode(text + 4, bytes), sizeof value - 1);
        assert_memory_equal(bytes, value, sizeof value - 1);
    }
}

static char *in_words(const char *text, enum side side)
{
    char *words;

    return asprintf(&words, "[%s: %s]", side_name(side), text) < 0 ? NULL : words;
}

static void settings_are_written_in_the_words_of_the_user(void **state)
{
    struct fixture *fixture = *state;
    struct log_line line;
    char text[16] = "set --cert";

    log_translate(&fixture->log, SIDE_UPSTREAM, text, sizeof text);
    assert_string_equal(text, "set --cert");
    log_use_words(&fixture->log, in_words);
    log_begin_words(&line, &fixture->log, LOG_WARN, SIDE_UPSTREAM, "--a");
    log_words(&line, SIDE_DOWNSTREAM, "hint", "--b");
    log_words(&line, SIDE_DOWNSTREAM, "detail", "names no setting");
    log_words(&line, SIDE_DOWNSTREAM, "absent", NULL);
    log_text(&line, "peer", "--c");
    log_end(&line);
    assert_string_equal(written(fixture), "warn [upstream: --a] hint=\"[downstream: --b]\" "
                                          "detail=\"names no setting\" peer=--c\n");
    log_translate(&fixture->log, SIDE_UPSTREAM, text, sizeof text);
    assert_string_equal(text, "[upstream: set ");
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
        cmocka_unit_test_setup_teardown(characters_are_kept_unless_they_hide_or_reorder_text, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_message_cannot_begin_a_line, setup, teardown),
        cmocka_unit_test_setup_teardown(a_line_of_a_route_names_it, setup, teardown),
        cmocka_unit_test_setup_teardown(any_bytes_can_be_read_back_from_a_json_line, setup, teardown),
        cmocka_unit_test_setup_teardown(settings_are_written_in_the_words_of_the_user, setup, teardown),
        cmocka_unit_test_setup_teardown(lines_below_the_level_are_not_written, setup, teardown),
        cmocka_unit_test_setup_teardown(a_long_value_is_cut_and_the_line_stays_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_pipe_drops_lines_and_the_next_one_says_so, setup, teardown),
        cmocka_unit_test(the_limiter_lets_a_burst_through_and_counts_the_rest),
    };

    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
