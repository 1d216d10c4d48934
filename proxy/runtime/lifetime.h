/* When a connection must end because a certificate ends.
 *
 * The end of a certificate is a time of the wall clock, the timers of a connection run on the reactor's
 * clock. lifetime_is_over compares with the wall clock when the timer has fired. If the wall clock jumps, the
 * owner calls lifetime_limit again. Pure. */
#ifndef HUSK_RUNTIME_LIFETIME_H
#define HUSK_RUNTIME_LIFETIME_H

#include <stdbool.h>
#include <stdint.h>

/* Connections that end for one certificate do not all end in one moment: each ends earlier than the
 * certificate by a random part of this share of the time that is left, at most LIFETIME_SPREAD_MAX_MS. */
enum { LIFETIME_SPREAD_SHARE = 20, LIFETIME_SPREAD_MAX_MS = 60000 };

/* One moment on both clocks. */
struct lifetime_now {
    uint64_t reactor_ms;
    int64_t wall_ms; /* since the epoch */
};

/* All zeros: nothing limits the connection. */
struct lifetime {
    int64_t not_after; /* when the certificate ends, in seconds since the epoch; 0: never */
    int64_t end_ms;    /* when the connection ends, on the wall clock, since the epoch */
    uint64_t due_ms;   /* the same on the reactor's clock, as far as is known; 0: never */
};

/* The certificate ends at `not_after`. Chooses the end by `random`, any number, unless the lifetime has this
 * limit already: then only due_ms is set anew. */
void lifetime_limit(struct lifetime *lifetime, int64_t not_after, uint32_t random,
                    const struct lifetime_now *now);

/* Whether the timer of due_ms has fired. The time of the wall clock is needed only then. */
bool lifetime_is_due(const struct lifetime *lifetime, uint64_t reactor_ms);
/* Whether the connection must end. True once: the lifetime is then all zeros. Call it when the lifetime is
 * due. False: due_ms is set anew. */
bool lifetime_is_over(struct lifetime *lifetime, const struct lifetime_now *now);

#endif
