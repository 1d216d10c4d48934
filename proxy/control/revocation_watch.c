#include "control/revocation_watch.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

void revocation_watch_deinit(struct revocation_watch *watch)
{
    free(watch->said);
    watch->said = NULL;
}

/* Whether the text has the line, of `length` bytes with its line feed. */
static bool has_line(const char *text, const char *line, size_t length)
{
    for (const char *at = text; *at; at = strchr(at, '\n') + 1) {
        if (strncmp(at, line, length) == 0)
            return true;
    }
    return false;
}

static void state_tell(struct revocation_watch *watch, const char *now, const char *route, struct log *log)
{
    const char *said = watch->said ? watch->said : "";

    if (strcmp(said, now) == 0)
        return;
    for (const char *at = now; *at;) {
        size_t length = (size_t)(strchr(at, '\n') - at) + 1;
        if (!has_line(said, at, length))
            log_say_of(log, LOG_WARN, route, "%.*s", (int)length - 1, at);
        at += length;
    }
    if (!*now)
        log_say_of(log, LOG_INFO, route, "all revocation lists are fresh");
    free(watch->said);
    watch->said = *now ? strdup(now) : NULL; /* out of memory: the lines are told again */
}

bool revocation_watch_look(struct revocation_watch *watch, struct revocation_use use, const char *route,
                           struct log *log)
{
    int64_t now = clock_wall_seconds();
    size_t stale = revocation_state_stale(use.lists, now), before = watch->stale;
    char text[REVOCATION_STATE_BYTES];

    (void)revocation_state_describe(use, now, text);
    state_tell(watch, text, route, log);
    watch->stale = stale;
    return stale > before && use.policy == REVOCATION_REQUIRE;
}
