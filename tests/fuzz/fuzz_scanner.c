/* The scanner over any bytes. Its events must be the same whole, byte by byte and cut at random. Where it
 * finds a message, msgpack-c must find the same message.
 *
 * The first 8 bytes of an input choose: 4 bytes the limits (half of the inputs have wide ones), 4 bytes the
 * cuts. */
#include "support/scan_check.h"

#include <stdio.h>
#include <stdlib.h>

enum { CHOICE_BYTES = 8, INPUT_BYTES_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void expect_same(const char *difference, const char *how)
{
    if (!difference)
        return;
    fprintf(stderr, "fuzz_scanner: %s: %s\n", how, difference);
    abort();
}

static struct scanner_limits choose_limits(const uint8_t *choice)
{
    struct scanner_limits limits = { .tag_bytes = 1024, .message_bytes = 256 << 20, .depth = 20 };

    if (choice[0] & 1) {
        limits.tag_bytes = choice[1];
        limits.message_bytes = 1U + choice[2] + (choice[0] & 2 ? 256U * choice[3] : 0);
        limits.depth = 1 + (choice[0] >> 2) % 20;
    }
    return limits;
}

/* Ascending cuts, mostly close together; returns their number. */
static size_t choose_cuts(size_t *cuts, size_t length, const uint8_t *choice)
{
    uint32_t random = 1 + (uint32_t)choice[0] + ((uint32_t)choice[1] << 8) + ((uint32_t)choice[2] << 16);
    size_t count = 0, at = 0;

    for (;;) {
        random = random * 1664525 + 1013904223;
        at += (random >> 16) % (1U + choice[3]);
        if (at >= length || count == INPUT_BYTES_MAX)
            return count;
        cuts[count++] = at;
    }
}

static void check_against_msgpack(const struct scan_trace *trace, const uint8_t *bytes, size_t length)
{
    for (unsigned i = 0; i < trace->count; i++) {
        const struct scan_event *event = &trace->events[i];
        size_t start = (size_t)(event->at - event->scanner.length);
        if (event->status == SCANNER_END)
            expect_same(scan_oracle_difference(&event->scanner, bytes + start, length - start), "msgpack-c");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct scan_trace whole, cut;
    static size_t cuts[INPUT_BYTES_MAX];
    struct scanner_limits limits;
    size_t count;

    if (length < CHOICE_BYTES || length - CHOICE_BYTES > INPUT_BYTES_MAX)
        return 0;
    limits = choose_limits(bytes);
    const uint8_t *choice = bytes + 4;
    bytes += CHOICE_BYTES;
    length -= CHOICE_BYTES;

    scan_trace_run(&whole, &limits, bytes, length, NULL);
    check_against_msgpack(&whole, bytes, length);
    for (count = 0; count + 1 < length; count++)
        cuts[count] = count + 1;
    scan_trace_run(&cut, &limits, bytes, length, &(struct scan_cuts) { cuts, count });
    expect_same(scan_trace_difference(&whole, &cut), "a byte at a time");
    count = choose_cuts(cuts, length, choice);
    scan_trace_run(&cut, &limits, bytes, length, &(struct scan_cuts) { cuts, count });
    expect_same(scan_trace_difference(&whole, &cut), "cut");
    return 0;
}
