/* Why the Forward protocol does not allow an event or a value, although its bytes are well-formed
 * MessagePack. The names are the values of the label `reason` of husk_invalid_events_total. */
#ifndef HUSK_BASE_EVENT_FAULT_H
#define HUSK_BASE_EVENT_FAULT_H

enum event_fault {
    EVENT_FAULT_RECORD,  /* the record is no map */
    EVENT_FAULT_TIME,    /* the time is no integer, float, ext or nil */
    EVENT_FAULT_ENTRY,   /* the entry is no array of two elements, or its metadata are no map */
    EVENT_FAULT_MESSAGE, /* an array that is no Forward message: wrong number of elements, a tag that is no
                            string, an option that is neither map nor nil, or a chunk id that is no string */
    EVENT_FAULT_VALUE,   /* between two messages, a value that is neither array nor nil */
    EVENT_FAULT_COUNT,
    EVENT_FAULT_EVENTS = EVENT_FAULT_MESSAGE /* the faults before this one are of single events */
};

/* "record", "time"… */
const char *event_fault_name(enum event_fault fault);
/* What is wrong, for people: "the record is no map"… */
const char *event_fault_phrase(enum event_fault fault);

#endif
