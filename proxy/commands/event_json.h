/* Received events as JSON lines.
 *
 * Whatever MessagePack holds becomes valid JSON: bytes that are not UTF-8 are written as the text \xNN, ext
 * values as {"ext":type,"hex":"…"}, NaN and infinities as null, keys that are no strings as the JSON text of
 * the key. */
#ifndef HUSK_COMMANDS_EVENT_JSON_H
#define HUSK_COMMANDS_EVENT_JSON_H

#include "commands/forward_message.h"

#include <msgpack.h>
#include <stdio.h>

/* {"tag":…,"time":…,"metadata":{…},"record":{…}} and a newline. EventTime is written as RFC 3339 in UTC,
 * other times as the number they are. Without metadata there is no such member; metrics and traces have
 * "signal" instead of "time". Failures to write show in ferror(out). */
void event_json_print(FILE *out, const struct forward_event *event);

/* One value. */
void event_json_print_value(FILE *out, const msgpack_object *value);

#endif
