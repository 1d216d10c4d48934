/* The text of a YAML file: reading it, its characters and its lines. Knows nothing of YAML's syntax. */
#ifndef HUSK_CONFIG_YAML_TEXT_H
#define HUSK_CONFIG_YAML_TEXT_H

#include "base/fault.h"
#include "config/mistakes.h"

#include <stdbool.h>
#include <stddef.h>

enum { YAML_TEXT_BYTES_MAX = 1 << 20 };

struct yaml_text {
    const char *bytes; /* borrowed; need no terminator */
    size_t length;     /* at most YAML_TEXT_BYTES_MAX after yaml_text_check */
};

/* Reads the regular file at `path`, at most YAML_TEXT_BYTES_MAX. *bytes is owned by the caller; NULL after a
 * failure, which is a mistake. */
MUST_CHECK bool yaml_text_read(const char *path, char **bytes, size_t *length, struct mistakes *mistakes);

/* Checks the length, and that all characters are UTF-8 and may stand in YAML (YAML 1.2, production
 * c-printable). Also refuses U+0085, U+2028 and U+2029: YAML 1.1 reads them as ends of lines, YAML 1.2 and
 * editors do not. Removes a BOM at the beginning. False: a mistake was added. */
MUST_CHECK bool yaml_text_check(struct yaml_text *text, struct mistakes *mistakes);

/* Moves the first line from `rest` to `line`, without its end (\n, \r\n or \r). False: `rest` was empty, and
 * `line` is. */
bool yaml_text_take_line(struct yaml_text *rest, struct yaml_text *line);

/* The line with this number, from 1, without its end. Reads the text from its beginning. Beyond the last
 * line: empty, at the end of the text. */
struct yaml_text yaml_text_line(const struct yaml_text *text, unsigned number);

/* The text from the character at `column`, from 1, of a line to its end; empty beyond the end. */
struct yaml_text yaml_text_from(const struct yaml_text *line, unsigned column);

#endif
