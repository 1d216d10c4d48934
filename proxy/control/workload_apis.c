#include "control/workload_apis.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct workload_apis_entry {
    LIST_ENTRY(workload_apis_entry) sibling;
    struct workload_api api;
    struct metrics_workload_api metrics;
    uint64_t needed_ms; /* the last time that somebody needed the stream */
};

void workload_apis_init(struct workload_apis *apis, const struct workload_apis_options *options)
{
    *apis = (struct workload_apis) { .options = *options };
    LIST_INIT(&apis->list);
}

static void entry_free(struct workload_apis_entry *entry)
{
    LIST_REMOVE(entry, sibling);
    workload_api_close(&entry->api);
    free(entry);
}

void workload_apis_close(struct workload_apis *apis)
{
    struct workload_apis_entry *next;

    for (struct workload_apis_entry *entry = LIST_FIRST(&apis->list); entry; entry = next) {
        next = LIST_NEXT(entry, sibling);
        entry_free(entry);
    }
}

static struct workload_apis_entry *entry_find(const struct workload_apis *apis, const char *socket)
{
    struct workload_apis_entry *entry;

    LIST_FOREACH (entry, &apis->list, sibling) {
        if (strcmp(entry->api.socket, socket) == 0)
            return entry;
    }
    return NULL;
}

static struct workload_apis_entry *entry_new(struct workload_apis *apis, const char *socket)
{
    struct workload_apis_entry *entry = calloc(1, sizeof *entry);
    const struct workload_api_options options = {
        .loop = apis->options.loop,
        .log = apis->options.log,
        .socket = socket,
        .limits = apis->options.limits,
        .on_answer = apis->options.on_answer,
        .owner = apis->options.owner,
    };

    if (!entry)
        return NULL;
    LIST_INSERT_HEAD(&apis->list, entry, sibling);
    workload_api_open(&entry->api, &options);
    return entry;
}

struct workload_api *workload_apis_find(struct workload_apis *apis, const char *socket)
{
    struct workload_apis_entry *entry = entry_find(apis, socket);

    if (!entry)
        entry = entry_new(apis, socket);
    if (!entry)
        return NULL;
    entry->needed_ms = clock_monotonic_ms();
    return &entry->api;
}

bool workload_apis_answer(struct workload_apis *apis, const char *socket, struct svid_message *answer,
                          struct fault *fault)
{
    const struct workload_api *api = workload_apis_find(apis, socket);

    if (!api)
        fault_set(fault, "out of memory");
    else if (workload_api_answer(api, answer))
        return true;
    else
        workload_api_describe(api, fault);
    return false;
}

bool workload_apis_has_withdrawn(const struct workload_apis *apis, const struct svid_source *source)
{
    const struct workload_apis_entry *entry = entry_find(apis, source->socket);
    struct svid_message answer;

    if (!entry || entry->api.is_withdrawn)
        return entry;
    return workload_api_answer(&entry->api, &answer) && svid_is_redacted(&answer, source);
}

uint64_t workload_apis_answers(const struct workload_apis *apis, const char *socket)
{
    const struct workload_apis_entry *entry = entry_find(apis, socket);

    return entry ? entry->api.answers : 0;
}

/* ---- the first answers ---- */

/* A stream without an answer; NULL: there is none. */
static const struct workload_api *api_missing(const struct workload_apis *apis)
{
    const struct workload_apis_entry *entry;

    LIST_FOREACH (entry, &apis->list, sibling) {
        if (!entry->api.answer)
            return &entry->api;
    }
    return NULL;
}

static void on_late(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    *(bool *)timer->data = true;
}

bool workload_apis_await(struct workload_apis *apis, uint64_t timeout_ms, const bool *is_cancelled,
                         struct fault *fault)
{
    const struct workload_api *missing;
    bool is_late = false;
    ev_timer late;

    ev_timer_init(&late, on_late, (double)timeout_ms / 1000, 0);
    late.data = &is_late;
    ev_now_update(apis->options.loop);
    if (timeout_ms)
        ev_timer_start(apis->options.loop, &late);
    while ((missing = api_missing(apis)) && !is_late && !*is_cancelled)
        ev_run(apis->options.loop, EVRUN_ONCE);
    ev_timer_stop(apis->options.loop, &late);
    if (missing)
        workload_api_describe(missing, fault);
    return !missing && !*is_cancelled;
}

/* ---- all streams ---- */

void workload_apis_prune(struct workload_apis *apis, bool (*is_needed)(const void *owner, const char *socket),
                         const void *owner)
{
    uint64_t now_ms = clock_monotonic_ms();
    struct workload_apis_entry *next;

    for (struct workload_apis_entry *entry = LIST_FIRST(&apis->list); entry; entry = next) {
        next = LIST_NEXT(entry, sibling);
        if (is_needed(owner, entry->api.socket))
            entry->needed_ms = now_ms;
        else if (now_ms - entry->needed_ms > apis->options.unused_ms)
            entry_free(entry);
    }
}

void workload_apis_describe(const struct workload_apis *apis, char *text, size_t size)
{
    const struct workload_apis_entry *entry;
    struct fault fault;

    LIST_FOREACH (entry, &apis->list, sibling) {
        if (entry->api.answer && !entry->api.fault.text[0])
            continue;
        workload_api_describe(&entry->api, &fault);
        size_t used = strlen(text);
        snprintf(text + used, size - used, "%s\n", fault.text);
    }
}

const struct metrics_workload_api *workload_apis_metrics(struct workload_apis *apis)
{
    const struct metrics_workload_api *first = NULL;
    struct workload_apis_entry *entry;

    LIST_FOREACH (entry, &apis->list, sibling) {
        entry->metrics =
            (struct metrics_workload_api) { .next = first,
                                            .address = entry->api.socket,
                                            .answers = entry->api.received,
                                            .failures = entry->api.failures,
                                            .is_connected = entry->api.answer && !entry->api.fault.text[0] };
        first = &entry->metrics;
    }
    return first;
}
