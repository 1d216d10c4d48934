#include "base/log.h"

#include "base/utf8.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_TAIL_BYTES = 48 }; /* reserved for the count of dropped lines, "}" and the newline */

static const char *const level_names[] = { "debug", "info", "warn", "error" };

void log_init(struct log *log, int fd, enum log_level level, enum log_format format)
{
    *log = (struct log) { .fd = fd, .level = level, .format = format };
    pthread_mutex_init(&log->lock, NULL);
}

void log_deinit(struct log *log)
{
    pthread_mutex_destroy(&log->lock);
}

/* ---- the words of the user ---- */

void log_use_words(struct log *log, char *(*translate)(const char *text, enum side side))
{
    log->translate = translate;
}

/* NULL: the text stays as it is. */
static char *translated(const struct log *log, enum side side, const char *text)
{
    return log->translate && text && strstr(text, "--") ? log->translate(text, side) : NULL;
}

void log_translate(const struct log *log, enum side side, char *text, size_t size)
{
    char *words = translated(log, side, text);

    if (words)
        snprintf(text, size, "%s", words);
    free(words);
}

/* ---- lines ---- */

static void line_put(struct log_line *line, const char *text)
{
    size_t limit = sizeof line->text - LINE_TAIL_BYTES;

    while (*text && line->length < limit)
        line->text[line->length++] = *text++;
}

/* How the character at `value` is written. */
struct character {
    size_t length; /* bytes of `value` */
    bool is_escaped;
    char text[16]; /* terminated */
};

/* A byte that is not UTF-8 must not look like a character. JSON has no escape for bytes: the lone surrogate
 * U+DC00 + byte stands for it, as in Python's "surrogateescape". */
static struct character character_at(const char *value, enum log_format format)
{
    size_t length = utf8_character_bytes(value, strnlen(value, 4));
    uint32_t point = length ? utf8_code_point(value, length) : 0;
    struct character character = { .length = length ? length : 1, .is_escaped = true };

    if (!length)
        snprintf(character.text, sizeof character.text, format == LOG_JSON ? "\\udc%02x" : "\\x%02x",
                 (unsigned)(unsigned char)*value);
    else if (point == '\n')
        snprintf(character.text, sizeof character.text, "\\n");
    else if (utf8_is_hidden(point) && point > 0xffff) /* a surrogate pair (RFC 8259, 7) */
        snprintf(character.text, sizeof character.text, "\\u%04x\\u%04x", 0xd7c0 + (unsigned)(point >> 10),
                 0xdc00 + (unsigned)(point & 0x3ff));
    else if (utf8_is_hidden(point))
        snprintf(character.text, sizeof character.text, "\\u%04x", (unsigned)point);
    else if (point == '\\')
        snprintf(character.text, sizeof character.text, "\\\\");
    else {
        memcpy(character.text, value, length);
        character.is_escaped = false;
    }
    return character;
}

/* Where a text stands: inside quotes, a quote is escaped, too. */
enum text_place { PLACE_BARE, PLACE_QUOTED };

/* Writes as much of `value` as fits; cuts no character and no escape sequence. */
static void line_put_escaped(struct log_line *line, const char *value, enum text_place place)
{
    const size_t closing = place == PLACE_QUOTED ? 1 : 0; /* the quote that must fit */
    const size_t limit = sizeof line->text - LINE_TAIL_BYTES - closing;

    while (*value) {
        struct character character = character_at(value, line->log->format);
        if (*value == '"' && place == PLACE_QUOTED)
            memcpy(character.text, "\\\"", 3);
        if (line->length + strlen(character.text) > limit)
            return;
        line_put(line, character.text);
        value += character.length;
    }
}

static void line_put_quoted(struct log_line *line, const char *value)
{
    line_put(line, "\"");
    line_put_escaped(line, value, PLACE_QUOTED);
    line_put(line, "\"");
}

static bool needs_quotes(const char *value, enum log_format format)
{
    if (format == LOG_JSON)
        return true;
    for (size_t length; *value; value += length) {
        struct character character = character_at(value, format);
        if (character.is_escaped || *value == ' ' || *value == '"' || *value == '=')
            return true;
        length = character.length;
    }
    return false;
}

static void line_put_key(struct log_line *line, const char *key)
{
    if (line->log->format == LOG_JSON) {
        line_put(line, ",");
        line_put_quoted(line, key);
        line_put(line, ":");
    } else {
        line_put(line, " ");
        line_put(line, key);
        line_put(line, "=");
    }
}

void log_begin(struct log_line *line, struct log *log, enum log_level level, const char *message)
{
    struct timespec now;
    struct tm utc;
    char stamp[40];

    line->log = log;
    line->length = 0;
    line->wanted = level >= log->level;
    if (!line->wanted)
        return;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t used = strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(stamp + used, sizeof stamp - used, ".%03ldZ", now.tv_nsec / 1000000);

    if (log->format == LOG_JSON) {
        line_put(line, "{\"time\":\"");
        line_put(line, stamp);
        line_put(line, "\",\"level\":\"");
        line_put(line, level_names[level]);
        line_put(line, "\",\"message\":");
        line_put_quoted(line, message);
    } else {
        line_put(line, stamp);
        line_put(line, " ");
        line_put(line, level_names[level]);
        line_put(line, " ");
        line_put_escaped(line, message, PLACE_BARE);
    }
}

void log_begin_words(struct log_line *line, struct log *log, enum log_level level, enum side side,
                     const char *message)
{
    char *words = level >= log->level ? translated(log, side, message) : NULL;

    log_begin(line, log, level, words ? words : message);
    free(words);
}

void log_text(struct log_line *line, const char *key, const char *value)
{
    if (!line->wanted || !value || !*value)
        return;
    /* A field is dropped, not cut: a cut field could not be parsed. */
    if (line->length + strlen(key) + 8 > sizeof line->text - LINE_TAIL_BYTES)
        return;
    line_put_key(line, key);
    if (needs_quotes(value, line->log->format))
        line_put_quoted(line, value);
    else
        line_put(line, value);
}

void log_words(struct log_line *line, enum side side, const char *key, const char *value)
{
    char *words = line->wanted ? translated(line->log, side, value) : NULL;

    log_text(line, key, words ? words : value);
    free(words);
}

void log_number(struct log_line *line, const char *key, int64_t value)
{
    char digits[24];

    if (!line->wanted || line->length + strlen(key) + 32 > sizeof line->text - LINE_TAIL_BYTES)
        return;
    snprintf(digits, sizeof digits, "%lld", (long long)value);
    line_put_key(line, key);
    line_put(line, digits);
}

void log_suppressed(struct log_line *line, uint32_t count)
{
    if (count)
        log_number(line, "suppressed", count);
}

void log_end(struct log_line *line)
{
    struct log *log = line->log;

    if (!line->wanted)
        return;
    pthread_mutex_lock(&log->lock);
    if (log->dropped)
        line->length +=
            (size_t)snprintf(line->text + line->length, sizeof line->text - line->length,
                             log->format == LOG_JSON ? ",\"lines_lost\":%llu" : " lines_lost=%llu",
                             (unsigned long long)log->dropped);
    if (log->format == LOG_JSON)
        line->text[line->length++] = '}';
    line->text[line->length++] = '\n';

    /* POLLOUT on a pipe guarantees space for PIPE_BUF bytes, so one write takes the whole line. */
    struct pollfd ready = { .fd = log->fd, .events = POLLOUT };
    if (poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT) &&
        write(log->fd, line->text, line->length) == (ssize_t)line->length)
        log->dropped = 0;
    else
        log->dropped++;
    pthread_mutex_unlock(&log->lock);
}

static void say(struct log *log, enum log_level level, const char *route, const char *format,
                va_list arguments)
{
    struct log_line line;
    char message[1024];

    vsnprintf(message, sizeof message, format, arguments);
    log_begin(&line, log, level, message);
    if (route)
        log_text(&line, "route", route);
    log_end(&line);
}

void log_say(struct log *log, enum log_level level, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(log, level, NULL, format, arguments);
    va_end(arguments);
}

void log_say_of(struct log *log, enum log_level level, const char *route, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(log, level, route, format, arguments);
    va_end(arguments);
}

bool log_limiter_admit(struct log_limiter *limiter, uint64_t now_ms, uint32_t burst, uint32_t *suppressed)
{
    if (now_ms - limiter->window_start_ms >= LOG_LIMITER_WINDOW_MS) {
        limiter->window_start_ms = now_ms;
        limiter->written = 0;
    }
    if (burst && limiter->written >= burst) {
        limiter->suppressed++;
        return false;
    }
    limiter->written++;
    *suppressed = limiter->suppressed;
    limiter->suppressed = 0;
    return true;
}
