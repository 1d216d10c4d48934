/* The frame of a message: which values it has, in which order, and what a wrong value means. Pure data of the
 * scanner.
 *
 * With a wrong but well-formed value, framing is not lost. The scanner skips this value and the rest of its
 * event, as it skips a value inside a record.
 *
 * Source: Forward Protocol Specification v1, and scanner.h. */
#ifndef HUSK_FORWARD_FRAME_H
#define HUSK_FORWARD_FRAME_H

#include "base/event_fault.h"
#include "forward/shape.h"

/* Which value of the frame is next. */
enum frame_state {
    STATE_OUTER, /* between two messages, or in the header of the outer array */
    STATE_TAG,
    STATE_SECOND, /* the tag is complete; the next byte tells the mode */
    STATE_PACKED,
    STATE_TIME,
    STATE_RECORD,
    STATE_ENTRIES,
    STATE_ENTRY,
    STATE_ENTRY_TIME,
    STATE_PAIR_TIME, /* in [[time, metadata], record] */
    STATE_PAIR_METADATA,
    STATE_ENTRY_RECORD,
    STATE_OPTION,
    STATE_KEY,
    STATE_VALUE,
    STATE_REST, /* of a value or array that is no Forward message */
};

enum {
    KINDS_ARRAY = KIND_ONLY(KIND_ARRAY),
    KINDS_MAP = KIND_ONLY(KIND_MAP),
    KINDS_ANY = KINDS_STRING | KINDS_TIME | KINDS_ARRAY | KINDS_MAP | KIND_ONLY(KIND_BOOL),
};

/* The value that a state expects. */
struct frame_rule {
    uint16_t kinds;
    uint8_t least, most; /* elements of an array; most 0: any number */
    uint8_t inside;      /* state of its first element; 0: its elements are no part of the frame */
    uint8_t next;        /* state after the value; 0: the scanner decides */

    /* If the value is wrong. */
    uint8_t fault;   /* enum event_fault */
    uint8_t skipped; /* how many values are skipped, the wrong one included */
    uint8_t last;    /* state of the last of them */
};

static const struct frame_rule frame_rules[] = {
    [STATE_OUTER] = { KINDS_ARRAY, 2, 4, STATE_TAG, 0, EVENT_FAULT_MESSAGE, 1, STATE_REST },
    [STATE_TAG] = { KINDS_STRING, 0, 0, 0, STATE_SECOND, EVENT_FAULT_MESSAGE, 1, STATE_TAG },
    [STATE_SECOND] = { 0, 0, 0, 0, 0, 0, 0, 0 },
    [STATE_PACKED] = { KINDS_STRING, 0, 0, 0, 0, 0, 0, 0 },
    [STATE_TIME] = { KINDS_TIME, 0, 0, 0, STATE_RECORD, EVENT_FAULT_TIME, 2, STATE_RECORD },
    [STATE_RECORD] = { KINDS_MAP, 0, 0, 0, 0, EVENT_FAULT_RECORD, 1, STATE_RECORD },
    [STATE_ENTRIES] = { KINDS_ARRAY, 0, 0, STATE_ENTRY, 0, 0, 0, 0 },
    [STATE_ENTRY] = { KINDS_ARRAY, 2, 2, STATE_ENTRY_TIME, 0, EVENT_FAULT_ENTRY, 1, STATE_ENTRY_RECORD },
    [STATE_ENTRY_TIME] = { KINDS_TIME | KINDS_ARRAY, 2, 2, STATE_PAIR_TIME, STATE_ENTRY_RECORD,
                           EVENT_FAULT_TIME, 2, STATE_ENTRY_RECORD },
    [STATE_PAIR_TIME] = { KINDS_TIME, 0, 0, 0, STATE_PAIR_METADATA, EVENT_FAULT_TIME, 3, STATE_ENTRY_RECORD },
    [STATE_PAIR_METADATA] = { KINDS_MAP, 0, 0, 0, STATE_ENTRY_RECORD, EVENT_FAULT_ENTRY, 2,
                              STATE_ENTRY_RECORD },
    [STATE_ENTRY_RECORD] = { KINDS_MAP, 0, 0, 0, STATE_ENTRY, EVENT_FAULT_RECORD, 1, STATE_ENTRY_RECORD },
    [STATE_OPTION] = { KINDS_MAP | KIND_ONLY(KIND_NIL), 0, 0, STATE_KEY, 0, EVENT_FAULT_MESSAGE, 1,
                       STATE_REST },
    [STATE_KEY] = { KINDS_ANY, 0, 0, 0, STATE_VALUE, 0, 0, 0 },
    [STATE_VALUE] = { KINDS_ANY, 0, 0, 0, STATE_KEY, 0, 0, 0 },
    [STATE_REST] = { KINDS_ANY, 0, 0, 0, 0, 0, 0, 0 },
};

#endif
