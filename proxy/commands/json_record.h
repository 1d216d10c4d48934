/* Converts one line of JSON to a record in MessagePack. The parser is yajl: it reports numbers as text, which
 * keeps all 64 bits of an integer, and accepts only valid JSON. Pure. */
#ifndef HUSK_COMMANDS_JSON_RECORD_H
#define HUSK_COMMANDS_JSON_RECORD_H

#include "base/fault.h"

#include <msgpack.h>
#include <stdbool.h>
#include <stddef.h>

/* Appends the object in `line` to `record`. Integers outside 64 bits and numbers with a fraction or an
 * exponent become float64. Members keep their order, and duplicate keys are kept. Fails, and appends nothing,
 * if the line is not JSON, not UTF-8, not an object, or nested deeper than 100 levels. */
MUST_CHECK bool json_record_append(msgpack_sbuffer *record, const char *line, size_t length,
                                   struct fault *fault);

#endif
