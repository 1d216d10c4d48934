#include "config/yaml_text.h"

#include "base/regular_file.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct place whole_file = { 0 };

bool yaml_text_read(const char *path, char **bytes, size_t *length, struct mistakes *mistakes)
{
    size_t room = YAML_TEXT_BYTES_MAX + 1;
    ssize_t taken = 1;
    struct fault fault;

    *bytes = NULL;
    *length = 0;
    int descriptor = regular_file_open(path, &fault);
    if (descriptor < 0) {
        mistakes_add(mistakes, whole_file, "cannot be read: %s", fault.text);
        return false;
    }
    char *buffer = malloc(room);
    if (!buffer) {
        mistakes_add(mistakes, whole_file, "out of memory");
        goto fail;
    }
    while (taken > 0 && *length < room) {
        taken = read(descriptor, buffer + *length, room - *length);
        if (taken < 0 && errno == EINTR)
            taken = 1;
        else if (taken > 0)
            *length += (size_t)taken;
    }
    if (taken < 0) {
        mistakes_add(mistakes, whole_file, "cannot be read: %s", strerror(errno));
        goto fail;
    }
    close(descriptor);
    *bytes = buffer;
    return true;
fail:
    free(buffer);
    close(descriptor);
    return false;
}

/* The bytes of the end of the line at `at`; 0: the line goes on. */
static size_t line_end_bytes(const struct yaml_text *text, size_t at)
{
    if (text->bytes[at] == '\n')
        return 1;
    if (text->bytes[at] != '\r')
        return 0;
    return at + 1 < text->length && text->bytes[at + 1] == '\n' ? 2 : 1;
}

static bool is_allowed(uint32_t point)
{
    if (point < 0x20)
        return point == '\t';
    return point != 0x7f && !(point >= 0x80 && point < 0xa0) && point != 0x2028 && point != 0x2029 &&
           point != 0xfeff && point != 0xfffe && point != 0xffff;
}

/* Adds a mistake if the character at `at` may not stand there. */
static bool check_character(const struct yaml_text *text, size_t at, struct place place,
                            struct mistakes *mistakes)
{
    size_t bytes = utf8_character_bytes(text->bytes + at, text->length - at);
    unsigned first = (unsigned char)text->bytes[at];

    if (!bytes) {
        mistakes_add(mistakes, place, "the byte 0x%02x is no UTF-8; the file must be a text in UTF-8", first);
        return false;
    }
    uint32_t point = utf8_code_point(text->bytes + at, bytes);
    if (!point)
        mistakes_add(mistakes, place, "a byte is 0; the file must be a text in UTF-8");
    else if (!is_allowed(point))
        mistakes_add(
            mistakes, place,
            "the invisible character U+%04X cannot stand here; write it as an escape in double quotes, "
            "\"\\u%04X\", or remove it",
            (unsigned)point, (unsigned)point);
    return point && is_allowed(point);
}

bool yaml_text_check(struct yaml_text *text, struct mistakes *mistakes)
{
    struct place place = { 1, 1 };

    if (text->length > YAML_TEXT_BYTES_MAX) {
        mistakes_add(mistakes, whole_file, "the file is longer than %d bytes", YAML_TEXT_BYTES_MAX);
        return false;
    }
    if (text->length >= 3 && memcmp(text->bytes, "\xef\xbb\xbf", 3) == 0) {
        text->bytes += 3;
        text->length -= 3;
    }
    for (size_t at = 0; at < text->length;) {
        size_t end = line_end_bytes(text, at);

        if (end) {
            place = (struct place) { place.line + 1, 1 };
            at += end;
            continue;
        }
        if (!check_character(text, at, place, mistakes))
            return false;
        at += utf8_character_bytes(text->bytes + at, text->length - at);
        place.column++;
    }
    return true;
}

bool yaml_text_take_line(struct yaml_text *rest, struct yaml_text *line)
{
    size_t at = 0, end = 0;

    while (at < rest->length && !(end = line_end_bytes(rest, at)))
        at++;
    *line = (struct yaml_text) { rest->bytes, at };
    rest->bytes += at + end;
    rest->length -= at + end;
    return at + end > 0;
}

struct yaml_text yaml_text_line(const struct yaml_text *text, unsigned number)
{
    struct yaml_text rest = *text, line;

    for (unsigned i = 1; yaml_text_take_line(&rest, &line) && i < number; i++)
        ;
    return line;
}

struct yaml_text yaml_text_from(const struct yaml_text *line, unsigned column)
{
    size_t at = 0;

    while (column > 1 && at < line->length) {
        at += utf8_character_bytes(line->bytes + at, line->length - at);
        column--;
    }
    return (struct yaml_text) { line->bytes + at, line->length - at };
}
