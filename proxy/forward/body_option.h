/* What the option of a message says about its body, and the option of a message whose body is rewritten.
 * Pure.
 *
 * Source: Forward Protocol Specification v1, "Option"; fluent_signal: Fluent Bit's out_forward. */
#ifndef HUSK_FORWARD_BODY_OPTION_H
#define HUSK_FORWARD_BODY_OPTION_H

#include "base/buffer.h"
#include "forward/compression.h"
#include "forward/scanner.h"

enum {
    BODY_OPTION_BYTES_MAX = 4096, /* longest option that is read */
    BODY_OPTION_GROWTH_MAX = 64,  /* most bytes that body_option_write adds: header, "size", "compressed" */
};

struct body_option {
    bool is_unreadable; /* too long, or unknown values: the body must not be rewritten */
    bool is_log;        /* fluent_signal is absent or 0 */
    bool has_size;
    size_t size_at, size_end; /* the value of the last "size" in `pairs` */
    enum compression compression;
    uint32_t count; /* pairs that stay, i.e. all but "compressed" */
    size_t length;
    uint8_t pairs[BODY_OPTION_BYTES_MAX]; /* the pairs that stay */
};

/* Reads the option of the message that `scanner` has just ended (SCANNER_END) and that begins `start` bytes
 * into `source`. If an option has a key twice, the last one counts. */
void body_option_read(struct body_option *option, const struct buffer *source, size_t start,
                      const struct scanner *scanner);

enum body_size {
    BODY_SIZE_KEPT,      /* "size" stays as it is */
    BODY_SIZE_ADDED,     /* it is added if it is absent */
    BODY_SIZE_CORRECTED, /* its value becomes the number of entries; it is added if the body is compressed */
};

struct body_option_change {
    enum compression compression; /* of the new body */
    uint64_t count;               /* entries in it */
    enum body_size size;
};

/* Writes the new option: the pairs that stay, then "size" and "compressed" if they are to be added. The
 * header of the map has at least `width` bytes. Returns the number of bytes; `to` has space for
 * BODY_OPTION_BYTES_MAX + BODY_OPTION_GROWTH_MAX. */
size_t body_option_write(uint8_t *to, const struct body_option *option,
                         const struct body_option_change *change, size_t width);

#endif
