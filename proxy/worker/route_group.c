#include "worker/route_group.h"

#include <assert.h>
#include <stdlib.h>

unsigned route_group_size(const struct route_group *group)
{
    return group->state == ROUTE_GROUP_CLOSED ? 0 : group->options.worker_count;
}

/* For items that carry nothing. */
static void group_post(struct route_group *group, enum mailbox_kind kind)
{
    for (unsigned i = 0; i < group->options.worker_count; i++)
        worker_group_post(group->options.workers, i,
                          (struct mailbox_item) { .kind = kind, .route = &group->routes[i] });
}

static bool takes_changes(const struct route_group *group)
{
    return group->state >= ROUTE_GROUP_RUNNING && group->state <= ROUTE_GROUP_RETIRED;
}

/* ---- begin ---- */

bool route_group_bind(struct route_group *group, const struct route_group_options *options,
                      const struct listening_options *listen, struct fault *fault)
{
    *group = (struct route_group) { .options = *options,
                                    .listening = { .workers = options->worker_count,
                                                   .inherited = options->inherited,
                                                   .route = options->route } };
    group->binding = listening_change_new(&group->listening, listen, fault);
    return group->binding;
}

bool route_group_listen(struct route_group *group, struct fault *fault)
{
    return listening_change_listen(group->binding, fault);
}

static bool route_make(struct route_group *group, unsigned at, const struct route_options *route,
                       struct credentials *const credentials[SIDE_COUNT], struct fault *fault)
{
    struct worker *worker = &group->options.workers->workers[at];
    const struct worker_route_options options = {
        .route = route,
        .reactor = &worker->reactor,
        .mailbox = &worker->mailbox,
        .log = group->options.log,
        .peers = &group->peers,
        .is_first = at == 0,
    };
    struct credentials *shared[SIDE_COUNT] = { NULL };

    for (enum side side = 0; side < SIDE_COUNT; side++) {
        if (credentials[side])
            shared[side] = credentials_share(credentials[side]);
    }
    group->metrics[at] = &group->routes[at].transport.metrics;
    return worker_route_init(&group->routes[at], &options, shared, fault);
}

static void on_receipt(void *owner);

bool route_group_open(struct route_group *group, const struct route_options *route,
                      struct credentials *const credentials[SIDE_COUNT], struct fault *fault)
{
    const struct worker_group *workers = group->options.workers;
    unsigned count = group->options.worker_count;

    assert(group->state == ROUTE_GROUP_CLOSED && workers->count == count);
    group->routes = calloc(count, sizeof *group->routes);
    group->metrics = calloc(count, sizeof(const struct metrics *));
    if (!group->routes || !group->metrics) {
        fault_set(fault, "out of memory");
        return false;
    }
    for (unsigned i = 0; i < count; i++) {
        if (!route_make(group, i, route, credentials, fault))
            return false;
    }
    return true;
}

void route_group_begin(struct route_group *group)
{
    unsigned count = group->options.worker_count;

    listening_change_commit(group->binding, NULL);
    group->binding = NULL;
    for (unsigned i = 0; i < count; i++) {
        struct listener_fds fds = listening_take(&group->listening, i);
        worker_route_set_fds(&group->routes[i], &fds);
    }
    receipt_open(&group->receipt, group->options.loop, on_receipt, group);
    group->state = ROUTE_GROUP_RUNNING;
    group_post(group, MAILBOX_BEGIN);
    /* From now on, a connection that is passed on comes after MAILBOX_BEGIN. */
    group->peers.items = group->routes;
    atomic_store_explicit(&group->peers.count, count, memory_order_release);
}

/* ---- changes ---- */

struct route_group_change {
    LIST_ENTRY(route_group_change) sibling;
    struct route_group *group;        /* borrowed */
    struct listening_change *binding; /* owned; until the change begins */
    struct listener_fds *removed;     /* owned: of each worker */
    struct receipt receipt;
    struct worker_route_change to; /* from the begin on */
    void (*on_changed)(void *owner);
    void *owner; /* borrowed */
    struct mailbox_item items[];
};

struct route_group_change *route_group_change_new(struct route_group *group,
                                                  const struct listening_options *listen, struct fault *fault)
{
    struct route_group_change *change =
        calloc(1, sizeof *change + group->options.worker_count * sizeof change->items[0]);

    assert(group->state == ROUTE_GROUP_RUNNING);
    if (!change) {
        fault_set(fault, "out of memory");
        return NULL;
    }
    change->group = group;
    change->removed = calloc(group->options.worker_count, sizeof *change->removed);
    if (!change->removed)
        fault_set(fault, "out of memory");
    else if ((change->binding = listening_change_new(&group->listening, listen, fault)))
        return change;
    free(change->removed);
    free(change);
    return NULL;
}

struct listening_change *route_group_change_binding(const struct route_group_change *change)
{
    return change->binding;
}

void route_group_change_cancel(struct route_group_change *change)
{
    if (!change)
        return;
    listening_change_cancel(change->binding);
    free(change->removed);
    free(change);
}

static void change_end(struct route_group_change *change)
{
    LIST_REMOVE(change, sibling);
    receipt_close(&change->receipt);
    for (enum side side = 0; side < SIDE_COUNT; side++)
        credentials_release(change->to.credentials[side]);
    endpoint_list_release(change->to.endpoints);
    free(change->removed);
    free(change);
}

static void on_change_complete(void *owner)
{
    struct route_group_change *change = owner;
    void (*on_changed)(void *owner) = change->on_changed;
    void *changed_owner = change->owner;

    change_end(change);
    on_changed(changed_owner);
}

static void fds_post(struct route_group *group, unsigned at, enum mailbox_kind kind,
                     const struct listener_fds *fds)
{
    for (unsigned i = 0; i < fds->count; i++)
        worker_group_post(group->options.workers, at,
                          (struct mailbox_item) { .kind = kind,
                                                  .route = &group->routes[at],
                                                  .fd = fds->items[i].number,
                                                  .is_of_manager = fds->items[i].is_of_manager });
}

static void change_fill(struct route_group_change *change, const struct worker_route_change *to)
{
    change->to = *to;
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        if (to->credentials[side])
            (void)credentials_share(to->credentials[side]);
    }
    if (to->endpoints)
        (void)endpoint_list_share(to->endpoints);
}

/* Connections that wait at an old address are taken with the old options, those at a new address with the new
 * ones. */
void route_group_change_begin(struct route_group_change *change, const struct worker_route_change *to,
                              void (*on_changed)(void *owner), void *owner)
{
    struct route_group *group = change->group;

    change_fill(change, to);
    change->on_changed = on_changed;
    change->owner = owner;
    listening_change_commit(change->binding, change->removed);
    change->binding = NULL;
    LIST_INSERT_HEAD(&group->changes, change, sibling);
    receipt_open(&change->receipt, group->options.loop, on_change_complete, change);
    receipt_expect(&change->receipt, group->options.worker_count);
    for (unsigned i = 0; i < group->options.worker_count; i++) {
        const struct listener_fds added = listening_take(&group->listening, i);
        fds_post(group, i, MAILBOX_UNLISTEN, &change->removed[i]);
        change->items[i] = (struct mailbox_item) { .kind = MAILBOX_CHANGE,
                                                   .route = &group->routes[i],
                                                   .receipt = &change->receipt,
                                                   .change = &change->to };
        worker_group_put(group->options.workers, i, &change->items[i]);
        fds_post(group, i, MAILBOX_LISTEN, &added);
    }
}

/* ---- end ---- */

unsigned route_group_close(struct route_group *group)
{
    struct route_group_change *next;
    unsigned left_behind = 0;

    receipt_close(&group->receipt);
    for (struct route_group_change *change = LIST_FIRST(&group->changes); change; change = next) {
        next = LIST_NEXT(change, sibling);
        change_end(change);
    }
    for (unsigned i = 0; group->routes && i < group->options.worker_count; i++) {
        left_behind += group->routes[i].left_behind;
        worker_route_deinit(&group->routes[i]);
    }
    listening_change_cancel(group->binding);
    listening_close(&group->listening);
    free(group->routes);
    free(group->metrics);
    *group = (struct route_group) { 0 };
    return left_behind;
}

/* Posts the item that each route has for its end. */
static void end_post(struct route_group *group, enum mailbox_kind kind)
{
    receipt_expect(&group->receipt, group->options.worker_count);
    for (unsigned i = 0; i < group->options.worker_count; i++) {
        struct worker_route *route = &group->routes[i];
        route->end = (struct mailbox_item) { .kind = kind, .route = route, .receipt = &group->receipt };
        worker_group_put(group->options.workers, i, &route->end);
    }
}

static void retirement_post(struct route_group *group, enum mailbox_kind kind)
{
    group->state = ROUTE_GROUP_RETIRING;
    atomic_store(&group->peers.count, 0);
    end_post(group, kind);
}

void route_group_retire(struct route_group *group)
{
    if (group->state != ROUTE_GROUP_RUNNING)
        return;
    listening_remove_files(&group->listening);
    retirement_post(group, MAILBOX_RETIRE);
}

void route_group_hand_over(struct route_group *group)
{
    if (group->state != ROUTE_GROUP_RUNNING)
        return;
    listening_give_up_files(&group->listening);
    retirement_post(group, MAILBOX_HAND_OVER);
}

bool route_group_has_retired(const struct route_group *group)
{
    return group->state >= ROUTE_GROUP_RETIRED;
}

/* A worker that has not handled MAILBOX_END yet may pass a connection on to another one, which has. The
 * workers forget the route when all have handled it: then no such item can come any more. */
static void on_receipt(void *owner)
{
    struct route_group *group = owner;

    switch (group->state) {
    case ROUTE_GROUP_RETIRING:
        group->state = ROUTE_GROUP_RETIRED;
        if (group->is_end_due)
            route_group_end(group);
        break;
    case ROUTE_GROUP_ENDING:
        group->state = ROUTE_GROUP_FORGETTING;
        end_post(group, MAILBOX_FORGET);
        break;
    case ROUTE_GROUP_FORGETTING:
        group->options.on_ended(group->options.owner);
        break;
    case ROUTE_GROUP_CLOSED:
    case ROUTE_GROUP_RUNNING:
    case ROUTE_GROUP_RETIRED:
        assert(!"a receipt that nobody expects");
        break;
    }
}

void route_group_end(struct route_group *group)
{
    group->is_end_due = true;
    if (group->state != ROUTE_GROUP_RUNNING && group->state != ROUTE_GROUP_RETIRED)
        return;
    group->state = ROUTE_GROUP_ENDING;
    atomic_store(&group->peers.count, 0);
    end_post(group, MAILBOX_END);
}

/* ---- changes, for all workers ---- */

void route_group_replace_credentials(struct route_group *group,
                                     struct credentials *const credentials[SIDE_COUNT])
{
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        for (unsigned i = 0; takes_changes(group) && credentials[side] && i < group->options.worker_count;
             i++)
            worker_group_post(group->options.workers, i,
                              (struct mailbox_item) { .kind = MAILBOX_CREDENTIALS,
                                                      .route = &group->routes[i],
                                                      .side = side,
                                                      .credentials = credentials_share(credentials[side]) });
    }
}

void route_group_replace_endpoints(struct route_group *group, struct endpoint_list *list)
{
    for (unsigned i = 0; takes_changes(group) && i < group->options.worker_count; i++)
        worker_group_post(group->options.workers, i,
                          (struct mailbox_item) { .kind = MAILBOX_ENDPOINTS,
                                                  .route = &group->routes[i],
                                                  .endpoints = list ? endpoint_list_share(list) : NULL });
}

static void change_post(struct route_group *group, enum mailbox_kind kind)
{
    if (takes_changes(group))
        group_post(group, kind);
}

void route_group_drain(struct route_group *group)
{
    change_post(group, MAILBOX_DRAIN);
}

void route_group_shed(struct route_group *group)
{
    change_post(group, MAILBOX_SHED);
}

bool route_group_can_refuse(const struct route_group *group)
{
    return group->state == ROUTE_GROUP_RUNNING && listening_can_pause(&group->listening);
}

void route_group_refuse(struct route_group *group)
{
    change_post(group, MAILBOX_REFUSE);
}

void route_group_admit(struct route_group *group)
{
    change_post(group, MAILBOX_ADMIT);
}

/* ---- sums over the workers ---- */

uint64_t route_group_given_up(const struct route_group *group)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < route_group_size(group); i++)
        sum += group->routes[i].given_up;
    return sum;
}

uint64_t route_group_connections(const struct route_group *group)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < route_group_size(group); i++)
        sum += acceptor_connections(&group->routes[i].transport.acceptor);
    return sum;
}

uint64_t route_group_activity(const struct route_group *group)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < route_group_size(group); i++) {
        for (enum side side = 0; side < SIDE_COUNT; side++) {
            const struct side_metrics *metrics = &group->metrics[i]->side[side];
            sum += metrics_read(&metrics->opened) + metrics_read(&metrics->bytes[METRICS_RECEIVED]) +
                   metrics_read(&metrics->bytes[METRICS_SENT]);
        }
    }
    return sum;
}

bool route_group_has_unsettled(const struct route_group *group)
{
    for (unsigned i = 0; i < route_group_size(group); i++) {
        const struct message_metrics *messages = &group->metrics[i]->messages;
        if (metrics_read(&messages->retained_bytes) || metrics_read(&messages->rate_limited_agents) ||
            metrics_read(&messages->cut_through_waiting))
            return true;
    }
    return false;
}

struct dialer_outcome route_group_last_dial(const struct route_group *group)
{
    struct dialer_outcome newest = { 0 };

    for (unsigned i = 0; i < route_group_size(group); i++) {
        struct dialer_outcome dial = dialer_last_outcome(&group->routes[i].transport.dialer);
        dial.awaits_first = dial.awaits_first || newest.awaits_first;
        if (dial.at_ms >= newest.at_ms)
            newest = dial;
        newest.awaits_first = dial.awaits_first;
    }
    return newest;
}
