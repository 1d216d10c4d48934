/* Runs the scanner over bytes cut in any way, and checks what it says: against itself cut otherwise, and
 * against msgpack-c. For unit tests and fuzzing. */
#ifndef HUSK_TESTS_SUPPORT_SCAN_CHECK_H
#define HUSK_TESTS_SUPPORT_SCAN_CHECK_H

#include "forward/scanner.h"

enum { SCAN_EVENTS_MAX = 4096 };

/* What the scanner said, and its public fields then. */
struct scan_event {
    enum scanner_status status;
    uint64_t at; /* bytes of the stream taken by then */
    bool between;
    struct scanner scanner;
};

/* The events of one stream; the last is always the state at its end (SCANNER_MORE or SCANNER_REFUSED). */
struct scan_trace {
    unsigned count;
    struct scan_event events[SCAN_EVENTS_MAX];
};

/* Scans `bytes` in slices that end at each of `cuts` (ascending, within the bytes). Each slice is a block of
 * its own, so that a sanitizer sees a read past it. Aborts when the scanner breaks its contract: takes more
 * than it was given, leaves bytes with SCANNER_MORE, says HEAD twice or END without HEAD. */
void scan_trace_run(struct scan_trace *trace, const struct scanner_limits *limits, const uint8_t *bytes,
                    size_t length, const size_t *cuts, size_t cut_count);

/* NULL when both say the same at the same bytes, else what differs. */
const char *scan_trace_difference(const struct scan_trace *a, const struct scan_trace *b);

/* NULL when msgpack-c finds, at the front of `bytes`, the message that `scanner` has just ended, else what
 * differs. Its nesting must stay below msgpack-c's own limit of 32. */
const char *scan_oracle_difference(const struct scanner *scanner, const uint8_t *bytes, size_t length);

#endif
