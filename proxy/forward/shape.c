#include "forward/shape.h"

#define FIXED(kind, size)        { kind, 1, 32, size }
#define SIZED(kind, bytes, size) { kind, 1 + (bytes), 32 - 8 * (bytes), size }
#define SIXTEEN(first, kind, size)                                                                           \
    [(first) + 0] = FIXED(kind, (size) + 0), [(first) + 1] = FIXED(kind, (size) + 1),                        \
               [(first) + 2] = FIXED(kind, (size) + 2), [(first) + 3] = FIXED(kind, (size) + 3),             \
               [(first) + 4] = FIXED(kind, (size) + 4), [(first) + 5] = FIXED(kind, (size) + 5),             \
               [(first) + 6] = FIXED(kind, (size) + 6), [(first) + 7] = FIXED(kind, (size) + 7),             \
               [(first) + 8] = FIXED(kind, (size) + 8), [(first) + 9] = FIXED(kind, (size) + 9),             \
               [(first) + 10] = FIXED(kind, (size) + 10), [(first) + 11] = FIXED(kind, (size) + 11),         \
               [(first) + 12] = FIXED(kind, (size) + 12), [(first) + 13] = FIXED(kind, (size) + 13),         \
               [(first) + 14] = FIXED(kind, (size) + 14), [(first) + 15] = FIXED(kind, (size) + 15)

/* MessagePack specification, "Formats". */
const struct shape shapes[256] = {
    [0x00 ... 0x7f] = FIXED(KIND_INT, 0), SIXTEEN(0x80, KIND_MAP, 0),
    SIXTEEN(0x90, KIND_ARRAY, 0),         SIXTEEN(0xa0, KIND_STR, 0),
    SIXTEEN(0xb0, KIND_STR, 16),          [0xc0] = FIXED(KIND_NIL, 0),
    [0xc1] = FIXED(KIND_UNUSED, 0),       [0xc2 ... 0xc3] = FIXED(KIND_BOOL, 0),
    [0xc4] = SIZED(KIND_BIN, 1, 0),       [0xc5] = SIZED(KIND_BIN, 2, 0),
    [0xc6] = SIZED(KIND_BIN, 4, 0),       [0xc7] = SIZED(KIND_EXT, 1, 1),
    [0xc8] = SIZED(KIND_EXT, 2, 1),       [0xc9] = SIZED(KIND_EXT, 4, 1),
    [0xca] = FIXED(KIND_FLOAT, 4),        [0xcb] = FIXED(KIND_FLOAT, 8),
    [0xcc] = FIXED(KIND_INT, 1),          [0xcd] = FIXED(KIND_INT, 2),
    [0xce] = FIXED(KIND_INT, 4),          [0xcf] = FIXED(KIND_INT, 8),
    [0xd0] = FIXED(KIND_INT, 1),          [0xd1] = FIXED(KIND_INT, 2),
    [0xd2] = FIXED(KIND_INT, 4),          [0xd3] = FIXED(KIND_INT, 8),
    [0xd4] = FIXED(KIND_EXT, 2),          [0xd5] = FIXED(KIND_EXT, 3),
    [0xd6] = FIXED(KIND_EXT, 5),          [0xd7] = FIXED(KIND_EXT, 9),
    [0xd8] = FIXED(KIND_EXT, 17),         [0xd9] = SIZED(KIND_STR, 1, 0),
    [0xda] = SIZED(KIND_STR, 2, 0),       [0xdb] = SIZED(KIND_STR, 4, 0),
    [0xdc] = SIZED(KIND_ARRAY, 2, 0),     [0xdd] = SIZED(KIND_ARRAY, 4, 0),
    [0xde] = SIZED(KIND_MAP, 2, 0),       [0xdf] = SIZED(KIND_MAP, 4, 0),
    [0xe0 ... 0xff] = FIXED(KIND_INT, 0),
};
