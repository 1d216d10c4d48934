#include "control/settling.h"

void settling_note(struct settling *settling, uint64_t stamp)
{
    settling->loaded = settling->seen = stamp;
}

bool settling_look(struct settling *settling, uint64_t stamp, uint64_t now_ms)
{
    bool has_rested = stamp == settling->seen;

    if (!settling_is_changing(settling))
        settling->since_ms = now_ms;
    settling->seen = stamp;
    return settling_is_changing(settling) && (has_rested || settling_is_overdue(settling, now_ms));
}

bool settling_is_changing(const struct settling *settling)
{
    return settling->seen != settling->loaded;
}

bool settling_is_overdue(const struct settling *settling, uint64_t now_ms)
{
    return settling_is_changing(settling) && now_ms - settling->since_ms >= settling->timeout_ms;
}
