/* When files that change are loaded: when they have rested, and at the latest some time after their first
 * change.
 *
 * Owns no file, clock or timer: the owner looks at the files and tells their stamp (trust/file_stamp.h).
 * Several files are seldom replaced in one moment: files have rested when two looks find the same stamp. */
#ifndef HUSK_CONTROL_SETTLING_H
#define HUSK_CONTROL_SETTLING_H

#include <stdbool.h>
#include <stdint.h>

struct settling {
    uint64_t timeout_ms; /* set by the owner: since the first change */
    uint64_t loaded;     /* the stamp at the last attempt to load, good or bad */
    uint64_t seen;       /* the stamp at the last look */
    uint64_t since_ms;   /* when a look found the first change; only while the files change */
};

/* Files with this stamp are loaded. */
void settling_note(struct settling *settling, uint64_t stamp);
/* A look at the files. True: they are to be loaded. */
bool settling_look(struct settling *settling, uint64_t stamp, uint64_t now_ms);
/* Whether the last look has found files that are not loaded yet. */
bool settling_is_changing(const struct settling *settling);
/* Whether the files change for longer than the timeout: they are loaded as they are. */
bool settling_is_overdue(const struct settling *settling, uint64_t now_ms);

#endif
