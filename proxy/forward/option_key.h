/* The keys of a message's option that the scanner understands. Pure.
 *
 * Source: Forward Protocol Specification v1, "Option". */
#ifndef HUSK_FORWARD_OPTION_KEY_H
#define HUSK_FORWARD_OPTION_KEY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum option_key { OPTION_KEY_OTHER, OPTION_KEY_CHUNK, OPTION_KEY_SIZE, OPTION_KEY_COMPRESSED };

enum { OPTION_KEY_BYTES_MAX = sizeof "compressed" - 1 };

/* The key with these bytes. */
static inline enum option_key option_key_find(const uint8_t *bytes, size_t length)
{
    static const struct {
        const char *name;
        enum option_key key;
    } known[] = {
        { "chunk", OPTION_KEY_CHUNK },
        { "size", OPTION_KEY_SIZE },
        { "compressed", OPTION_KEY_COMPRESSED },
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (length == strlen(known[i].name) && !memcmp(bytes, known[i].name, length))
            return known[i].key;
    }
    return OPTION_KEY_OTHER;
}

#endif
