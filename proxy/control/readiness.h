/* Decides whether a route is ready, and writes the reasons against it for /ready.
 *
 * Pure but for readiness_check, which reacts to a failing upstream. Reads discovery; knows nothing of
 * workers or HTTP: its owner passes the facts. */
#ifndef HUSK_CONTROL_READINESS_H
#define HUSK_CONTROL_READINESS_H

#include "base/end_reason.h"
#include "base/log.h"
#include "control/discovery.h"
#include "link/dialer.h"
#include "runtime/route.h"
#include "trust/revocation.h"
#include "trust/validity.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct readiness_facts {
    const struct discovery *discovery; /* borrowed */
    enum route_on_no_acks on_no_acks;
    struct dialer_outcome dial;
    bool is_insecure;                             /* husk verifies no certificate of an upstream */
    bool is_withdrawn;                            /* a Workload API has withdrawn the credentials of a side */
    struct validity validity[SIDE_COUNT];         /* all zeros: that side has no certificate */
    struct revocation_use revocation[SIDE_COUNT]; /* borrowed */
    int64_t wall_seconds;                         /* the time now, since the epoch */
    int64_t min_certificate_life; /* seconds: an own certificate that ends earlier is a reason */
};

/* `dial` while it counts, otherwise all zeros. A dial counts for half a minute; while the first connection is
 * awaited, it counts without a limit. */
struct dialer_outcome readiness_recent_dial(struct dialer_outcome dial, uint64_t now_ms);

/* What speaks against the upstream; END_NONE: nothing, also while nothing is known yet. The newer of probe
 * and dial decides, with one exception: a good probe proves only that the upstream accepts connections, so it
 * does not cancel a dial that connected and then failed, at a refused certificate for example. While the
 * first connection is awaited, a good probe cancels no failed dial, because husk dials again soon. */
enum end_reason readiness_upstream_failure(const struct discovery *discovery,
                                           const struct dialer_outcome *dial);

/* Writes the reasons against being ready to `text`, one per line, cut to `size`. True when there is none:
 * `text` then holds notes, or is empty. An address that never acknowledges is a note. It is a reason if husk
 * keeps its messages and no other address acknowledges. A revocation list that is stale or missing is a note.
 * It is a reason if husk requires lists and no CA has a fresh list. An upstream that is not verified is a
 * note. */
bool readiness_describe(const struct readiness_facts *facts, char *text, size_t size);

enum readiness_verdict {
    READINESS_ADMIT,  /* accept new connections again */
    READINESS_REFUSE, /* refuse new connections */
    READINESS_SHED,   /* end connections of peers that send unsettled messages again */
};

struct readiness_options {
    const char *route;           /* borrowed: its name, for the log; NULL: none */
    struct discovery *discovery; /* borrowed */
    struct log *log;             /* borrowed */
    bool refuses_unhealthy;      /* refuse new connections while the upstream fails */
    uint64_t shed_after_ms;      /* while husk drains: how long all addresses fail before READINESS_SHED */
    void (*on_verdict)(void *owner, enum readiness_verdict verdict);
    void *owner;
};

enum readiness_state {
    READINESS_SERVING,
    READINESS_DRAINING,       /* the process is going to end */
    READINESS_DRAINING_FIXED, /* the same, and the listening sockets cannot refuse connections */
};

struct readiness {
    struct readiness_options options;
    enum readiness_state state;
    bool is_shedding; /* READINESS_SHED was the verdict */
    bool is_refusing;
    uint64_t failing_since_ms; /* all addresses of the upstream fail; 0: no */
};

/* Sets the options when the route begins, and when they change. If the route refuses connections, and the new
 * options do not ask for this, the route accepts connections at once: one of its new addresses may be a Unix
 * socket, which does not listen again after a refusal. */
void readiness_set_options(struct readiness *readiness, const struct readiness_options *options);

/* To be called after another process has made the listening sockets listen and has ended. Repeats
 * READINESS_REFUSE if this is the verdict. Safe on all zeros. */
void readiness_refuse_again(const struct readiness *readiness);

/* From now on READINESS_SHED is possible. Afterwards connections are refused if `state` allows it. */
void readiness_drain(struct readiness *readiness, enum readiness_state state);

/* Call it about once a second. Refreshes discovery after a failed dial: the upstream may have moved, or may
 * be back. Calls on_verdict: READINESS_SHED each time while it applies, the others when they change. */
void readiness_check(struct readiness *readiness, const struct dialer_outcome *dial, uint64_t now_ms);

#endif
