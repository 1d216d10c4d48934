/* Prints received events as JSON lines.
 *
 * Every MessagePack value becomes valid JSON. Bytes that are not UTF-8 become the text \xNN, ext values
 * become {"ext":type,"hex":"…"}, NaN and infinities become null, and a key that is not a string becomes a
 * string with the JSON text of the key. */
#ifndef HUSK_COMMANDS_EVENT_JSON_H
#define HUSK_COMMANDS_EVENT_JSON_H

#include "commands/forward_message.h"

#include <msgpack.h>
#include <stdio.h>

/* Prints {"tag":…,"time":…,"metadata":{…},"record":{…}} and a newline. EventTime is written as RFC 3339 in
 * UTC, other times as numbers. Events without metadata have no "metadata"; metrics and traces have "signal"
 * instead of "time". Write failures show in ferror(out). */
void event_json_print(FILE *out, const struct forward_event *event);

/* Prints one value. */
void event_json_print_value(FILE *out, const msgpack_object *value);

#endif
