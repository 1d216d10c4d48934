/* UTF-8 as RFC 3629 defines it: no overlong forms, no surrogates, nothing above U+10FFFF. Pure. */
#ifndef HUSK_BASE_UTF8_H
#define HUSK_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The length (1 to 4) of the character at the start of `text`; 0 if there is no valid character. `length` >
 * 0. */
size_t utf8_character_bytes(const char *text, size_t length);

/* The code point of the valid character at the start of `text`, which has `bytes` bytes (1 to 4). */
uint32_t utf8_code_point(const char *text, size_t bytes);

/* True when all of `text` is UTF-8. */
bool utf8_is_valid(const char *text, size_t length);

/* Whether the code point changes how the text around it is shown, or ends a line for some readers: controls
 * (C0, DEL, C1), directional marks and overrides, line and paragraph separators, the byte-order mark, and
 * characters that nobody sees (zero width, invisible operators, tags). */
bool utf8_is_hidden(uint32_t point);

/* Makes a text fit for a terminal: each byte that is no UTF-8, and each hidden character, becomes `?`. */
void utf8_clean(char *text);

#endif
