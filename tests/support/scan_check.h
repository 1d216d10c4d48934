/* Runs the scanner over bytes cut into any slices, and compares its events with those of other cuts and with
 * msgpack-c. For unit tests and fuzzing. */
#ifndef HUSK_TESTS_SUPPORT_SCAN_CHECK_H
#define HUSK_TESTS_SUPPORT_SCAN_CHECK_H

#include "forward/scanner.h"

enum { SCAN_EVENTS_MAX = 4096 };

/* One event, and the scanner's public fields at that time. */
struct scan_event {
    enum scanner_status status;
    uint64_t at; /* bytes of the stream taken so far */
    bool between;
    struct scanner scanner;
};

/* The events of one stream; the last is always the state at its end (SCANNER_MORE or SCANNER_REFUSED). */
struct scan_trace {
    unsigned count;
    struct scan_event events[SCAN_EVENTS_MAX];
};

/* Where a stream is cut into slices: ascending offsets within the stream. */
struct scan_cuts {
    const size_t *at;
    size_t count;
};

/* Scans `bytes` in the slices between `cuts`; NULL: one slice. Each slice is a block of its own, so that a
 * sanitizer sees a read past its end. Aborts when the scanner breaks its contract: takes more than it was
 * given, leaves bytes with SCANNER_MORE, reports HEAD twice, or END without HEAD for a value that is not
 * foreign. */
void scan_trace_run(struct scan_trace *trace, const struct scanner_limits *limits, const uint8_t *bytes,
                    size_t length, const struct scan_cuts *cuts);

/* NULL when both have the same events at the same bytes, otherwise the difference. */
const char *scan_trace_difference(const struct scan_trace *a, const struct scan_trace *b);

/* NULL when msgpack-c finds the message, or foreign value, that `scanner` has just ended at the front of
 * `bytes`, with the same invalid events; otherwise the difference. The message must be nested less deeply
 * than 32, the limit of msgpack-c. */
const char *scan_oracle_difference(const struct scanner *scanner, const uint8_t *bytes, size_t length);

/* What msgpack-c says about the entry at the front of `bytes`: its fault, EVENT_FAULT_COUNT when it has none.
 * *taken: its bytes; 0 when msgpack-c cannot read it. */
enum event_fault scan_oracle_entry(const uint8_t *bytes, size_t length, size_t *taken);

#endif
