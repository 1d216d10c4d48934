/* The end of the process in two steps: the first stop signal begins to drain, so that agents can finish; the
 * second signal stops at once. A drain can also begin without a signal.
 *
 * Owns the watchers of SIGTERM and SIGINT and a timer, on the loop of the control thread. A drain is over at
 * its deadline, or when it has been quiet for long enough: no connection came, no byte moved and no message
 * is unsettled. Then, and on the second signal, the unit leaves the loop. */
#ifndef HUSK_CONTROL_DRAIN_H
#define HUSK_CONTROL_DRAIN_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

struct drain_activity {
    uint64_t count;     /* changes whenever a connection comes or a byte moves */
    bool has_unsettled; /* a message is on its way, and its agent may not send it again */
    bool is_complete;   /* nothing is left, and nothing can come any more */
};

struct drain_options {
    uint64_t timeout_ms; /* from the first signal to the deadline */
    uint64_t quiet_ms;
    /* Fills *activity with the state of this moment. */
    void (*measure)(void *owner, struct drain_activity *activity);
    void (*on_begin)(void *owner);
    void *owner;
};

struct drain {
    struct drain_options options;
    ev_signal terminate, interrupt;
    ev_timer tick;
    bool is_draining;
    bool is_asked;                        /* a stop signal has come */
    uint64_t deadline_ms, quiet_since_ms; /* clock_monotonic_ms */
    uint64_t activity_count;              /* at the last look */
};

/* Begins to watch the signals. The watchers live as long as the loop: a signal watcher that is stopped
 * restores the default action, and the next signal would end the process in the middle of its stop. */
void drain_open(struct drain *drain, struct ev_loop *loop, const struct drain_options *options);
/* Begins to drain without a signal. Harmless the second time. */
void drain_start(struct drain *drain, struct ev_loop *loop);

/* ---- the rule, without a loop or a clock ---- */

/* Begins to drain at now_ms. */
void drain_begin(struct drain *drain, const struct drain_activity *activity, uint64_t now_ms);
/* Notes what was measured at now_ms. */
void drain_note(struct drain *drain, const struct drain_activity *activity, uint64_t now_ms);
bool drain_is_over(const struct drain *drain, uint64_t now_ms);

#endif
