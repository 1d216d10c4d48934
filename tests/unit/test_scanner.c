#include "forward/scanner.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <dirent.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/scan_check.h"

#define CAPTURES "tests/support/captures"

static const struct scanner_limits generous = { .tag_bytes = 1024, .message_bytes = 256 << 20, .depth = 64 };

/* A byte string with its size, NULs included. */
struct bytes {
    const uint8_t *at;
    size_t length;
};
#define BYTES(literal) { (const uint8_t *)(literal), sizeof(literal) - 1 }

static bool is_light(void)
{
    return getenv("HUSK_LIGHT");
}

static int setup(void **state)
{
    *state = calloc(2, sizeof(struct scan_trace));
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static void expect_no(const char *difference, const char *name, size_t first_cut, size_t second_cut)
{
    if (difference)
        fail_msg("%s: %s differs, cut at %zu and %zu", name, difference, first_cut, second_cut);
}

/* Scans the bytes whole into traces[0]; then byte by byte, cut at every offset, and if they are short, at
 * every pair of offsets. All events must be the same. */
static void scan_every_way(struct scan_trace *traces, const struct scanner_limits *limits, struct bytes bytes,
                           const char *name)
{
    size_t *cuts = malloc((bytes.length + 2) * sizeof *cuts);
    size_t stride = is_light() && bytes.length > 300 ? bytes.length / 300 : 1;

    scan_trace_run(&traces[0], limits, bytes.at, bytes.length, NULL);
    for (size_t i = 0; i < bytes.length; i++)
        cuts[i] = i;
    scan_trace_run(&traces[1], limits, bytes.at, bytes.length, &(struct scan_cuts) { cuts, bytes.length });
    expect_no(scan_trace_difference(&traces[0], &traces[1]), name, 0, 1);
    for (cuts[0] = 0; cuts[0] <= bytes.length; cuts[0] += stride) {
        scan_trace_run(&traces[1], limits, bytes.at, bytes.length, &(struct scan_cuts) { cuts, 1 });
        expect_no(scan_trace_difference(&traces[0], &traces[1]), name, cuts[0], cuts[0]);
        for (cuts[1] = cuts[0] + 1; bytes.length < 300 && cuts[1] < bytes.length;
             cuts[1] += is_light() ? 7 : 1) {
            scan_trace_run(&traces[1], limits, bytes.at, bytes.length, &(struct scan_cuts) { cuts, 2 });
            expect_no(scan_trace_difference(&traces[0], &traces[1]), name, cuts[0], cuts[1]);
        }
    }
    free(cuts);
}

/* msgpack-c must find every message of the trace. Returns the number of messages. */
static unsigned expect_oracle(const struct scan_trace *trace, struct bytes bytes, const char *name)
{
    unsigned messages = 0;
    uint64_t start = 0;

    for (unsigned i = 0; i < trace->count; i++) {
        const struct scan_event *event = &trace->events[i];
        if (event->status != SCANNER_END)
            continue;
        assert_int_equal(event->at - event->scanner.length, start);
        expect_no(scan_oracle_difference(&event->scanner, bytes.at + start, bytes.length - start), name, 0,
                  0);
        start = event->at;
        messages++;
    }
    return messages;
}

/* ---- captures ----------------------------------------------------------------------------------------- */

static struct bytes read_capture(const char *name)
{
    char path[512];
    uint8_t *bytes = malloc(1 << 20);
    FILE *file;
    size_t length;

    snprintf(path, sizeof path, CAPTURES "/%s", name);
    file = fopen(path, "rb");
    assert_non_null(file);
    length = fread(bytes, 1, 1 << 20, file);
    fclose(file);
    return (struct bytes) { bytes, length };
}

/* The length of the PING, which is the first value of a capture with a shared key. */
static size_t ping_length(struct bytes bytes)
{
    msgpack_unpacked unpacked;
    size_t at = 0;

    msgpack_unpacked_init(&unpacked);
    assert_int_equal(msgpack_unpack_next(&unpacked, (const char *)bytes.at, bytes.length, &at),
                     MSGPACK_UNPACK_SUCCESS);
    msgpack_unpacked_destroy(&unpacked);
    return at;
}

static void captures_scan_the_same_with_all_cuts(void **state)
{
    struct scan_trace *traces = *state;
    DIR *directory = opendir(CAPTURES);
    unsigned files = 0;

    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory));) {
        const char *name = entry->d_name;
        size_t length = strlen(name), skipped = 0;
        if (length < 4 || strcmp(name + length - 4, ".c2s") != 0 || !strncmp(name, "tls", 3))
            continue;
        struct bytes all = read_capture(name), bytes;
        if (strstr(name, "sharedkey"))
            skipped = ping_length(all);
        bytes = (struct bytes) { all.at + skipped, all.length - skipped };
        scan_every_way(traces, &generous, bytes, name);
        assert_int_equal(expect_oracle(&traces[0], bytes, name) > 0, bytes.length > 0);
        assert_int_equal(traces[0].events[traces[0].count - 1].status, SCANNER_MORE);
        assert_true(traces[0].events[traces[0].count - 1].between);
        free((void *)(uintptr_t)all.at);
        files++;
    }
    closedir(directory);
    assert_true(files >= 20);
}

static void a_handshake_is_not_a_message(void **state)
{
    struct scan_trace *traces = *state;
    struct bytes bytes = read_capture("fluentd-sharedkey-userauth-ack.c2s");

    scan_trace_run(&traces[0], &generous, bytes.at, bytes.length, NULL);
    assert_int_equal(traces[0].events[0].status, SCANNER_END);
    assert_true(traces[0].events[0].scanner.is_foreign);
    assert_int_equal(traces[0].events[0].at, ping_length(bytes));
    free((void *)(uintptr_t)bytes.at);
}

/* ---- messages by hand --------------------------------------------------------------------------------- */

/* Scans one complete message with all cuts, and compares it with msgpack-c. Returns the scanner at its end.
 */
static const struct scanner *scan_one(struct scan_trace *traces, struct bytes bytes)
{
    scan_every_way(traces, &generous, bytes, "message");
    assert_int_equal(traces[0].count, 3);
    assert_int_equal(traces[0].events[0].status, SCANNER_HEAD);
    assert_int_equal(traces[0].events[0].at, traces[0].events[0].scanner.body.start);
    assert_false(traces[0].events[0].between);
    assert_int_equal(traces[0].events[1].status, SCANNER_END);
    assert_true(traces[0].events[1].between);
    assert_int_equal(expect_oracle(&traces[0], bytes, "message"), 1);
    return &traces[0].events[1].scanner;
}

static void expect_span(struct span span, uint64_t start, uint64_t end)
{
    assert_int_equal(span.start, start);
    assert_int_equal(span.end, end);
}

static void expect_absent(struct span span)
{
    assert_int_equal(span.start, span.end);
}

static void spans_of_a_message(void **state)
{
    struct bytes bytes = BYTES("\x94\243a.b\xd7\0tttttttt\x81\xa1k\x01\x81\245chunk\xa2id");
    const struct scanner *message = scan_one(*state, bytes);

    assert_int_equal(message->mode, SCANNER_MESSAGE);
    assert_true(message->has_option);
    assert_int_equal(message->length, bytes.length);
    expect_span(message->array, 0, 1);
    expect_span(message->tag_value, 1, 5);
    expect_span(message->tag, 2, 5);
    expect_span(message->body, 5, 19);
    expect_span(message->option, 19, 29);
    expect_span(message->option_header, 19, 20);
    assert_int_equal(message->option_pairs, 1);
    expect_span(message->chunk, 26, 29);
    expect_absent(message->compressed);
    assert_int_equal(message->entries, 1);
}

static void spans_of_packed_entries(void **state)
{
    struct bytes bytes = BYTES(
        "\xdd\0\0\0\x03\xc4\003a."
        "b\xc5\0\004body\xdf\0\0\0\x03\252compressed\xa4gzip\xa4size\xcd\x01\x02\xc4\005chunk\xc4\x02id");
    const struct scanner *message = scan_one(*state, bytes);

    assert_int_equal(message->mode, SCANNER_PACKED);
    expect_span(message->array, 0, 5);
    expect_span(message->tag_value, 5, 10);
    expect_span(message->tag, 7, 10);
    expect_span(message->body, 10, 17);
    expect_span(message->option, 17, 57);
    expect_span(message->option_header, 17, 22);
    assert_int_equal(message->option_pairs, 3);
    expect_span(message->compressed, 34, 38);
    expect_span(message->chunk, 53, 57);
    assert_int_equal(message->entries, 0x102);
}

static void spans_of_forward_entries(void **state)
{
    struct bytes bytes = BYTES("\x92\xa1t\x92\x92\x05\x80\x92\x92\x05\x81\xa1m\x90\x81\xa1k\xc2");
    const struct scanner *message = scan_one(*state, bytes);

    assert_int_equal(message->mode, SCANNER_FORWARD);
    assert_false(message->has_option);
    expect_span(message->body, 3, bytes.length);
    expect_absent(message->option);
    expect_absent(message->option_header);
    expect_absent(message->chunk);
    assert_int_equal(message->entries, 2);
}

static void every_shape_of_time_record_and_option_is_a_message(void **state)
{
    static const struct bytes times[] = {
        BYTES("\x05"),
        BYTES("\xff"),
        BYTES("\xc0"),
        BYTES("\xcc\x01"),
        BYTES("\xcd\x01\x02"),
        BYTES("\xcetttt"),
        BYTES("\xcftttttttt"),
        BYTES("\xd0\x01"),
        BYTES("\xd1tt"),
        BYTES("\xd2tttt"),
        BYTES("\xd3tttttttt"),
        BYTES("\xcatttt"),
        BYTES("\xcbtttttttt"),
        BYTES("\xd7\0tttttttt"),
        BYTES("\xc7\x08\0tttttttt"),
        BYTES("\xc8\0\x08\0tttttttt"),
        BYTES("\xc9\0\0\0\x08\0tttttttt"),
        BYTES("\xd4\x01t"),
        BYTES("\xd5\x01tt"),
        BYTES("\xd6\x01tttt"),
        BYTES("\xd8\x01tttttttttttttttt"),
        BYTES("\xc7\0\x05"),
    };
    static const struct bytes records[] = {
        BYTES("\x80"),
        BYTES("\x81\xa1k\xa1v"),
        BYTES("\xde\0\x01\x01\xdc\0\x02\xc3\x81\xc0\x90"),
        BYTES("\xdf\0\0\0\0"),
        BYTES("\x81\x91\x80\xd9\003abc"),
        BYTES("\x82\241a\xdd\0\0\0\x01\xda\0\x01x\241b\xdb\0\0\0\0"),
    };
    static const struct bytes options[] = { BYTES("\xc0"), BYTES("\x80"), BYTES("\xde\0\0"),
                                            BYTES("\xdf\0\0\0\x01\245chunk\xa1x"),
                                            BYTES("\x82\x91\x01\x80\xa1x\x91\x91\x81\x01\x02") };

    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        for (size_t j = 0; j < sizeof records / sizeof *records; j++) {
            for (size_t k = 0; k <= sizeof options / sizeof *options; k++) {
                bool has_option = k < sizeof options / sizeof *options;
                msgpack_sbuffer to;
                msgpack_sbuffer_init(&to);
                msgpack_sbuffer_write(&to, has_option ? "\x94\xa1t" : "\x93\xa1t", 3);
                msgpack_sbuffer_write(&to, (const char *)times[i].at, times[i].length);
                msgpack_sbuffer_write(&to, (const char *)records[j].at, records[j].length);
                if (has_option)
                    msgpack_sbuffer_write(&to, (const char *)options[k].at, options[k].length);
                const struct scanner *message =
                    scan_one(*state, (struct bytes) { (uint8_t *)to.data, to.size });
                assert_int_equal(message->has_option, has_option);
                assert_int_equal(message->body.end, 3 + times[i].length + records[j].length);
                msgpack_sbuffer_destroy(&to);
            }
        }
    }
}

static void every_shape_of_entry_is_walked(void **state)
{
    static const struct bytes messages[] = {
        BYTES("\x92\xa1t\x90"),
        BYTES("\x93\xa1t\x90\xc0"),
        BYTES("\x93\xa1t\xdc\0\0\x80"),
        BYTES("\x92\xa1t\xdd\0\0\0\0"),
        BYTES("\x92\xa0\x91\x92\xc0\x80"),
        BYTES("\x92\xa1t\x91\x92\xcbtttttttt\x80"),
        BYTES("\x92\xa1t\x91\xdc\0\x02\xd7\0tttttttt\xde\0\x01\xa1k\xa1v"),
        BYTES("\x92\xa1t\x91\xdd\0\0\0\x02\xdd\0\0\0\x02\xd7\0tttttttt\xdf\0\0\0\0\xdf\0\0\0\x01\xa1k\xa1v"),
        BYTES("\x92\xa1t\x92\x92\x92\x01\x81\xa1m\x81\x01\x02\x80\x92\x02\x81\xa1k\x91\x90"),
        BYTES("\x92\xa1t\xa0"),
        BYTES("\x92\xa1t\xc4\0"),
        BYTES("\x93\xa1t\xdb\0\0\0\003abc\xc0"),
        BYTES("\x93\xa1t\xd9\003abc\x80"),
        BYTES("\xdc\0\x02\xdb\0\0\0\x01t\xc6\0\0\0\003abc"),
    };

    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++)
        scan_one(*state, messages[i]);
}

static void option_values_are_read_where_they_have_a_meaning(void **state)
{
    static const struct {
        struct bytes bytes;
        struct span chunk, compressed;
        uint64_t entries;
    } cases[] = {
        /* The last of two keys counts; a nil chunk is no chunk. */
        { BYTES("\x93\xa1t\xa0\x82\245chunk\xa1x\245chunk\xc4\x01y"), { 19, 22 }, { 0, 0 }, 0 },
        { BYTES("\x93\xa1t\xa0\x82\245chunk\xa1x\245chunk\xc0"), { 0, 0 }, { 0, 0 }, 0 },
        { BYTES("\x93\xa1t\xa0\x82\245chunk\xc0\245chunk\xa1x"), { 18, 20 }, { 0, 0 }, 0 },
        { BYTES("\x93\xa1t\xa0\x81\245chunk\xa0"), { 11, 12 }, { 0, 0 }, 0 },
        { BYTES("\x93\xa1t\xa0\x81\xdb\0\0\0\005chunk\xda\0\x01x"), { 15, 19 }, { 0, 0 }, 0 },
        /* "compressed" may have any type; only str and bin count. */
        { BYTES("\x93\xa1t\xa0\x81\252compressed\xc4\x04zstd"), { 0, 0 }, { 18, 22 }, 0 },
        { BYTES("\x93\xa1t\xa0\x81\252compressed\xc0"), { 0, 0 }, { 0, 0 }, 0 },
        { BYTES("\x93\xa1t\xa0\x82\252compressed\xa4gzip\252compressed\x01"), { 0, 0 }, { 0, 0 }, 0 },
        /* "size" counts only if it is a non-negative integer; "compressed", because the body is short. */
        { BYTES("\x93\xa1t\xa0\x82\252compressed\xa2gz\xa4size\x07"), { 0, 0 }, { 17, 19 }, 7 },
        { BYTES("\x93\xa1t\xa0\x82\252compressed\xa2gz\xa4size\xcc\xff"), { 0, 0 }, { 17, 19 }, 255 },
        { BYTES("\x93\xa1t\xa0\x82\252compressed\xa2gz\xa4size\xce\xff\0\0\1"),
          { 0, 0 },
          { 17, 19 },
          0xff000001 },
        { BYTES("\x93\xa1t\xa0\x82\252compressed\xa2gz\xa4size\xcf\xff\0\0\0\0\0\0\1"),
          { 0, 0 },
          { 17, 19 },
          0xff00000000000001 },
        { BYTES("\x93\xa1t\xa0\x82\252compressed\xa2gz\xa4size\xd1\x7f\xff"), { 0, 0 }, { 17, 19 }, 0x7fff },
        { BYTES("\x93\xa1t\xa0\x81\xa4size\xd1\xff\xff"), { 0, 0 }, { 0, 0 }, 0 },
        { BYTES("\x93\xa1t\xa0\x81\xa4size\xff"), { 0, 0 }, { 0, 0 }, 0 },
        { BYTES("\x93\xa1t\xa0\x81\xa4size\2415"), { 0, 0 }, { 0, 0 }, 0 },
        { BYTES("\x93\xa1t\xa0\x81\xa4size\x91\x05"), { 0, 0 }, { 0, 0 }, 0 },
        { BYTES("\x93\xa1t\xa0\x82\xa4size\x07\xa4size\xc0"), { 0, 0 }, { 0, 0 }, 0 },
        { BYTES("\x93\xa1t\x90\x81\xa4size\x07"), { 0, 0 }, { 0, 0 }, 0 },
        /* Other keys, nested keys and keys of other types have no meaning. */
        { BYTES("\x93\xa1t\xa0\x81\245chunj\x01"), { 0, 0 }, { 0, 0 }, 0 },
        { BYTES("\x93\xa1t\xa0\x81\246chunks\x01"), { 0, 0 }, { 0, 0 }, 0 },
        { BYTES("\x93\xa1t\xa0\x81\253compressed2\xa1x"), { 0, 0 }, { 0, 0 }, 0 },
        { BYTES("\x93\xa1t\xa0\x82\xa8metadata\x81\245chunk\xa1x\255fluent_signal\x01"),
          { 0, 0 },
          { 0, 0 },
          0 },
        { BYTES("\x93\xa1t\xa0\x82\x91\245chunk\x01\xc7\x05\001chunk\x01"), { 0, 0 }, { 0, 0 }, 0 },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct scanner *message = scan_one(*state, cases[i].bytes);
        expect_span(message->chunk, cases[i].chunk.start, cases[i].chunk.end);
        expect_span(message->compressed, cases[i].compressed.start, cases[i].compressed.end);
        assert_int_equal(message->entries, cases[i].entries);
    }
}

static void a_message_whose_events_do_not_say_when_is_known(void **state)
{
    static const struct {
        struct bytes bytes;
        bool lacks_time;
    } cases[] = {
        { BYTES("\x93\xa1t\xd7\x00\x65\xf0\x2a\x10\0\0\0\0\x81\xa1k\xa1v"), false },
        { BYTES("\x93\xa1t\xce\x65\xf0\x2a\x10\x81\xa1k\xa1v"), false },
        { BYTES("\x93\xa1t\xd7\x00\0\0\0\0\0\0\0\1\x81\xa1k\xa1v"), true },
        { BYTES("\x93\xa1t\xd7\x01\x65\xf0\x2a\x10\0\0\0\0\x81\xa1k\xa1v"), true },
        { BYTES("\x93\xa1t\xce\0\0\0\0\x81\xa1k\xa1v"), true },
        { BYTES("\x93\xa1t\x00\x80"), true },
        { BYTES("\x93\xa1t\x01\x80"), false },
        { BYTES("\x93\xa1t\xff\x80"), false },
        { BYTES("\x93\xa1t\xcd\0\1\x80"), false },
        { BYTES("\x93\xa1t\xcf\0\0\0\1\0\0\0\0\x81\xa1k\xa1v"), false },
        { BYTES("\x93\xa1t\xd3\0\0\0\0\0\0\0\0\x81\xa1k\xa1v"), true },
        { BYTES("\x93\xa1t\xc0\x80"), true },
        { BYTES("\x93\xa1t\xca\x44\x44\x44\x44\x80"), true },
        { BYTES("\x92\xa1t\x92\x92\xce\0\0\0\1\x80\x92\xce\0\0\0\1\x81\xa1k\xa1v"), false },
        { BYTES("\x92\xa1t\x92\x92\xce\0\0\0\0\x80\x92\xce\0\0\0\1\x81\xa1k\xa1v"), true },
        { BYTES("\x92\xa1t\x91\x92\x92\xce\0\0\0\1\x80\x80"), false },
        { BYTES("\x92\xa1t\x91\x92\x92\xc0\x80\x80"), true },
    };
    struct scan_trace *traces = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct scanner scanner;
        enum scanner_status status;
        size_t at = 0;
        scan_every_way(traces, &generous, cases[i].bytes, "time");
        scanner_init(&scanner, &generous);
        do
            at += scanner_feed(&scanner, cases[i].bytes.at + at, cases[i].bytes.length - at, &status);
        while (status == SCANNER_HEAD);
        assert_int_equal(status, SCANNER_END);
        assert_int_equal(scanner.lacks_time, cases[i].lacks_time);
    }
}

static void messages_follow_each_other(void **state)
{
    struct scan_trace *traces = *state;
    struct bytes bytes = BYTES("\x94\241a\x05\x80\x81\245chunk\xa1x\x92\241b\x91\x92\x05\x80\x93\241c\xa1x"
                               "\x81\252compressed\xa4gzip\x93\241d\x05\x80\x92\241e");

    scan_every_way(traces, &generous, bytes, "stream");
    assert_int_equal(expect_oracle(&traces[0], bytes, "stream"), 4);
    expect_span(traces[0].events[1].scanner.chunk, 12, 14);
    /* No field of a message remains in the next one. */
    expect_absent(traces[0].events[3].scanner.chunk);
    expect_absent(traces[0].events[3].scanner.option);
    expect_absent(traces[0].events[7].scanner.compressed);
    assert_int_equal(traces[0].events[8].status, SCANNER_MORE);
    assert_false(traces[0].events[8].between);
}

static void an_incomplete_message_does_not_end(void **state)
{
    struct scan_trace *traces = *state;
    struct bytes bytes = BYTES("\x93\xa1t\x92\x92\xd7\0tttttttt\x81\xa1k\x91\xd9\x02vv\x92\x92\x05\x80\x81"
                               "\xa1k\xcd\0\x01\x82\245chunk\xa1x\xa4size\x02");

    for (size_t length = 0; length < bytes.length; length++) {
        scan_trace_run(&traces[0], &generous, bytes.at, length, NULL);
        for (unsigned i = 0; i < traces[0].count; i++)
            assert_int_not_equal(traces[0].events[i].status, SCANNER_END);
        assert_int_equal(traces[0].events[traces[0].count - 1].between, length == 0);
    }
    scan_one(traces, bytes);
}

static void an_empty_slice_changes_nothing(void **state)
{
    struct scanner scanner;
    enum scanner_status status;

    (void)state;
    scanner_init(&scanner, &generous);
    assert_int_equal(scanner_feed(&scanner, NULL, 0, &status), 0);
    assert_int_equal(status, SCANNER_MORE);
    assert_true(scanner_is_between(&scanner));
}

/* ---- refusals ----------------------------------------------------------------------------------------- */

/* The bytes are refused with all cuts, and at the same offset when enough bytes for the fast path follow. */
static void expect_refused(struct scan_trace *traces, const struct scanner_limits *limits, struct bytes bytes,
                           enum scanner_refusal refusal)
{
    enum { PADDING = 16 };
    uint8_t *padded = calloc(1, bytes.length + PADDING);

    memcpy(padded, bytes.at, bytes.length);
    scan_trace_run(&traces[1], limits, padded, bytes.length + PADDING, NULL);
    free(padded);
    scan_trace_run(&traces[0], limits, bytes.at, bytes.length, NULL);
    expect_no(scan_trace_difference(&traces[0], &traces[1]), "with bytes after it", 0, 0);
    scan_every_way(traces, limits, bytes, scanner_refusal_name(refusal));
    const struct scan_event *last = &traces[0].events[traces[0].count - 1];
    if (last->scanner.refusal != refusal || last->status != SCANNER_REFUSED)
        fail_msg("%02x %02x %02x… is %s, not %s", bytes.at[0], bytes.at[1], bytes.at[2],
                 scanner_refusal_name(last->scanner.refusal), scanner_refusal_name(refusal));
    assert_false(last->between);
}

static void lost_framing_is_refused(void **state)
{
    static const struct bytes not_forward[] = {
        BYTES("\x01  "),
        BYTES("\xff  "),
        BYTES("\xcc\x01 "),
        BYTES("\xd3tttttttt"),
        BYTES("\xc0\x01 "),
        BYTES("\xa1t\x01"),
        BYTES("\xc1  "),
        BYTES("\x16\x03\x01"),
        BYTES("GET / HTTP/1.1\r\n"),
        BYTES("\x92\xc1\x90"),
        BYTES("\x92\xa1t\xc1"),
        BYTES("\x91\xc1 "),
        BYTES("\x81\xa1k\xc1"),
        BYTES("\x93\xa1t\x01\xc1"),
        BYTES("\x93\xa1t\x01\x81\x01\xc1"),
        BYTES("\x93\xa1t\x01\x81\xc1"),
        BYTES("\x92\xa1t\x91\xc1"),
        BYTES("\x92\xa1t\x91\x92\xc1"),
        BYTES("\x92\xa1t\x91\x93\x01\xc1"),
        BYTES("\x93\xa1t\xa0\xc1"),
        BYTES("\x93\xa1t\xa0\x81\xc1"),
        BYTES("\x93\xa1t\xa0\x81\xa1k\xc1"),
        BYTES("\x93\xa1t\xa0\x81\245chunk\xc1"),
    };

    for (size_t i = 0; i < sizeof not_forward / sizeof *not_forward; i++)
        expect_refused(*state, &generous, not_forward[i], SCANNER_NOT_FORWARD);
    expect_refused(*state, &generous, (struct bytes)BYTES("\xdd\xff\xff\xff\xff"), SCANNER_TOO_LONG);
    expect_refused(*state, &generous, (struct bytes)BYTES("\xdb\xff\xff\xff\xff"), SCANNER_TOO_LONG);
}

/* ---- what is wrong, but well-formed -------------------------------------------------------------------- */

struct wrong {
    struct bytes bytes;
    enum event_fault fault; /* EVENT_FAULT_COUNT: none */
    uint32_t count;
};

#define GOOD "\x94\xa1t\x01\x80\x81\245chunk\xa1x"

/* Scans the value alone, and between two good messages, with all cuts. Compares the faults with those of
 * msgpack-c. Returns the scanner at the end of the value. */
static const struct scanner *expect_wrong(struct scan_trace *traces, const struct wrong *wrong)
{
    enum { GOOD_BYTES = sizeof GOOD - 1 };
    uint8_t around[256];
    struct bytes bytes = { around, wrong->bytes.length + (size_t)2 * GOOD_BYTES };
    const struct scanner *end = NULL;

    memcpy(around, GOOD, GOOD_BYTES);
    memcpy(around + GOOD_BYTES, wrong->bytes.at, wrong->bytes.length);
    memcpy(around + GOOD_BYTES + wrong->bytes.length, GOOD, GOOD_BYTES);
    scan_every_way(traces, &generous, bytes, "wrong");
    assert_int_equal(expect_oracle(&traces[0], bytes, "wrong"), 3);
    scan_every_way(traces, &generous, wrong->bytes, "wrong");
    assert_int_equal(expect_oracle(&traces[0], wrong->bytes, "wrong"), 1);
    for (unsigned i = 0; i < traces[0].count; i++)
        if (traces[0].events[i].status == SCANNER_END)
            end = &traces[0].events[i].scanner;
    for (enum event_fault fault = 0; fault < EVENT_FAULT_COUNT; fault++)
        assert_int_equal(end->faults[fault], fault == wrong->fault ? wrong->count : 0);
    return end;
}

static void a_wrong_event_is_counted_and_later_values_are_found(void **state)
{
    static const struct wrong cases[] = {
        /* record */
        { BYTES("\x93\xa1t\x01\x01"), EVENT_FAULT_RECORD, 1 },
        { BYTES("\x93\xa1t\x01\xc0"), EVENT_FAULT_RECORD, 1 },
        { BYTES("\x93\xa1t\x01\x90"), EVENT_FAULT_RECORD, 1 },
        { BYTES("\x93\xa1t\x01\x92\x80\xa1x"), EVENT_FAULT_RECORD, 1 },
        { BYTES("\x93\xa1t\x01\xa1r"), EVENT_FAULT_RECORD, 1 },
        { BYTES("\x94\xa1t\x01\xc0\x81\245chunk\xa1x"), EVENT_FAULT_RECORD, 1 },
        { BYTES("\x92\xa1t\x92\x92\x01\x90\x92\x01\x80"), EVENT_FAULT_RECORD, 1 },
        { BYTES("\x92\xa1t\x93\x92\x01\xc0\x92\x01\x80\x92\x01\xda\0\1x"), EVENT_FAULT_RECORD, 2 },
        { BYTES("\x92\xa1t\x91\x92\x92\x01\x80\xc4\1x"), EVENT_FAULT_RECORD, 1 },
        /* time */
        { BYTES("\x93\xa1t\xc3\x80"), EVENT_FAULT_TIME, 1 },
        { BYTES("\x93\xa1t\x80\x80"), EVENT_FAULT_TIME, 1 },
        { BYTES("\x94\xa1t\x81\1\x92\1\2\xc0\x81\245chunk\xa1x"), EVENT_FAULT_TIME, 1 },
        { BYTES("\x92\xa1t\x91\x92\xa1x\x80"), EVENT_FAULT_TIME, 1 },
        { BYTES("\x92\xa1t\x91\x92\xa1x\xc0"), EVENT_FAULT_TIME, 1 },
        { BYTES("\x92\xa1t\x92\x92\x81\1\2\x81\1\2\x92\x01\x80"), EVENT_FAULT_TIME, 1 },
        { BYTES("\x92\xa1t\x91\x92\xc2\x80"), EVENT_FAULT_TIME, 1 },
        { BYTES("\x92\xa1t\x91\x92\x91\x01\x80"), EVENT_FAULT_TIME, 1 },
        { BYTES("\x92\xa1t\x91\x92\x93\x01\x80\x80\x80"), EVENT_FAULT_TIME, 1 },
        { BYTES("\x92\xa1t\x91\x92\x92\x92\x01\x80\x80\x80"), EVENT_FAULT_TIME, 1 },
        { BYTES("\x92\xa1t\x91\x92\x92\xa1x\x80\x80"), EVENT_FAULT_TIME, 1 },
        /* entry */
        { BYTES("\x92\xa1t\x91\x01"), EVENT_FAULT_ENTRY, 1 },
        { BYTES("\x92\xa1t\x92\xc0\x92\x01\x80"), EVENT_FAULT_ENTRY, 1 },
        { BYTES("\x92\xa1t\x91\x82\1\2\3\4"), EVENT_FAULT_ENTRY, 1 },
        { BYTES("\x92\xa1t\x93\x90\xa1x\x91\x01"), EVENT_FAULT_ENTRY, 3 },
        { BYTES("\x92\xa1t\x91\x93\x01\x80\x80"), EVENT_FAULT_ENTRY, 1 },
        { BYTES("\x92\xa1t\x91\x92\x92\x01\x01\x80"), EVENT_FAULT_ENTRY, 1 },
        { BYTES("\x92\xa1t\x91\x92\x92\x01\xc0\x80"), EVENT_FAULT_ENTRY, 1 },
        /* What Fluentd takes is right. */
        { BYTES("\x92\xa1t\x93\x92\xc0\x80\x92\xcbtttttttt\x80\x92\x92\xc0\x80\x80"), EVENT_FAULT_COUNT, 0 },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct scanner *end = expect_wrong(*state, &cases[i]);
        assert_false(end->is_foreign);
        assert_int_equal(scanner_invalid_events(end), cases[i].count);
    }
}

static void a_foreign_value_is_scanned_to_its_end(void **state)
{
    static const struct wrong cases[] = {
        { BYTES("\xc0"), EVENT_FAULT_COUNT, 0 },
        { BYTES("\xc3"), EVENT_FAULT_VALUE, 1 },
        { BYTES("\xa0"), EVENT_FAULT_VALUE, 1 },
        { BYTES("\xd9\005hello"), EVENT_FAULT_VALUE, 1 },
        { BYTES("\xcbtttttttt"), EVENT_FAULT_VALUE, 1 },
        { BYTES("\xd7\0tttttttt"), EVENT_FAULT_VALUE, 1 },
        { BYTES("\x80"), EVENT_FAULT_VALUE, 1 },
        { BYTES("\x82\xa1k\x92\1\2\2\x81\1\2"), EVENT_FAULT_VALUE, 1 },
        { BYTES("\x90"), EVENT_FAULT_MESSAGE, 1 },
        { BYTES("\xdd\0\0\0\0"), EVENT_FAULT_MESSAGE, 1 },
        { BYTES("\x91\xa1t"), EVENT_FAULT_MESSAGE, 1 },
        { BYTES("\x95\xa1t\1\x80\x80\x91\1"), EVENT_FAULT_MESSAGE, 1 },
        { BYTES("\xdc\0\x06\1\2\3\4\5\6"), EVENT_FAULT_MESSAGE, 1 },
        { BYTES("\x92\xa1t\x80"), EVENT_FAULT_MESSAGE, 1 },
        { BYTES("\x92\xa1t\xc3"), EVENT_FAULT_MESSAGE, 1 },
        { BYTES("\x92\xa1t\x01"), EVENT_FAULT_MESSAGE, 1 },
        { BYTES("\x94\xa1t\x90\x80\x80"), EVENT_FAULT_MESSAGE, 1 },
        { BYTES("\x94\xa1t\xa0\x80\x80"), EVENT_FAULT_MESSAGE, 1 },
        { BYTES("\x92\x01\x90"), EVENT_FAULT_MESSAGE, 1 },
        { BYTES("\x92\xc0\xa0"), EVENT_FAULT_MESSAGE, 1 },
        { BYTES("\x92\x92\1\2\x91\x92\1\x80"), EVENT_FAULT_MESSAGE, 1 },
        { BYTES("\x93\xc7\x01\x01t\1\x80"), EVENT_FAULT_MESSAGE, 1 },
        { BYTES("\x93\xa1t\xa0\xa1o"), EVENT_FAULT_MESSAGE, 1 },
        { BYTES("\x93\xa1t\x90\x91\x92\1\2"), EVENT_FAULT_MESSAGE, 1 },
        { BYTES("\x94\xa1t\x01\x80\xc3"), EVENT_FAULT_MESSAGE, 1 },
        { BYTES("\x93\xa1t\xa0\x07"), EVENT_FAULT_MESSAGE, 1 },
        { BYTES("\x93\xa1t\xa0\x81\245chunk\x01"), EVENT_FAULT_MESSAGE, 1 },
        { BYTES("\x93\xa1t\xa0\x81\245chunk\x80"), EVENT_FAULT_MESSAGE, 1 },
        { BYTES("\x93\xa1t\xa0\x81\245chunk\x92\1\2"), EVENT_FAULT_MESSAGE, 1 },
        { BYTES("\x93\xa1t\xa0\x82\245chunk\xc2\245chunk\xa1x"), EVENT_FAULT_MESSAGE, 1 },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_true(expect_wrong(*state, &cases[i])->is_foreign);
}

static void the_chunk_id_of_a_foreign_value_is_found(void **state)
{
    static const struct wrong tag = { BYTES("\x93\x01\x90\x81\245chunk\xa1x"), EVENT_FAULT_MESSAGE, 1 };
    const struct scanner *end = expect_wrong(*state, &tag);

    assert_true(end->is_foreign);
    expect_span(end->chunk, 10, 12);
    expect_absent(end->tag);
}

static void a_size_is_ignored_if_the_body_is_too_short(void **state)
{
    static const struct {
        struct bytes bytes;
        uint64_t entries;
    } cases[] = {
        { BYTES("\x93\xa1t\xc4\006\x92\x01\x80\x92\x01\x80\x81\xa4size\x02"), 2 },
        { BYTES("\x93\xa1t\xc4\006\x92\x01\x80\x92\x01\x80\x81\xa4size\x06"), 0 }, /* bytes */
        { BYTES("\x93\xa1t\xa0\x81\xa4size\x01"), 0 },
        { BYTES("\x93\xa1t\xc4\003abc\x82\xa4size\x64\252compressed\xa4gzip"), 100 },
        { BYTES("\x93\xa1t\xc4\003abc\x82\252compressed\xa4gzip\xa4size\x64"), 100 },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(scan_one(*state, cases[i].bytes)->entries, cases[i].entries);
}

static void a_wrong_entry_is_the_first_level(void **state)
{
    struct scanner_limits limits = generous;

    limits.depth = 2;
    scan_every_way(*state, &limits, (struct bytes)BYTES("\x92\xa1t\x91\x93\x01\x90\x02"), "depth");
    assert_int_equal(((struct scan_trace *)*state)->events[1].status, SCANNER_END);
    expect_refused(*state, &limits, (struct bytes)BYTES("\x92\xa1t\x91\x93\x01\x91\x91"), SCANNER_TOO_DEEP);
    expect_refused(*state, &limits, (struct bytes)BYTES("\x95\x91\x91"), SCANNER_TOO_DEEP);
}

static void json_is_recognised_at_the_streams_start(void **state)
{
    struct scan_trace *traces = *state;
    struct bytes object = BYTES("{\"t\":1}"), array = BYTES("[\"t\",1,{}]"),
                 later = BYTES("\x93\xa1t\x01\x80[\"t\"");

    expect_refused(traces, &generous, object, SCANNER_JSON);
    expect_refused(traces, &generous, array, SCANNER_JSON);
    expect_refused(traces, &generous, later, SCANNER_NOT_FORWARD);
    assert_int_equal(expect_oracle(&traces[0], later, "later"), 1);
    expect_refused(traces, &generous, (struct bytes)BYTES("\xc0\xc0{\"t\""), SCANNER_JSON);
    expect_refused(traces, &generous, (struct bytes)BYTES("\xc3{\"t\""), SCANNER_NOT_FORWARD);
}

static void nothing_is_read_after_a_refusal(void **state)
{
    struct scanner scanner;
    enum scanner_status status;

    (void)state;
    scanner_init(&scanner, &generous);
    scanner_feed(&scanner, (const uint8_t *)"\xc1", 1, &status);
    assert_int_equal(status, SCANNER_REFUSED);
    assert_int_equal(scanner_feed(&scanner, (const uint8_t *)"\x92\xa1t\x90", 4, &status), 0);
    assert_int_equal(status, SCANNER_REFUSED);
    assert_int_equal(scanner_feed(&scanner, NULL, 0, &status), 0);
    assert_int_equal(status, SCANNER_REFUSED);
}

/* ---- limits ------------------------------------------------------------------------------------------- */

static void the_longest_tag_passes_and_one_byte_more_does_not(void **state)
{
    struct scanner_limits limits = generous;
    struct bytes fits = BYTES("\x92\xa4tags\x90"), over = BYTES("\x92\xd9\x05"),
                 huge = BYTES("\x92\xc6\xff\xff\xff\xff");

    limits.tag_bytes = 4;
    scan_every_way(*state, &limits, fits, "tag");
    assert_int_equal(expect_oracle(*state, fits, "tag"), 1);
    expect_refused(*state, &limits, over, SCANNER_TAG_TOO_LONG);
    expect_refused(*state, &limits, huge, SCANNER_TAG_TOO_LONG);
}

static void the_longest_message_passes_and_one_byte_more_does_not(void **state)
{
    static const struct bytes messages[] = {
        BYTES("\x92\xa1t\244body"),
        BYTES("\x93\xa1t\244body\x80"),
        BYTES("\x93\xa1t\244body\x81\245chunk\xa1x"),
        BYTES("\x93\xa1t\xd7\0tttttttt\x82\xa1k\x91\x01\xa1v\xd9\003abc"),
        BYTES("\x92\xa1t\x92\x92\x01\x81\xa1k\xa1v\x92\x92\x01\x80\x81\xa1k\xcftttttttt"),
        /* Long enough for the fast path of the head of an event. */
        BYTES("\x93\xa1t\xd7\0tttttttt\x81\xa1k\xbf"
              "thirty-one characters all told."),
        BYTES("\x92\xa1t\x91\x92\xd8\0tttttttttttttttt\x81\xa1k\xbf"
              "thirty-one characters all told."),
        BYTES("\x92\xa1t\x92\xdd\0\0\0\x02\x01\xdf\0\0\0\x01\xa1k\xb7"
              "twenty-three characters"
              "\xdd\0\0\0\x02\xd7\0tttttttt\x82\xa1k\xbf"
              "thirty-one characters all told.\xa1k\x01"),
    };

    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
        struct scanner_limits limits = generous;
        limits.message_bytes = messages[i].length;
        scan_every_way(*state, &limits, messages[i], "longest");
        assert_int_equal(expect_oracle(*state, messages[i], "longest"), 1);
        for (limits.message_bytes = 1; limits.message_bytes < messages[i].length; limits.message_bytes++)
            expect_refused(*state, &limits, messages[i], SCANNER_TOO_LONG);
    }
}

/* The header alone is refused, without the bytes that it announces. */
static void a_header_is_refused_for_what_it_announces(void **state)
{
    static const struct bytes headers[] = {
        BYTES("\x92\xa1t\xc6\xff\xff\xff\xff"),
        BYTES("\x92\xa1t\xdb\x10\0\0\0"),
        BYTES("\x92\xa1t\xdd\xff\xff\xff\xff"),
        BYTES("\x92\xa1t\xdd\x10\0\0\0"),
        BYTES("\x93\xa1t\x01\xdf\xff\xff\xff\xff"),
        BYTES("\x93\xa1t\x01\xdf\x08\0\0\0"),
        BYTES("\x93\xa1t\x01\x81\x01\xdd\xff\xff\xff\xff"),
        BYTES("\x93\xa1t\x01\x81\x01\xc9\xff\xff\xff\xff"),
        BYTES("\x93\xa1t\xc9\x10\0\0\0"),
        BYTES("\x93\xa1t\x90\xdf\xff\xff\xff\xff"),
        BYTES("\x93\xa1t\x90\x81\xa1k\xdb\xff\xff\xff\xff"),
        BYTES("\x93\xa1t\x90\x81\xdb\xff\xff\xff\xff"),
    };

    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        expect_refused(*state, &generous, headers[i], SCANNER_TOO_LONG);
        assert_int_equal(((struct scan_trace *)*state)->events[1].at, headers[i].length);
    }
}

/* The counts of several headers add up, though each is small enough alone. */
static void announcements_add_up(void **state)
{
    struct scanner_limits limits = generous;
    struct bytes nested = BYTES("\x93\xa1t\x01\x81\xa1k\xdc\x01\0\xdc\x01\0");
    struct bytes body_and_rest = BYTES("\x92\xa1t\xdc\0\x20\x92\x01\x81\xa1k\xd9\x40");

    limits.message_bytes = 0x180;
    expect_refused(*state, &limits, nested, SCANNER_TOO_LONG);
    limits.message_bytes = 3 + 3 + 2 + 31 + 3 + 2 + 0x40 - 1;
    expect_refused(*state, &limits, body_and_rest, SCANNER_TOO_LONG);
}

static void without_a_limit_no_count_overflows(void **state)
{
    struct scanner_limits limits = { .tag_bytes = UINT32_MAX,
                                     .message_bytes = UINT64_MAX,
                                     .depth = SCANNER_DEPTH_MAX };
    struct scanner scanner;
    enum scanner_status status;
    struct bytes map = BYTES("\x93\xa1t\x01\xdf\x80\0\0\0"),
                 arrays = BYTES("\x93\xa1t\x01\xdf\x7f\xff\xff\xff\xdd\xff\xff\xff\xff");
    struct bytes inner_map = BYTES("\x93\xa1t\x01\x81\x01\xdf\x80\0\0\0");
    struct bytes body = BYTES("\x93\xa1t\xc6\xff\xff\xff\xff");
    uint8_t *block = calloc(1, 1 << 20);

    /* More than 2^32-1 values in one map are refused whatever the limit. */
    expect_refused(*state, &limits, map, SCANNER_TOO_LONG);
    expect_refused(*state, &limits, inner_map, SCANNER_TOO_LONG);
    scan_every_way(*state, &limits, arrays, "arrays");
    assert_int_equal(((struct scan_trace *)*state)->events[1].status, SCANNER_MORE);
    assert_int_equal(((struct scan_trace *)*state)->events[1].scanner.announced,
                     14 + 0xfffffffeULL + 0xffffffffULL - 1);

    scanner_init(&scanner, &limits);
    assert_int_equal(scanner_feed(&scanner, body.at, body.length, &status), 3);
    assert_int_equal(status, SCANNER_HEAD);
    assert_int_equal(scanner_feed(&scanner, body.at + 3, body.length - 3, &status), 5);
    assert_int_equal(scanner.announced, 8 + 0xffffffffULL + 1);
    for (unsigned i = 0; i < 4096; i++) {
        size_t part = (1 << 20) - (i == 4095);
        assert_int_equal(scanner_feed(&scanner, block, part, &status), part);
        assert_int_equal(status, SCANNER_MORE);
    }
    assert_int_equal(scanner_feed(&scanner, (const uint8_t *)"\xc0", 1, &status), 1);
    assert_int_equal(status, SCANNER_END);
    expect_span(scanner.body, 3, 8 + 0xffffffffULL);
    free(block);
}

static void a_chunk_id_has_a_maximum_length(void **state)
{
    uint8_t bytes[16 + SCANNER_CHUNK_BYTES_MAX] = "\x93\xa1t\xa0\x81\245chunk\xda";
    enum { CONTENT = SCANNER_CHUNK_BYTES_MAX - 3, BEFORE = 14 };

    bytes[12] = CONTENT >> 8;
    bytes[13] = CONTENT & 0xff;
    const struct scanner *message = scan_one(*state, (struct bytes) { bytes, BEFORE + CONTENT });
    expect_span(message->chunk, 11, 11 + SCANNER_CHUNK_BYTES_MAX);
    bytes[13]++;
    expect_refused(*state, &generous, (struct bytes) { bytes, BEFORE }, SCANNER_BAD_OPTION);
}

/* `depth` arrays nested in each other, the outermost in a record or option at depth 1. */
static struct bytes nest(uint8_t *to, struct bytes before, unsigned depth)
{
    memcpy(to, before.at, before.length);
    memset(to + before.length, 0x91, depth);
    to[before.length + depth - 1] = 0x90;
    return (struct bytes) { to, before.length + depth };
}

static void the_deepest_nesting_passes_and_one_level_more_does_not(void **state)
{
    static const struct bytes before[] = { BYTES("\x93\xa1t\x01\x81\xa1k"),
                                           BYTES("\x92\xa1t\x91\x92\x01\x81\xa1k"),
                                           BYTES("\x92\xa1t\x91\x92\x92\x01\x81\xa1k"),
                                           BYTES("\x93\xa1t\xa0\x81\xa1k"), BYTES("\x93\xa1t\xa0\x81") };
    static const unsigned depths[] = { 2, 3, 20, SCANNER_DEPTH_MAX };
    static const char rest[] = { 0x10, 0x10 };

    for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
        for (size_t j = 0; j < sizeof depths / sizeof *depths; j++) {
            struct scanner_limits limits = generous;
            uint8_t buffer[256];
            struct bytes bytes = nest(buffer, before[i], depths[j] - 1);
            limits.depth = depths[j];
            memcpy(buffer + bytes.length, rest, sizeof rest);
            bytes.length += i == 2; /* where metadata was deep, the record is missing: a wrong one follows */
            bytes.length += i == 4; /* where a key was deep, its value */
            scan_every_way(*state, &limits, bytes, "deep");
            const struct scan_event *event = &((struct scan_trace *)*state)->events[1];
            assert_int_equal(event->scanner.refusal, SCANNER_NOT_REFUSED);
            assert_int_equal(event->status, SCANNER_END);
            assert_int_equal(event->scanner.faults[EVENT_FAULT_RECORD], i == 2);
            expect_refused(*state, &limits, nest(buffer, before[i], depths[j]), SCANNER_TOO_DEEP);
        }
    }
}

static void at_depth_one_records_and_options_are_flat(void **state)
{
    struct scanner_limits limits = generous;
    struct bytes flat = BYTES("\x94\xa1t\x01\x81\x01\x02\x81\x03\x04"),
                 record = BYTES("\x93\xa1t\x01\x81\x01\x80");
    struct bytes option = BYTES("\x93\xa1t\xa0\x81\x01\x90");

    limits.depth = 1;
    scan_every_way(*state, &limits, flat, "flat");
    assert_int_equal(expect_oracle(*state, flat, "flat"), 1);
    expect_refused(*state, &limits, record, SCANNER_TOO_DEEP);
    expect_refused(*state, &limits, option, SCANNER_TOO_DEEP);
}

/* ---- random messages ---------------------------------------------------------------------------------- */

struct generator {
    uint64_t random;
    uint8_t bytes[65536];
    size_t length;
};

/* splitmix64 */
static uint64_t draw(struct generator *generator, uint64_t below)
{
    uint64_t z = (generator->random += 0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return (z ^ (z >> 31)) % below;
}

static void put_byte(struct generator *generator, uint64_t byte)
{
    generator->bytes[generator->length++] = (uint8_t)byte;
}

static void put_number(struct generator *generator, uint64_t number, unsigned bytes)
{
    while (bytes--)
        put_byte(generator, number >> 8 * bytes);
}

static void put_noise(struct generator *generator, uint64_t bytes)
{
    while (bytes--)
        put_byte(generator, draw(generator, 256));
}

/* A header of any width that holds `size`: `first` is the one-byte-number form's first byte or 0 where there
 * is none; the 16 and 32-bit forms follow it. */
static void put_sized(struct generator *generator, uint8_t first, uint8_t first_16, uint64_t size)
{
    uint64_t width = draw(generator, 3);

    if (width == 0 && first && size < 256) {
        put_byte(generator, first);
        put_number(generator, size, 1);
    } else if (width <= 1) {
        put_byte(generator, first_16);
        put_number(generator, size, 2);
    } else {
        put_byte(generator, first_16 + 1U);
        put_number(generator, size, 4);
    }
}

static void put_string_header(struct generator *generator, uint64_t length)
{
    if (draw(generator, 3) == 0)
        put_sized(generator, 0xc4, 0xc5, length);
    else if (length < 32 && draw(generator, 3))
        put_byte(generator, 0xa0 + length);
    else
        put_sized(generator, 0xd9, 0xda, length);
}

static void put_string(struct generator *generator, const char *text)
{
    put_string_header(generator, strlen(text));
    while (*text)
        put_byte(generator, (uint8_t)*text++);
}

static void put_noise_string(struct generator *generator)
{
    uint64_t length = draw(generator, 20) ? draw(generator, 40) : draw(generator, 600);

    put_string_header(generator, length);
    put_noise(generator, length);
}

static void put_array_header(struct generator *generator, uint64_t elements)
{
    if (elements < 16 && draw(generator, 3))
        put_byte(generator, 0x90 + elements);
    else
        put_sized(generator, 0, 0xdc, elements);
}

static void put_map_header(struct generator *generator, uint64_t pairs)
{
    if (pairs < 16 && draw(generator, 3))
        put_byte(generator, 0x80 + pairs);
    else
        put_sized(generator, 0, 0xde, pairs);
}

/* Nil, boolean, number or ext. */
static void put_scalar(struct generator *generator)
{
    static const uint8_t firsts[] = { 0xc0, 0xc2, 0xc3, 0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf, 0xd0, 0xd1,
                                      0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0x00, 0x7f, 0xe0, 0xff };
    static const uint8_t bodies[] = { 0, 0, 0, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 2, 3, 5, 9, 17, 0, 0, 0, 0 };
    uint64_t choice = draw(generator, sizeof firsts + 1);

    if (choice == sizeof firsts) {
        uint64_t length = draw(generator, 30);
        put_sized(generator, 0xc7, 0xc8, length);
        put_noise(generator, 1 + length);
        return;
    }
    put_byte(generator, firsts[choice]);
    put_noise(generator, bodies[choice]);
}

static void put_value(struct generator *generator, unsigned depth);

static void put_map(struct generator *generator, unsigned depth)
{
    uint64_t pairs = draw(generator, draw(generator, 10) ? 5 : 40);

    if (generator->length > sizeof generator->bytes / 2)
        pairs = 0;
    put_map_header(generator, pairs);
    for (uint64_t i = 0; i < pairs; i++) {
        if (draw(generator, 20))
            put_noise_string(generator);
        else
            put_value(generator, depth + 1);
        put_value(generator, depth + 1);
    }
}

static void put_value(struct generator *generator, unsigned depth)
{
    uint64_t choice = draw(generator, 10);

    if (choice < 5 || depth > 8) {
        put_noise_string(generator);
    } else if (choice < 8) {
        put_scalar(generator);
    } else if (choice == 8) {
        put_map(generator, depth);
    } else {
        uint64_t elements = generator->length > sizeof generator->bytes / 2 ? 0 : draw(generator, 5);
        put_array_header(generator, elements);
        for (uint64_t i = 0; i < elements; i++)
            put_value(generator, depth + 1);
    }
}

static void put_time(struct generator *generator)
{
    static const uint8_t firsts[] = { 0xd7, 0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf, 0xd3, 0xd8, 0x10, 0xc0 };
    static const uint8_t bodies[] = { 9, 4, 8, 1, 2, 4, 8, 8, 17, 0, 0 };
    uint64_t choice = draw(generator, sizeof firsts + 1);

    if (choice == sizeof firsts) {
        put_sized(generator, 0xc7, 0xc8, 8);
        put_noise(generator, 9);
        return;
    }
    put_byte(generator, firsts[choice]);
    put_noise(generator, bodies[choice]);
}

static void put_option(struct generator *generator)
{
    static const char *const keys[] = { "chunk", "size", "compressed", "fluent_signal", "x", "chunk " };
    uint64_t pairs = draw(generator, 5);

    if (draw(generator, 5) == 0) {
        put_byte(generator, 0xc0);
        return;
    }
    put_map_header(generator, pairs);
    for (uint64_t i = 0; i < pairs; i++) {
        uint64_t key = draw(generator, sizeof keys / sizeof *keys + 1);
        if (key < sizeof keys / sizeof *keys)
            put_string(generator, keys[key]);
        else
            put_value(generator, 1);
        if (key == 0 && draw(generator, 8))
            put_noise_string(generator);
        else if (key == 0)
            put_byte(generator, 0xc0);
        else
            put_value(generator, 1);
    }
}

static void put_message(struct generator *generator)
{
    enum scanner_mode mode = (enum scanner_mode)draw(generator, 3);
    bool has_option = draw(generator, 3);

    put_array_header(generator, (mode == SCANNER_MESSAGE ? 3 : 2) + has_option);
    put_noise_string(generator);
    if (mode == SCANNER_MESSAGE) {
        put_time(generator);
        put_map(generator, 0);
    } else if (mode == SCANNER_FORWARD) {
        uint64_t entries = draw(generator, 30);
        put_array_header(generator, entries);
        for (uint64_t i = 0; i < entries; i++) {
            put_array_header(generator, 2);
            if (draw(generator, 3) == 0) {
                put_array_header(generator, 2);
                put_time(generator);
                put_map(generator, 5);
            } else {
                put_time(generator);
            }
            put_map(generator, 4);
        }
    } else {
        uint64_t length = draw(generator, draw(generator, 3) ? 300 : 5000);
        put_string_header(generator, length);
        put_noise(generator, length);
    }
    if (has_option)
        put_option(generator);
}

/* Random ascending cuts; returns their number. */
static size_t draw_cuts(struct generator *generator, size_t *cuts, size_t most)
{
    uint64_t stride = 1 + draw(generator, draw(generator, 2) ? 8 : 1 + generator->length / 3);
    size_t count = 0;

    for (size_t at = draw(generator, stride + 1); at < generator->length && count < most;
         at += draw(generator, stride + 1))
        cuts[count++] = at;
    return count;
}

static void random_messages_agree_with_msgpack_c(void **state)
{
    struct scan_trace *traces = *state;
    struct generator *generator = calloc(1, sizeof *generator);
    size_t *cuts = calloc(20000, sizeof *cuts);
    unsigned rounds = is_light() ? 300 : 4000;

    for (unsigned round = 0; round < rounds; round++) {
        char name[32];
        size_t messages = 0;
        snprintf(name, sizeof name, "seed %u", round);
        generator->random = round;
        generator->length = 0;
        do
            put_message(generator);
        while (++messages < 3 && generator->length < 2000);
        struct bytes bytes = { generator->bytes, generator->length };

        scan_trace_run(&traces[0], &generous, bytes.at, bytes.length, NULL);
        assert_int_equal(expect_oracle(&traces[0], bytes, name), messages);
        assert_int_equal(traces[0].count, 2 * messages + 1);
        assert_true(traces[0].events[2 * messages].between);
        for (unsigned i = 0; i < 4; i++) {
            size_t count = draw_cuts(generator, cuts, 20000);
            scan_trace_run(&traces[1], &generous, bytes.at, bytes.length,
                           &(struct scan_cuts) { cuts, count });
            expect_no(scan_trace_difference(&traces[0], &traces[1]), name, 0, 0);
        }
        /* Without its last bytes the last message does not end. */
        size_t last = messages > 1 ? traces[0].events[2 * messages - 3].at : 0;
        size_t length = last + draw(generator, bytes.length - last);
        scan_trace_run(&traces[1], &generous, bytes.at, length, NULL);
        assert_int_equal(expect_oracle(&traces[1], bytes, name), messages - 1);
    }
    free(cuts);
    free(generator);
}

/* Messages with some changed bytes: the events do not depend on cuts, and msgpack-c finds the same messages.
 */
static void damaged_messages_scan_the_same_with_all_cuts(void **state)
{
    struct scan_trace *traces = *state;
    struct generator *generator = calloc(1, sizeof *generator);
    size_t *cuts = calloc(20000, sizeof *cuts);
    struct scanner_limits limits = { .tag_bytes = 64, .message_bytes = 16384, .depth = 12 };
    unsigned rounds = is_light() ? 1000 : 20000;

    for (unsigned round = 0; round < rounds; round++) {
        char name[32];
        snprintf(name, sizeof name, "seed %u", round);
        generator->random = round;
        generator->length = 0;
        put_message(generator);
        for (uint64_t changes = 1 + draw(generator, 4); changes; changes--)
            generator->bytes[draw(generator, generator->length)] = (uint8_t)draw(generator, 256);
        limits.message_bytes = 1 + draw(generator, 2 * generator->length);
        struct bytes bytes = { generator->bytes, generator->length };

        scan_trace_run(&traces[0], &limits, bytes.at, bytes.length, NULL);
        expect_oracle(&traces[0], bytes, name);
        size_t count = draw_cuts(generator, cuts, 20000);
        scan_trace_run(&traces[1], &limits, bytes.at, bytes.length, &(struct scan_cuts) { cuts, count });
        expect_no(scan_trace_difference(&traces[0], &traces[1]), name, 0, 0);
    }
    free(cuts);
    free(generator);
}

static void every_refusal_has_a_name(void **state)
{
    (void)state;
    for (int refusal = SCANNER_NOT_REFUSED; refusal <= SCANNER_BAD_OPTION; refusal++)
        assert_non_null(scanner_refusal_name((enum scanner_refusal)refusal));
    assert_string_equal(scanner_refusal_name(SCANNER_TAG_TOO_LONG), "tag_too_long");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(captures_scan_the_same_with_all_cuts),
        TEST(a_handshake_is_not_a_message),
        TEST(spans_of_a_message),
        TEST(spans_of_packed_entries),
        TEST(spans_of_forward_entries),
        TEST(every_shape_of_time_record_and_option_is_a_message),
        TEST(every_shape_of_entry_is_walked),
        TEST(option_values_are_read_where_they_have_a_meaning),
        TEST(a_message_whose_events_do_not_say_when_is_known),
        TEST(messages_follow_each_other),
        TEST(an_incomplete_message_does_not_end),
        TEST(an_empty_slice_changes_nothing),
        TEST(lost_framing_is_refused),
        TEST(a_wrong_event_is_counted_and_later_values_are_found),
        TEST(a_foreign_value_is_scanned_to_its_end),
        TEST(the_chunk_id_of_a_foreign_value_is_found),
        TEST(a_size_is_ignored_if_the_body_is_too_short),
        TEST(a_wrong_entry_is_the_first_level),
        TEST(json_is_recognised_at_the_streams_start),
        TEST(nothing_is_read_after_a_refusal),
        TEST(the_longest_tag_passes_and_one_byte_more_does_not),
        TEST(the_longest_message_passes_and_one_byte_more_does_not),
        TEST(a_header_is_refused_for_what_it_announces),
        TEST(announcements_add_up),
        TEST(without_a_limit_no_count_overflows),
        TEST(a_chunk_id_has_a_maximum_length),
        TEST(the_deepest_nesting_passes_and_one_level_more_does_not),
        TEST(at_depth_one_records_and_options_are_flat),
        TEST(random_messages_agree_with_msgpack_c),
        TEST(damaged_messages_scan_the_same_with_all_cuts),
        TEST(every_refusal_has_a_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
