/* Structured log lines. Each line is one write; any thread may log.
 *
 * Owns the lock of the descriptor and the count of dropped lines. A line never blocks its thread: if the
 * descriptor cannot take it, the line is dropped and counted, and the next written line reports the count.
 * UTF-8 stays as it is, except characters that hide or reorder text. Everything else is escaped so that two
 * different values never look the same: a byte that is not UTF-8 is \xff in a text line, and the lone
 * surrogate \udcff in a JSON line (RFC 8259, 8.2). Secrets and record contents must not be logged. */
#ifndef HUSK_BASE_LOG_H
#define HUSK_BASE_LOG_H

#include "base/end_reason.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_TEXT, LOG_JSON };
enum { LOG_LINE_BYTES = 2048 }; /* below PIPE_BUF, so that lines of several writers do not mix */

struct log {
    int fd;
    enum log_level level; /* lines below it are not written */
    enum log_format format;
    pthread_mutex_t lock;
    uint64_t dropped; /* lines since the last written one; protected by lock */
    /* Copies a text that names settings as options, `--cert`, in the words of the user. `side`: the side that
     * the text is about; some settings exist on both. The caller frees the copy; NULL when out of memory. */
    char *(*translate)(const char *text, enum side side); /* NULL: the user writes options */
};

/* `fd` is borrowed. */
void log_init(struct log *log, int fd, enum log_level level, enum log_format format);
void log_deinit(struct log *log);

/* Sets how the user writes settings. Call it before other threads log. */
void log_use_words(struct log *log, char *(*translate)(const char *text, enum side side));
/* Puts the words of the user into a text that names settings as options. The text is cut at `size` bytes. */
void log_translate(const struct log *log, enum side side, char *text, size_t size);

/* A line being built, on the stack of the caller, between log_begin and log_end. */
struct log_line {
    struct log *log;
    bool wanted; /* the level is enabled */
    size_t length;
    char text[LOG_LINE_BYTES];
};

/* Begins a line with time, level and `message`. A line is cut at LOG_LINE_BYTES. */
void log_begin(struct log_line *line, struct log *log, enum log_level level, const char *message);
/* The same for a message that names settings as options, in the words of the user. */
void log_begin_words(struct log_line *line, struct log *log, enum log_level level, enum side side,
                     const char *message);
/* Adds key="value"; a NULL or empty value adds nothing. */
void log_text(struct log_line *line, const char *key, const char *value);
/* The same for a value that names settings as options, in the words of the user. */
void log_words(struct log_line *line, enum side side, const char *key, const char *value);
void log_number(struct log_line *line, const char *key, int64_t value);
/* Adds how many lines a limiter has suppressed before this one; 0 adds nothing. */
void log_suppressed(struct log_line *line, uint32_t count);
/* Writes the line. */
void log_end(struct log_line *line);

/* Writes a line that has a message and no fields. */
void log_say(struct log *log, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with the field "route"; NULL: without it. */
void log_say_of(struct log *log, enum log_level level, const char *route, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Limits repeated lines to `burst` lines in ten seconds, and counts the others. Belongs to one thread.
 * Zero-initialise. */
enum { LOG_LIMITER_WINDOW_MS = 10000 };

struct log_limiter {
    uint64_t window_start_ms;
    uint32_t written;
    uint32_t suppressed; /* lines since the last admitted one */
};

/* True when a line may be written now. *suppressed is then the number of lines that were suppressed before.
 * `now_ms` is any monotonic clock; `burst` 0: no limit. */
bool log_limiter_admit(struct log_limiter *limiter, uint64_t now_ms, uint32_t burst, uint32_t *suppressed);

#endif
