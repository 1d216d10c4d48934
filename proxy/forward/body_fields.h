/* Puts fields (record_fields.h) into the record of every event of a complete message, in every mode. What the
 * sender has written under the name of a field does not leave husk.
 *
 * Therefore nothing is passed on that could be an event and has no field:
 *   - a body that is not whole MessagePack values, that cannot be inflated, or whose option does not say how
 *     it is compressed, is refused;
 *   - invalid entries (entries.h) are left out, and the number of entries and "size" are corrected;
 *   - the records of markers get the fields too.
 * A packed body in which no value is an array has no events, for any aggregator: metrics and traces of Fluent
 * Bit are maps. Such a body stays as it is. In Forward mode a map is an invalid entry like others:
 * Fluentd 1.18 takes a map with the keys 0 and 1 for an event.
 *
 * All other bytes of events stay. A compressed body is compressed again by the same method. If the option has
 * "compressed" twice, the new option has it once, because aggregators do not agree which of the two counts.
 *
 * The message is read once. Memory holds the message, its plain entries with the fields, and the compressed
 * ones. Pure; belongs to one thread. */
#ifndef HUSK_FORWARD_BODY_FIELDS_H
#define HUSK_FORWARD_BODY_FIELDS_H

#include "forward/batch_encoder.h"
#include "forward/body.h"
#include "forward/record_fields.h"

struct body_fields_options {
    uint64_t message_max;  /* longest message with the fields */
    uint64_t inflated_max; /* longest plain body of a compressed message, without and with the fields */
};

enum body_fields_status {
    BODY_FIELDS_ADDED,
    BODY_FIELDS_NO_EVENTS, /* unchanged: the body has no value that could be an event */
    BODY_FIELDS_EMPTY,     /* unchanged: no event would be left */
    BODY_FIELDS_REFUSED,   /* must not be sent: see above */
    BODY_FIELDS_TOO_LONG,  /* longer than a limit */
    BODY_FIELDS_NO_MEMORY,
};

/* Makes the message with the fields, for a message that is no foreign value. `message` stays unchanged. Uses
 * the compressor and the inflater of `rewriter`. Sets `bytes` and `faults` of the result; the caller clears
 * `bytes`, which is empty unless BODY_FIELDS_ADDED. */
enum body_fields_status body_fields_add(struct body_rewriter *rewriter, const struct batch_message *message,
                                        const struct record_fields *fields,
                                        const struct body_fields_options *options,
                                        struct body_result *result);

#endif
