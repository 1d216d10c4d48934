#include "config/yaml_blank.h"

#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

/* The characters with White_Space=yes, and those that are shown as nothing (Default_Ignorable_Code_Point), of
 * the Unicode Character Database; without those that yaml_text_check refuses. */
static const struct range {
    uint32_t first, last;
    enum { SHOWN_AS_SPACE, SHOWN_AS_NOTHING } shown;
} ranges[] = {
    { 0x00a0, 0x00a0, SHOWN_AS_SPACE },   { 0x00ad, 0x00ad, SHOWN_AS_NOTHING },
    { 0x034f, 0x034f, SHOWN_AS_NOTHING }, { 0x061c, 0x061c, SHOWN_AS_NOTHING },
    { 0x1680, 0x1680, SHOWN_AS_SPACE },   { 0x180e, 0x180e, SHOWN_AS_NOTHING },
    { 0x2000, 0x200a, SHOWN_AS_SPACE },   { 0x200b, 0x200f, SHOWN_AS_NOTHING },
    { 0x202a, 0x202e, SHOWN_AS_NOTHING }, { 0x202f, 0x202f, SHOWN_AS_SPACE },
    { 0x205f, 0x205f, SHOWN_AS_SPACE },   { 0x2060, 0x206f, SHOWN_AS_NOTHING },
    { 0x3000, 0x3000, SHOWN_AS_SPACE },   { 0x3164, 0x3164, SHOWN_AS_NOTHING },
};

static const struct range *range_of(uint32_t point)
{
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        if (point >= ranges[i].first && point <= ranges[i].last)
            return &ranges[i];
    }
    return NULL;
}

/* Moves the first character, which is UTF-8, from `rest` to *point. False: `rest` is empty. */
static bool character_take(struct yaml_text *rest, uint32_t *point)
{
    size_t bytes = rest->length ? utf8_character_bytes(rest->bytes, rest->length) : 0;

    if (!bytes)
        return false;
    *point = utf8_code_point(rest->bytes, bytes);
    rest->bytes += bytes;
    rest->length -= bytes;
    return true;
}

bool yaml_blank_in(const char *text)
{
    struct yaml_text rest = { text, strlen(text) };
    uint32_t point;

    while (character_take(&rest, &point)) {
        if (range_of(point))
            return true;
    }
    return false;
}

static void report(uint32_t point, struct place place, struct mistakes *mistakes)
{
    bool is_space = range_of(point)->shown == SHOWN_AS_SPACE;

    mistakes_add(mistakes, place,
                 "the character U+%04X %s, and YAML reads it as a letter; %s, or write the text in "
                 "quotes",
                 (unsigned)point, is_space ? "looks like a space" : "is invisible",
                 is_space ? "write a space" : "remove it");
}

bool yaml_blank_report(const struct yaml_text *text, struct place start, struct place end,
                       struct mistakes *mistakes)
{
    for (unsigned number = start.line; number <= end.line; number++) {
        unsigned column = number == start.line ? start.column : 1;
        struct yaml_text line = yaml_text_line(text, number), rest = yaml_text_from(&line, column);
        uint32_t point;
        for (; character_take(&rest, &point) && (number < end.line || column < end.column); column++) {
            if (!range_of(point))
                continue;
            report(point, (struct place) { number, column }, mistakes);
            return true;
        }
    }
    return false;
}

/* Whether a ":" is the next character of `rest` that is no blank of any kind. */
static bool precedes_colon(struct yaml_text rest)
{
    uint32_t point = ' ';

    while ((point == ' ' || point == '\t' || range_of(point)) && character_take(&rest, &point))
        ;
    return point == ':';
}

static bool line_report(const struct yaml_text *line, unsigned number, struct mistakes *mistakes)
{
    struct yaml_text rest = *line;
    bool is_place = true; /* a space would belong to the syntax here */
    uint32_t point;

    for (unsigned column = 1; character_take(&rest, &point); column++) {
        bool is_blank = range_of(point);
        if (is_blank && (is_place || precedes_colon(rest))) {
            report(point, (struct place) { number, column }, mistakes);
            return true;
        }
        if (!is_blank && point != ' ' && point != '\t')
            is_place = point == ':' || (is_place && point == '-');
    }
    return false;
}

bool yaml_blank_report_syntax(const struct yaml_text *text, unsigned first, unsigned last,
                              struct mistakes *mistakes)
{
    for (unsigned number = first; number <= last; number++) {
        struct yaml_text line = yaml_text_line(text, number);
        if (line_report(&line, number, mistakes))
            return true;
    }
    return false;
}
