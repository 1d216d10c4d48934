#include "config/yaml_syntax.h"

#include "base/utf8.h"
#include "config/yaml_blank.h"

#include <stdbool.h>
#include <string.h>

enum { KEY_CHARACTERS_MAX = 1024 }; /* libyaml looks no further for the ":" of a key */

static const char SPACE_AFTER_COLON[] = "a space is missing after the \":\"";
static const char SPACE_AFTER_DASH[] = "a space is missing after the \"-\"";
static const char NO_SUCH_INDENTATION[] = "no line above has the indentation of this line";
static const char TEXT_AFTER_VALUE[] = "text follows the value; write the whole value in quotes";

/* ---- looking at the text ------------------------------------------------------------------------------- */

static struct yaml_text rest_at(const struct yaml_syntax_error *error, struct place place)
{
    struct yaml_text line = yaml_text_line(&error->text, place.line);

    return yaml_text_from(&line, place.column);
}

/* The first byte at a place; 0: the line ends there. */
static char byte_at(const struct yaml_syntax_error *error, struct place place)
{
    struct yaml_text rest = rest_at(error, place);

    if (!rest.length)
        return '\0';
    return rest.bytes[0];
}

/* The byte before a place in its line; 0: the line begins there. */
static char byte_before(const struct yaml_syntax_error *error, struct place place)
{
    struct yaml_text line = yaml_text_line(&error->text, place.line),
                     rest = yaml_text_from(&line, place.column);

    if (rest.length == line.length)
        return '\0';
    return line.bytes[line.length - rest.length - 1];
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

static unsigned indentation(struct yaml_text line)
{
    unsigned blanks = 0;

    while (blanks < line.length && is_blank(line.bytes[blanks]))
        blanks++;
    return blanks;
}

/* True if only spaces and tabs stand before the place in its line. */
static bool begins_line(const struct yaml_syntax_error *error, struct place place)
{
    return indentation(yaml_text_line(&error->text, place.line)) + 1 >= place.column;
}

/* True if a key can begin at the place: only spaces, and each "-" of a list, stand before. */
static bool begins_entry(const struct yaml_syntax_error *error, struct place place)
{
    struct yaml_text line = yaml_text_line(&error->text, place.line),
                     rest = yaml_text_from(&line, place.column);
    size_t before = line.length - rest.length;

    for (size_t i = 0; i < before; i++) {
        bool is_dash = line.bytes[i] == '-' && i + 1 < before && is_blank(line.bytes[i + 1]);
        if (!is_blank(line.bytes[i]) && !is_dash)
            return false;
    }
    return true;
}

/* True if the text has only spaces and ends of lines from a place on. */
static bool ends_text(const struct yaml_syntax_error *error, struct place place)
{
    struct yaml_text rest = rest_at(error, place);
    const char *end = error->text.bytes + error->text.length;

    for (const char *at = rest.bytes; at < end; at++) {
        if (!is_blank(*at) && *at != '\n' && *at != '\r')
            return false;
    }
    return true;
}

/* A ":" in the first word of the line, directly before another character than a blank. A later word, such as
 * an address, is part of a value. */
static bool has_tight_colon(struct yaml_text line)
{
    size_t i = 0;

    while (i < line.length && (is_blank(line.bytes[i]) || line.bytes[i] == '-'))
        i++;
    for (; i + 1 < line.length && !is_blank(line.bytes[i]); i++) {
        if (line.bytes[i] == ':' && !is_blank(line.bytes[i + 1]))
            return true;
    }
    return false;
}

static bool has_tight_dash(struct yaml_text rest)
{
    return rest.length > 1 && rest.bytes[0] == '-' && !is_blank(rest.bytes[1]) && rest.bytes[1] != '-';
}

static bool is_quote(char byte)
{
    return byte == '"' || byte == '\'';
}

/* ---- one function for each problem that needs the lines around it
 * -------------------------------------------- */

/* A quote that is missing in one line is found in a later one, which then goes wrong. */
static bool explain_lost_quote(const struct yaml_syntax_error *error, struct mistakes *mistakes)
{
    if (error->scalar_start.line >= error->at.line || error->scalar_end.line != error->at.line ||
        !is_quote(byte_at(error, error->scalar_start)))
        return false;
    mistakes_add(mistakes, error->scalar_start,
                 "the text from this quote ends on line %u, where more text follows; is a quote missing?",
                 error->at.line);
    return true;
}

static void explain_colon(const struct yaml_syntax_error *error, struct mistakes *mistakes)
{
    struct place start = error->scalar_start;
    unsigned columns = indentation(yaml_text_line(&error->text, error->at.line));

    if (!start.line || start.line == error->at.line || error->scalar_end.line != error->at.line)
        mistakes_add(mistakes, error->at,
                     "a second \":\" in this line; write the value in quotes if \": \" is a part of it");
    else if (is_quote(byte_at(error, start)))
        mistakes_add(mistakes, start, "a key must be in one line; is a quote missing?");
    else if (!begins_line(error, start) && begins_entry(error, start) &&
             has_tight_colon(rest_at(error, start)))
        mistakes_add(mistakes, start, "%s, or line %u is indented too much", SPACE_AFTER_COLON,
                     error->at.line);
    else if (!begins_line(error, start))
        mistakes_add(mistakes, (struct place) { error->at.line, columns + 1 },
                     "this line continues the value on line %u; indent it less if it is a key", start.line);
    else if (has_tight_colon(yaml_text_line(&error->text, start.line)))
        mistakes_add(mistakes, start, "%s", SPACE_AFTER_COLON);
    else
        mistakes_add(mistakes, start, "this line has no \":\"; write \"key: value\"");
}

static void explain_missing_colon(const struct yaml_syntax_error *error, struct mistakes *mistakes)
{
    struct yaml_text rest = rest_at(error, error->context_at);

    if (explain_lost_quote(error, mistakes))
        return;
    if (rest.length > KEY_CHARACTERS_MAX)
        mistakes_add(mistakes, error->context_at, "a key can have %d characters", KEY_CHARACTERS_MAX);
    else if (has_tight_dash(rest))
        mistakes_add(mistakes, error->context_at, "%s", SPACE_AFTER_DASH);
    else if (has_tight_colon(rest))
        mistakes_add(mistakes, error->context_at, "%s", SPACE_AFTER_COLON);
    else
        mistakes_add(mistakes, error->context_at, "this line has no \":\"; write \"key: value\"");
}

/* What stands where a key or an entry of a list should. */
static void explain_wrong_entry(const struct yaml_syntax_error *error, struct mistakes *mistakes)
{
    bool in_list = strstr(error->problem, "'-'");
    struct yaml_text rest = rest_at(error, error->at);
    char byte = byte_at(error, error->at);

    if (explain_lost_quote(error, mistakes))
        return;
    if (byte == ']' || byte == '}')
        mistakes_add(mistakes, error->at, "this \"%c\" closes nothing", byte);
    else if (!begins_line(error, error->at) && is_quote(byte_before(error, error->scalar_end)) &&
             error->scalar_end.line == error->at.line && is_quote(byte_at(error, error->scalar_start)))
        mistakes_add(mistakes, error->at,
                     "text follows the closing quote; a quote inside is written \\\" in double quotes, '' in "
                     "single quotes");
    else if (!begins_line(error, error->at))
        mistakes_add(mistakes, error->at, "%s", TEXT_AFTER_VALUE);
    else if (byte == ':')
        mistakes_add(mistakes, error->at, "a key is missing before this \":\"");
    else if (has_tight_dash(rest))
        mistakes_add(mistakes, error->at, "%s", SPACE_AFTER_DASH);
    else if (byte == '-')
        mistakes_add(mistakes, error->at, "no list above has its \"-\" at this indentation");
    else if (in_list && error->at.column == error->context_at.column)
        mistakes_add(
            mistakes, error->at,
            "the list from line %u goes on here; write \"- \" before its entry, or indent this line less",
            error->context_at.line);
    else
        mistakes_add(mistakes, error->at, "%s", NO_SUCH_INDENTATION);
}

static void explain_first_character(const struct yaml_syntax_error *error, struct mistakes *mistakes)
{
    struct yaml_text rest = rest_at(error, error->at);
    size_t bytes = rest.length ? utf8_character_bytes(rest.bytes, rest.length) : 0;

    if (bytes && rest.bytes[0] == '\t')
        mistakes_add(mistakes, error->at, "a tab cannot indent; YAML needs spaces");
    else
        mistakes_add(mistakes, error->at, "a text cannot begin with \"%.*s\"; write it in quotes", (int)bytes,
                     bytes ? rest.bytes : "");
}

static void explain_escape(const struct yaml_syntax_error *error, struct mistakes *mistakes)
{
    struct yaml_text rest = rest_at(error, error->at);
    struct place next = { error->at.line, error->at.column + 1 };
    struct yaml_text escaped = rest_at(error, next);
    size_t bytes = escaped.length ? utf8_character_bytes(escaped.bytes, escaped.length) : 0;

    mistakes_add(mistakes, error->at,
                 "\"%.*s\" is no escape; write \"\\\\\" for a backslash, or use single quotes",
                 (int)(rest.length ? 1 + bytes : 0), rest.bytes);
}

static void explain_flow(const struct yaml_syntax_error *error, struct mistakes *mistakes)
{
    char opening = strchr(error->problem, ']') ? '[' : '{', closing = opening == '[' ? ']' : '}';

    if (byte_at(error, error->at) == '{' && byte_before(error, error->at) == '$')
        mistakes_add(mistakes, (struct place) { error->at.line, error->at.column - 1 },
                     "a reference inside [ ] or { } needs quotes: \"${NAME}\"");
    else if (ends_text(error, error->at))
        mistakes_add(mistakes, error->context_at, "this \"%c\" is never closed", opening);
    else if (!explain_lost_quote(error, mistakes))
        mistakes_add(mistakes, error->at, "a \",\" or \"%c\" is missing; the \"%c\" is on line %u", closing,
                     opening, error->context_at.line);
}

static void explain_no_value(const struct yaml_syntax_error *error, struct mistakes *mistakes)
{
    char byte = byte_at(error, error->at);

    if (ends_text(error, error->at))
        mistakes_add(mistakes, error->at, "the text ends inside [ ] or { }");
    else if (error->context && strstr(error->context, "flow"))
        mistakes_add(mistakes, error->at, "a value is missing before \"%c\"", byte);
    else
        mistakes_add(mistakes, error->at, "a text cannot begin with \"%c\"; write it in quotes", byte);
}

/* The map or list of the whole file has ended, and something follows. */
static void explain_after_end(const struct yaml_syntax_error *error, struct mistakes *mistakes)
{
    struct yaml_text rest = error->text, first = yaml_text_line(&rest, 1), before = first, line;

    for (unsigned number = 1; number < error->at.line && yaml_text_take_line(&rest, &line); number++) {
        if (indentation(line) < line.length)
            before = line;
    }
    if (explain_lost_quote(error, mistakes))
        return;
    if (before.length >= 3 && memcmp(before.bytes, "...", 3) == 0)
        mistakes_add(mistakes, error->at, "a second document begins here; husk reads one");
    else if (first.length && first.bytes[0] == '%')
        mistakes_add(mistakes, error->at, "a line \"---\" is missing between the \"%%\" lines and this line");
    else if (begins_line(error, error->at) && byte_at(error, error->at) != '{')
        mistakes_add(mistakes, error->at,
                     "this line is indented less than the first line, or belongs to nothing above");
    else
        mistakes_add(mistakes, error->at, "something follows the value of the whole file");
}

/* ---- the table ----------------------------------------------------------------------------------------- */

/* The first row wins whose texts are parts of libyaml's texts. NULL: any. A row has either a function or a
 * text; the text is for the place of the problem, or for its context. */
static const struct row {
    const char *problem, *context;
    void (*explain)(const struct yaml_syntax_error *error, struct mistakes *mistakes);
    const char *text;
    bool at_context;
} rows[] = {
    { .problem = "mapping values are not allowed", .explain = explain_colon },
    { .problem = "could not find expected ':'", .explain = explain_missing_colon },
    { .problem = "did not find expected key", .explain = explain_wrong_entry },
    { .problem = "did not find expected '-' indicator", .explain = explain_wrong_entry },
    { .problem = "did not find expected ',' or", .explain = explain_flow },
    { .problem = "did not find expected node content", .explain = explain_no_value },
    { .problem = "did not find expected <document start>", .explain = explain_after_end },
    { .problem = "found unexpected ':'",
      .text = "a text with a \":\" needs quotes here, inside [ ] or { }",
      .at_context = true },
    { .problem = "cannot start any token", .explain = explain_first_character },
    { .problem = "found a tab character", .text = "a tab cannot indent; YAML needs spaces" },
    { .problem = "unknown escape character", .explain = explain_escape },
    { .problem = "expected hexdecimal number",
      .text = "\\x, \\u and \\U need 2, 4 and 8 hexadecimal digits; write \"\\\\\" for a backslash, or use "
              "single quotes" },
    { .problem = "invalid Unicode character escape", .text = "this escape is no Unicode character" },
    { .problem = "unexpected end of stream", .text = "this quote is never closed", .at_context = true },
    { .problem = "unexpected document indicator",
      .text = "this quote is not closed before a line with \"---\" or \"...\"",
      .at_context = true },
    { .problem = "block sequence entries are not allowed",
      .text = "a list cannot begin in the line of its key; write \"-\" in quotes if it is text" },
    { .problem = "mapping keys are not allowed",
      .text = "a text cannot begin with \"? \"; write it in quotes" },
    { .problem = "incompatible YAML document", .text = "the version of YAML must be 1.1 or 1.2" },
    { .problem = "duplicate %", .text = "this \"%\" line is given twice" },
    { .context = "directive",
      .text = "a line that begins with \"%\" must be \"%YAML 1.1\" or \"%YAML 1.2\"" },
    { .context = "tag",
      .text = "\"!\" begins a tag; write a text that begins with \"!\" in quotes",
      .at_context = true },
    { .problem = "undefined tag handle",
      .text = "\"!\" begins a tag; write a text that begins with \"!\" in quotes" },
    { .context = "alias",
      .text = "\"*\" begins an alias, a name of letters, digits, \"-\" and \"_\"; write a text that begins "
              "with \"*\" in quotes",
      .at_context = true },
    { .context = "anchor",
      .text = "\"&\" begins an anchor, a name of letters, digits, \"-\" and \"_\"; write a text that begins "
              "with \"&\" in quotes",
      .at_context = true },
    { .problem = "indentation indicator", .text = "the number after \"|\" or \">\" must be from 1 to 9" },
    { .context = "block scalar",
      .text = "\"|\" and \">\" begin a text on the lines below; write a value that begins with one of them "
              "in quotes",
      .at_context = true },
};

static bool is_part(const char *part, const char *of)
{
    return !part || (of && strstr(of, part));
}

/* A character that YAML reads as a letter stands where a space should. */
static bool explain_blank(const struct yaml_syntax_error *error, struct mistakes *mistakes)
{
    unsigned first = error->at.line;

    if (error->context_at.line && error->context_at.line < first)
        first = error->context_at.line;
    if (error->scalar_start.line && error->scalar_start.line < first)
        first = error->scalar_start.line;
    return yaml_blank_report_syntax(&error->text, first, error->at.line, mistakes);
}

void yaml_syntax_explain(const struct yaml_syntax_error *error, struct mistakes *mistakes)
{
    if (explain_blank(error, mistakes))
        return;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *row = &rows[i];

        if (!is_part(row->problem, error->problem) || !is_part(row->context, error->context))
            continue;
        if (row->explain)
            row->explain(error, mistakes);
        else
            mistakes_add(mistakes, row->at_context ? error->context_at : error->at, "%s", row->text);
        return;
    }
    mistakes_add(mistakes, error->at, "no valid YAML: %s", error->problem);
}
