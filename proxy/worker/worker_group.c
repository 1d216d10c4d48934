#include "worker/worker_group.h"

#include <stdlib.h>

bool worker_group_start(struct worker_group *group, unsigned count, struct log *log, struct fault *fault)
{
    *group = (struct worker_group) { .log = log, .workers = calloc(count, sizeof *group->workers) };
    if (!group->workers) {
        fault_set(fault, "out of memory");
        return false;
    }
    while (group->count < count) {
        if (!worker_start(&group->workers[group->count], fault))
            return false;
        group->count++;
    }
    return true;
}

void worker_group_post(struct worker_group *group, unsigned at, struct mailbox_item item)
{
    if (!mailbox_post(&group->workers[at].mailbox, item))
        log_say(group->log, LOG_ERROR, "out of memory: a change did not reach a worker");
}

void worker_group_put(struct worker_group *group, unsigned at, struct mailbox_item *item)
{
    mailbox_put(&group->workers[at].mailbox, item);
}

static void item_put(struct worker_group *group, unsigned at, struct mailbox_item *item,
                     struct receipt *receipt)
{
    *item = (struct mailbox_item) { .kind = MAILBOX_FENCE, .receipt = receipt };
    worker_group_put(group, at, item);
}

void worker_group_fence(struct worker_group *group, struct receipt *receipt)
{
    receipt_expect(receipt, group->count);
    for (unsigned i = 0; i < group->count; i++)
        item_put(group, i, &group->workers[i].fence, receipt);
}

void worker_group_pulse(struct worker_group *group, struct receipt *receipt)
{
    receipt_expect(receipt, group->count);
    for (unsigned i = 0; i < group->count; i++)
        item_put(group, i, &group->workers[i].pulse, receipt);
}

void worker_group_stop(struct worker_group *group)
{
    if (group->is_stopped)
        return;
    group->is_stopped = true;
    for (unsigned i = 0; i < group->count; i++)
        worker_stop(&group->workers[i]);
    for (unsigned i = 0; i < group->count; i++)
        worker_join(&group->workers[i]);
    for (unsigned i = 0; i < group->count; i++)
        worker_close_mailbox(&group->workers[i]);
}

void worker_group_free(struct worker_group *group)
{
    worker_group_stop(group);
    for (unsigned i = 0; i < group->count; i++)
        worker_free(&group->workers[i]);
    free(group->workers);
    *group = (struct worker_group) { 0 };
}
