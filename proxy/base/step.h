/* The result of a function that advances a connection: it waits for an event, goes on to the next state, or
 * ends. */
#ifndef HUSK_BASE_STEP_H
#define HUSK_BASE_STEP_H

#include "base/end_reason.h"

struct step {
    enum { STEP_WAITS, STEP_GOES_ON, STEP_ENDS } outcome;
    enum end_reason reason; /* of STEP_ENDS; else END_NONE */
};

/* Ends for `reason`; END_NONE: waits. */
static inline struct step step_waits_unless(enum end_reason reason)
{
    return (struct step) { reason == END_NONE ? STEP_WAITS : STEP_ENDS, reason };
}

/* Ends for `reason`; END_NONE: goes on. */
static inline struct step step_goes_on_unless(enum end_reason reason)
{
    return (struct step) { reason == END_NONE ? STEP_GOES_ON : STEP_ENDS, reason };
}

#endif
