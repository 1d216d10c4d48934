/* A tag as text for the log. A peer can send any bytes as a tag. Pure. */
#ifndef HUSK_DELIVERY_TAG_TEXT_H
#define HUSK_DELIVERY_TAG_TEXT_H

#include <stddef.h>
#include <stdint.h>

enum {
    TAG_TEXT_SHOWN = 64, /* bytes of a tag that are shown */
    TAG_TEXT_BYTES = (4 * TAG_TEXT_SHOWN) + 4,
};

/* Writes the first TAG_TEXT_SHOWN bytes of a tag of `length` bytes; a byte that is not printable ASCII, a
 * quote or a backslash becomes \xXX. "..." follows if the tag is longer. `tag` needs only the bytes that are
 * shown. */
void tag_text_write(char text[TAG_TEXT_BYTES], const uint8_t *tag, size_t length);

#endif
