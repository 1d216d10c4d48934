/* The SPIFFE Workload APIs of the process: one stream for each socket that a route names.
 *
 * Owns the streams. A stream begins when somebody asks for it, and ends some time after nobody needs it any
 * more. Lives on the loop of the control thread. */
#ifndef HUSK_CONTROL_WORKLOAD_APIS_H
#define HUSK_CONTROL_WORKLOAD_APIS_H

#include "base/metrics.h"
#include "control/workload_api.h"

#include <stddef.h>
#include <sys/queue.h>

struct workload_apis_options {
    struct ev_loop *loop; /* borrowed */
    struct log *log;      /* borrowed */
    struct workload_api_limits limits;
    /* A stream that nobody needs ends after this time: a reload of the configuration that waits for the first
     * answer of a new stream tries again meanwhile. */
    uint64_t unused_ms;
    void (*on_answer)(void *owner); /* one of the streams has a new answer, or its answer is withdrawn */
    void *owner;
};

struct workload_apis_entry;

struct workload_apis {
    struct workload_apis_options options;
    LIST_HEAD(, workload_apis_entry) list;
};

void workload_apis_init(struct workload_apis *apis, const struct workload_apis_options *options);
/* Ends all streams. Safe on all zeros. */
void workload_apis_close(struct workload_apis *apis);

/* The stream of this socket, which begins if there is none. Borrowed until the next workload_apis_prune.
 * NULL: out of memory. */
struct workload_api *workload_apis_find(struct workload_apis *apis, const char *socket);

/* The newest answer of this socket, see workload_api_answer. False: the fault says what husk waits for. */
MUST_CHECK bool workload_apis_answer(struct workload_apis *apis, const char *socket,
                                     struct svid_message *answer, struct fault *fault);
/* Whether the socket has given an answer and withdrawn it, or its newest answer no longer has this SVID. */
bool workload_apis_has_withdrawn(const struct workload_apis *apis, const struct svid_source *source);
/* How many answers the socket has given, plus how many it has withdrawn; an answer that repeats the one
 * before does not count. 0: none, or there is no stream. */
uint64_t workload_apis_answers(const struct workload_apis *apis, const char *socket);

/* Runs the loop until all streams have an answer. False after `timeout_ms` (0: no limit), or when something
 * on the loop sets *is_cancelled: the fault says what is missing. */
MUST_CHECK bool workload_apis_await(struct workload_apis *apis, uint64_t timeout_ms, const bool *is_cancelled,
                                    struct fault *fault);

/* Ends each stream for which `is_needed` was false for longer than unused_ms. Call it about once a second. */
void workload_apis_prune(struct workload_apis *apis, bool (*is_needed)(const void *owner, const char *socket),
                         const void *owner);

/* Appends what is wrong with each stream to `text`, one per line, cut to `size`. */
void workload_apis_describe(const struct workload_apis *apis, char *text, size_t size);

/* The figures of all streams; NULL: there are none. Valid until the next call of a function. */
const struct metrics_workload_api *workload_apis_metrics(struct workload_apis *apis);

#endif
