/* Structured log lines, one write each, safe from any thread.
 *
 * Owns the descriptor's lock and the count of lines that could not be written. A line never blocks its
 * thread: when the descriptor cannot take it, it is dropped and counted, and the next line that gets through
 * says so. Values are escaped; secrets and record contents have no business here. */
#ifndef HUSK_BASE_LOG_H
#define HUSK_BASE_LOG_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_TEXT, LOG_JSON };
enum { LOG_LINE_BYTES = 2048 }; /* under PIPE_BUF, so that lines of several writers never mix */

struct log {
    int fd;
    enum log_level level; /* lines below it are not written */
    enum log_format format;
    pthread_mutex_t lock;
    uint64_t dropped; /* under lock */
};

/* `fd` is borrowed. */
void log_init(struct log *log, int fd, enum log_level level, enum log_format format);
void log_deinit(struct log *log);

/* A line under construction; lives on the caller's stack between log_begin and log_end. */
struct log_line {
    struct log *log;
    bool wanted; /* level is enabled: fields are kept */
    size_t length;
    char text[LOG_LINE_BYTES];
};

/* Begins a line: time, level and `message`. What does not fit in LOG_LINE_BYTES is cut. */
void log_begin(struct log_line *line, struct log *log, enum log_level level, const char *message);
/* Adds key="value"; a NULL or empty value adds nothing. */
void log_text(struct log_line *line, const char *key, const char *value);
void log_number(struct log_line *line, const char *key, int64_t value);
/* Writes the line. */
void log_end(struct log_line *line);

/* One whole line made of a message alone. */
void log_say(struct log *log, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Keeps repeated lines from flooding the log: at most `burst` lines in ten seconds, the rest counted.
 * Belongs to one thread. Zero-initialised is ready to use. */
enum { LOG_LIMITER_WINDOW_MS = 10000 };

struct log_limiter {
    uint64_t window_start_ms;
    uint32_t written;
    uint32_t suppressed; /* since the last line that was let through */
};

/* True when a line may be written now; then *suppressed is how many were swallowed before it.
 * `now_ms` is any monotonic clock; `burst` 0 means no limit. */
bool log_limiter_admit(struct log_limiter *limiter, uint64_t now_ms, uint32_t burst, uint32_t *suppressed);

#endif
