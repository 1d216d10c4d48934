#include "worker/worker_group.h"

#include <stdlib.h>

/* ---- bind, start and stop ---- */

bool worker_group_bind(struct worker_group *group, const struct worker_group_options *options,
                       struct fault *fault)
{
    *group = (struct worker_group) { .options = *options };
    return listening_open(&group->listening, options->listen, options->workers, fault);
}

bool worker_group_start(struct worker_group *group, struct credentials *const credentials[SIDE_COUNT],
                        struct fault *fault)
{
    const struct worker_options options = {
        .route = group->options.route,
        .log = group->options.log,
        .peers = &group->peers,
    };

    group->workers = calloc(group->options.workers, sizeof *group->workers);
    if (!group->workers) {
        fault_set(fault, "out of memory");
        return false;
    }
    group->peers.workers = group->workers;
    while (group->started < group->options.workers) {
        unsigned at = group->started;
        struct credentials *shared[SIDE_COUNT] = { NULL };
        for (enum side side = 0; side < SIDE_COUNT; side++) {
            if (credentials[side])
                shared[side] = credentials_share(credentials[side]);
        }
        struct listener_fds fds = listening_take(&group->listening, at);
        if (!worker_start(&group->workers[at], &options, &fds, shared, fault))
            return false;
        group->metrics[at] = &group->workers[at].transport.metrics;
        group->started++;
        atomic_store(&group->peers.count, group->started);
    }
    return true;
}

static void worker_post(struct worker_group *group, unsigned at, struct mailbox_item item)
{
    if (!mailbox_post(&group->workers[at].mailbox, item))
        log_say(group->options.log, LOG_ERROR, "out of memory: a change did not reach a worker");
}

/* For items without content. */
static void group_post(struct worker_group *group, enum mailbox_kind kind)
{
    for (unsigned i = 0; i < group->started; i++)
        worker_post(group, i, (struct mailbox_item) { .kind = kind });
}

unsigned worker_group_stop(struct worker_group *group)
{
    unsigned left_behind = 0;

    atomic_store(&group->peers.count, 0);
    group_post(group, MAILBOX_STOP);
    for (unsigned i = 0; i < group->started; i++) {
        worker_join(&group->workers[i]);
        left_behind += group->workers[i].left_behind;
    }
    for (unsigned i = 0; i < group->started; i++)
        worker_free(&group->workers[i]);
    listening_close(&group->listening);
    free(group->workers);
    group->workers = NULL;
    group->started = 0;
    return left_behind;
}

/* ---- changes, for all workers ---- */

void worker_group_replace_credentials(struct worker_group *group,
                                      struct credentials *const credentials[SIDE_COUNT])
{
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        if (!credentials[side])
            continue;
        for (unsigned i = 0; i < group->started; i++)
            worker_post(group, i,
                        (struct mailbox_item) { .kind = MAILBOX_CREDENTIALS,
                                                .side = side,
                                                .credentials = credentials_share(credentials[side]) });
    }
}

void worker_group_replace_endpoints(struct worker_group *group, struct endpoint_list *list)
{
    for (unsigned i = 0; i < group->started; i++)
        worker_post(group, i,
                    (struct mailbox_item) { .kind = MAILBOX_ENDPOINTS,
                                            .endpoints = list ? endpoint_list_share(list) : NULL });
}

void worker_group_drain(struct worker_group *group)
{
    group_post(group, MAILBOX_DRAIN);
}

void worker_group_refuse(struct worker_group *group)
{
    group_post(group, MAILBOX_REFUSE);
}

void worker_group_admit(struct worker_group *group)
{
    group_post(group, MAILBOX_ADMIT);
}

/* ---- sums over the workers ---- */

uint64_t worker_group_connections(const struct worker_group *group)
{
    uint64_t active = 0;

    for (unsigned i = 0; i < group->started; i++)
        active += metrics_active(&group->metrics[i]->side[SIDE_DOWNSTREAM]);
    return active;
}

uint64_t worker_group_activity(const struct worker_group *group)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < group->started; i++) {
        for (enum side side = 0; side < SIDE_COUNT; side++) {
            const struct side_metrics *metrics = &group->metrics[i]->side[side];
            sum += metrics_read(&metrics->opened) + metrics_read(&metrics->bytes[METRICS_RECEIVED]) +
                   metrics_read(&metrics->bytes[METRICS_SENT]);
        }
    }
    return sum;
}

bool worker_group_has_unsettled(const struct worker_group *group)
{
    for (unsigned i = 0; i < group->started; i++) {
        const struct message_metrics *messages = &group->metrics[i]->messages;
        if (metrics_read(&messages->retained_bytes) || metrics_read(&messages->rate_limited_agents) ||
            metrics_read(&messages->cut_through_waiting))
            return true;
    }
    return false;
}

struct dialer_outcome worker_group_last_dial(const struct worker_group *group)
{
    struct dialer_outcome newest = { 0 };

    for (unsigned i = 0; i < group->started; i++) {
        struct dialer_outcome dial = dialer_last_outcome(&group->workers[i].transport.dialer);
        if (dial.at_ms >= newest.at_ms)
            newest = dial;
    }
    return newest;
}
