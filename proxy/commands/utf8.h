/* UTF-8 as RFC 3629 defines it: no overlong forms, no surrogates, nothing above U+10FFFF. Pure. */
#ifndef HUSK_COMMANDS_UTF8_H
#define HUSK_COMMANDS_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* The bytes (1 to 4) of the character that `text` begins with; 0 when it begins with none. `length` > 0. */
size_t utf8_character_bytes(const char *text, size_t length);

/* True when all of `text` is UTF-8. */
bool utf8_is_valid(const char *text, size_t length);

#endif
