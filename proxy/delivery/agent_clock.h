/* The time of one agent's connection: when bytes last moved, its pause by a rate limit, and the deadlines
 * that follow. Pure: facts and the time go in, deadlines come out. All times are in the reactor's now_ms. */
#ifndef HUSK_DELIVERY_AGENT_CLOCK_H
#define HUSK_DELIVERY_AGENT_CLOCK_H

#include "base/metrics.h"
#include "runtime/route.h"

struct agent_clock {
    uint64_t progress_ms;     /* when bytes last moved */
    uint64_t paused_until_ms; /* by a rate limit; 0: it is not paused */
};

/* What the deadlines depend on. */
struct agent_facts {
    const struct route_options *route;
    uint64_t now_ms;
    bool is_untouched;      /* not a byte of a message has come, and no end */
    bool is_mid_message;    /* a part of a message has come */
    bool waits_for_husk;    /* husk does not read it for now */
    bool holds_budget;      /* it holds read budget beyond its own buffer, or an upstream connection */
    bool is_under_pressure; /* others wait for budget, or for a connection */
};

/* Brings the pause up to date, and the metrics with it: a rate limit makes the next message wait for wait_ms;
 * 0: it does not. An agent that waits for husk is not idle. */
void agent_clock_pause(struct agent_clock *clock, struct message_metrics *metrics, uint64_t now_ms,
                       uint64_t wait_ms);

/* Bytes have moved; SIZE_MAX: the agent could not move any until now. Any byte is progress. Under pressure,
 * each byte of an agent that holds budget counts for a fixed time only, so that one that sends slowly does
 * not block others. */
void agent_clock_progress(struct agent_clock *clock, const struct agent_facts *facts, size_t moved);

/* The agent does not go on with its message. */
bool agent_clock_is_stalled(const struct agent_clock *clock, const struct agent_facts *facts);
/* Nothing has moved for --idle-timeout. */
bool agent_clock_is_idle(const struct agent_clock *clock, const struct agent_facts *facts);
/* The agent has sent nothing: it may be waiting for a HELO that does not come. */
bool agent_clock_is_silent(const struct agent_clock *clock, const struct agent_facts *facts);

/* When one of these is to be looked at next, or the pause is over; 0: never. */
uint64_t agent_clock_deadline(const struct agent_clock *clock, const struct agent_facts *facts);

#endif
