#include "base/event_fault.h"

static const struct {
    const char *name, *phrase;
} faults[EVENT_FAULT_COUNT] = {
    [EVENT_FAULT_RECORD] = { "record", "the record is no map" },
    [EVENT_FAULT_TIME] = { "time", "the time is no integer, float, ext or nil" },
    [EVENT_FAULT_ENTRY] = { "entry", "the entry is not [time, record] or [[time, metadata], record]" },
    [EVENT_FAULT_MESSAGE] = { "message", "the array is no Forward message" },
    [EVENT_FAULT_VALUE] = { "value", "the value is no array" },
};

const char *event_fault_name(enum event_fault fault)
{
    return faults[fault].name;
}

const char *event_fault_phrase(enum event_fault fault)
{
    return faults[fault].phrase;
}
