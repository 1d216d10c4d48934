#include "delivery/tag_text.h"

#include <stdbool.h>
#include <stdio.h>

void tag_text_write(char text[TAG_TEXT_BYTES], const uint8_t *tag, size_t length)
{
    size_t shown = length < TAG_TEXT_SHOWN ? length : TAG_TEXT_SHOWN, used = 0;

    for (size_t i = 0; i < shown; i++) {
        bool is_plain = tag[i] >= 0x20 && tag[i] < 0x7f && tag[i] != '"' && tag[i] != '\\';
        used += (size_t)snprintf(text + used, TAG_TEXT_BYTES - used, is_plain ? "%c" : "\\x%02x", tag[i]);
    }
    snprintf(text + used, TAG_TEXT_BYTES - used, "%s", shown < length ? "..." : "");
}
