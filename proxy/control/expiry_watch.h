/* Tells in advance, for the log, when our own certificate chain of a side ends.
 *
 * Pure: the caller looks about once a second, and logs the line. The life of a chain is from notBefore of the
 * leaf to the first end of a certificate in the chain. */
#ifndef HUSK_CONTROL_EXPIRY_WATCH_H
#define HUSK_CONTROL_EXPIRY_WATCH_H

#include "trust/validity.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How much of the life is left. */
enum expiry_stage {
    EXPIRY_STAGE_LONG,  /* more than a third */
    EXPIRY_STAGE_THIRD, /* at most a third */
    EXPIRY_STAGE_TENTH, /* at most a tenth */
    EXPIRY_STAGE_OVER,
};

/* From the last tenth on, a line is repeated after this time. */
enum { EXPIRY_REPEAT_SECONDS = 24 * 3600, EXPIRY_LINE_BYTES = 160 };

/* What was told last. Zero-initialise. */
struct expiry_watch {
    int64_t end; /* of the chain that was looked at last, as below in seconds since the epoch; 0: none yet */
    enum expiry_stage told;
    int64_t told_at;
};

/* All times are in seconds since the epoch. */
enum expiry_stage expiry_stage_of(int64_t begin, int64_t end, int64_t now);

/* Writes the line that is to be logged now. False: there is nothing to tell. A stage is told once for each
 * chain. A chain that replaces a chain whose end was told is told, too. `validity` all zeros: the
 * side has no certificate. */
bool expiry_watch_look(struct expiry_watch *watch, const struct validity *validity, int64_t now,
                       char line[EXPIRY_LINE_BYTES]);

#endif
