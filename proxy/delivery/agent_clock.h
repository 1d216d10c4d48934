/* The timing of one agent's connection: when bytes last moved, the pause because of a rate limit, and the
 * deadlines that follow. Pure: facts and the time go in, deadlines come out. All times are on the reactor's
 * clock. */
#ifndef HUSK_DELIVERY_AGENT_CLOCK_H
#define HUSK_DELIVERY_AGENT_CLOCK_H

#include "base/metrics.h"
#include "runtime/route.h"

struct agent_clock {
    uint64_t progress_ms;     /* when bytes last moved */
    uint64_t paused_until_ms; /* because of a rate limit; 0: not paused */
};

/* What the deadlines depend on. */
struct agent_facts {
    const struct route_options *route;
    uint64_t now_ms;
    bool is_untouched;      /* no byte of a message has come, and no end */
    bool is_mid_message;    /* a part of a message has come, and the rest has not */
    bool has_unsettled;     /* a message of the agent is unsettled */
    bool waits_for_husk;    /* husk does not read the agent at the moment */
    bool holds_budget;      /* the agent holds read budget beyond its own buffer, or an upstream connection */
    bool leaves_acks;       /* the agent is not read, because it leaves --unread-acks bytes of acks */
    bool is_under_pressure; /* other agents wait for read budget or for an exclusive connection */
};

/* Sets or ends the pause and updates the metrics. `wait_ms`: how long a rate limit makes the next message
 * wait; 0: no pause. Both count as progress: an agent that waits for husk is not idle. */
void agent_clock_pause(struct agent_clock *clock, struct message_metrics *metrics, uint64_t now_ms,
                       uint64_t wait_ms);

/* The connection is new, or husk has not read it until now: its time begins at now_ms. */
void agent_clock_start(struct agent_clock *clock, uint64_t now_ms);

/* Records that bytes have moved. Any byte is progress. But under pressure, each byte of an agent that holds
 * budget counts for a fixed time only, so that an agent that sends slowly does not block others. */
void agent_clock_progress(struct agent_clock *clock, const struct agent_facts *facts, size_t moved);

/* The agent has paused for too long in the middle of a message. */
bool agent_clock_is_stalled(const struct agent_clock *clock, const struct agent_facts *facts);
/* Nothing has moved for --idle-timeout, and nothing is unsettled. */
bool agent_clock_is_idle(const struct agent_clock *clock, const struct agent_facts *facts);
/* The agent has taken no byte of its acks for --unread-acks-timeout: it does not read them. */
bool agent_clock_leaves_acks(const struct agent_clock *clock, const struct agent_facts *facts);
/* The agent has sent nothing for --silence-hint: it may wait for a HELO that husk does not send. */
bool agent_clock_is_silent(const struct agent_clock *clock, const struct agent_facts *facts);

/* When to check these again, or when the pause ends; 0: never. */
uint64_t agent_clock_deadline(const struct agent_clock *clock, const struct agent_facts *facts);

#endif
