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

#endif
