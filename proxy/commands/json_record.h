/* One line of JSON → one record in MessagePack. The reader is yajl: it hands numbers over as written, so that
 * all 64 bits of an integer survive, and it accepts nothing but JSON. Pure. */
#ifndef HUSK_COMMANDS_JSON_RECORD_H
#define HUSK_COMMANDS_JSON_RECORD_H

#include "base/fault.h"

#include <msgpack.h>
#include <stdbool.h>
#include <stddef.h>

/* Appends the object that `line` holds to `record`. Integers outside 64 bits and numbers with a fraction or
 * an exponent become float64; members keep their order, also when a key comes twice. A fault, with nothing
 * appended: not JSON, not UTF-8, not an object, nested deeper than 100 levels. */
MUST_CHECK bool json_record_append(msgpack_sbuffer *record, const char *line, size_t length,
                                   struct fault *fault);

#endif
