#include "control/discovery.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- one place's addresses ---- */

/* Its share of the place's weight. SRV weights say only how addresses of one priority compare (RFC 2782):
 * they must not weigh against other places, so their mean is the place's. */
static unsigned share_of(const struct resolver_address *addresses, size_t count, size_t at, unsigned weight)
{
    uint64_t sum = 0, members = 0, unit = (uint64_t)weight * ENDPOINT_WEIGHT_UNIT;

    for (size_t i = 0; i < count; i++) {
        if (addresses[i].priority != addresses[at].priority)
            continue;
        sum += addresses[i].weight;
        members++;
    }
    uint64_t share = sum ? unit * addresses[at].weight * members / sum : unit;
    return share ? (unsigned)share : 1;
}

static struct endpoint_list *source_list(const struct discovery_source *source,
                                         const struct resolver_address *addresses, size_t count)
{
    struct endpoint endpoints[ENDPOINTS_MAX];
    unsigned tier = 0;

    for (size_t i = 0; i < count; i++) {
        tier += i && addresses[i].priority != addresses[i - 1].priority;
        endpoints[i] = (struct endpoint) {
            .address = addresses[i].address,
            .server_name = addresses[i].host,
            .weight = share_of(addresses, count, i, source->place->weight),
            .tier = tier,
        };
    }
    return endpoint_list_new(endpoints, count);
}

/* ---- all places' addresses ---- */

struct merger {
    struct endpoint endpoints[ENDPOINTS_MAX];
    size_t count, left_out;
    unsigned tiers; /* the highest in use, and one */
};

static bool merger_has(const struct merger *merger, const struct endpoint *endpoint)
{
    for (size_t i = 0; i < merger->count; i++) {
        if (socket_address_equal(&merger->endpoints[i].address, &endpoint->address))
            return true;
    }
    return false;
}

static void merger_add(struct merger *merger, const struct discovery_source *source, unsigned first_tier)
{
    merger->left_out += source->left_out;
    for (size_t i = 0; source->list && i < source->list->count; i++) {
        struct endpoint *to = &merger->endpoints[merger->count];
        if (merger_has(merger, &source->list->endpoints[i]))
            continue; /* where it was said first counts */
        if (merger->count == ENDPOINTS_MAX) {
            merger->left_out++;
            continue;
        }
        *to = source->list->endpoints[i];
        to->tier += first_tier;
        merger->tiers = to->tier >= merger->tiers ? to->tier + 1 : merger->tiers;
        merger->count++;
    }
}

static struct endpoint_list *upstream_merge(struct discovery *upstream, size_t *left_out)
{
    const size_t count = upstream->options->place_count;
    struct merger merger = { .tiers = 1 };

    for (size_t i = 0; i < count; i++) {
        if (!upstream->sources[i].place->is_standby)
            merger_add(&merger, &upstream->sources[i], 0);
    }
    unsigned standby = merger.tiers;
    for (size_t i = 0; i < count; i++) {
        if (upstream->sources[i].place->is_standby)
            merger_add(&merger, &upstream->sources[i], standby);
    }
    *left_out = merger.left_out;
    for (size_t i = 0; i < merger.count; i++)
        merger.endpoints[i].stats = endpoint_stats_registry_get(&upstream->stats_registry, &merger.endpoints[i].address);
    return endpoint_list_new(merger.endpoints, merger.count);
}

/* Whether to wait for names still being looked up: standbys alone are not told of before. */
static bool is_waiting(const struct discovery *upstream)
{
    bool is_waiting = false;

    for (size_t i = 0; i < upstream->options->place_count; i++) {
        const struct discovery_source *source = &upstream->sources[i];
        if (source->list && !source->place->is_standby)
            return false;
        is_waiting = is_waiting || !source->has_answered;
    }
    return is_waiting;
}

static void upstream_publish(struct discovery *upstream)
{
    size_t left_out;

    if (is_waiting(upstream))
        return;
    struct endpoint_list *list = upstream_merge(upstream, &left_out);
    if (!list)
        return; /* out of memory: the next answer tries again */
    if (left_out && !upstream->left_out)
        log_say(upstream->log, LOG_WARN, "more than %d upstream addresses: %zu left out", ENDPOINTS_MAX,
                left_out);
    upstream->left_out = left_out;
    if (!list->count) {
        upstream->on_endpoints(upstream->owner, NULL);
    } else if (!upstream->list || !endpoint_list_equal(list, upstream->list)) {
        log_say(upstream->log, LOG_DEBUG, "the upstream has %zu address(es)", list->count);
        endpoint_list_release(upstream->list);
        upstream->list = endpoint_list_share(list);
        endpoint_stats_registry_unlist(&upstream->stats_registry);
        for (size_t i = 0; i < list->count; i++)
            endpoint_stats_list(list->endpoints[i].stats);
        health_replace(&upstream->health, endpoint_list_share(list));
        upstream->on_endpoints(upstream->owner, list);
    }
    endpoint_list_release(list);
}

static void on_resolved(void *owner, const struct resolver_address *addresses, size_t count, const char *why)
{
    struct discovery_source *source = owner;
    struct log *log = source->upstream->log;
    const char *host = source->place->address.host;
    size_t taken = count < ENDPOINTS_MAX ? count : ENDPOINTS_MAX;

    source->has_answered = true;
    if (!count && !source->unresolved)
        log_say(log, LOG_WARN, "cannot resolve %s: %s", host, why);
    if (count && source->unresolved)
        log_say(log, LOG_INFO, "%s resolves again", host);
    source->unresolved = why;
    struct endpoint_list *list = count ? source_list(source, addresses, taken) : NULL;
    if (list) {
        endpoint_list_release(source->list);
        source->list = list;
        source->left_out = count - taken;
    }
    upstream_publish(source->upstream);
}

/* ---- life ---- */

static bool source_open(struct discovery_source *source, struct ev_loop *loop, struct fault *fault)
{
    const struct discovery_options *options = source->upstream->options;
    struct resolver_address address = { .host = NULL };

    if (source->place->address.is_unix) {
        (void)address_to_socket(&source->place->address, &address.address);
        on_resolved(source, &address, 1, NULL);
        return true;
    }
    source->resolver = resolver_open(loop,
                                     &(struct resolver_request) { .address = &source->place->address,
                                                                  .options = &options->resolver,
                                                                  .on_answer = on_resolved,
                                                                  .owner = source },
                                     fault);
    return source->resolver != NULL;
}

bool discovery_open(struct discovery *upstream, struct ev_loop *loop, const struct discovery_options *options,
                   struct log *log, discovery_on_endpoints *on_endpoints, void *owner, struct fault *fault)
{
    *upstream = (struct discovery) {
        .options = options,
        .log = log,
        .sources = calloc(options->place_count, sizeof *upstream->sources),
        .on_endpoints = on_endpoints,
        .owner = owner,
    };
    health_open(&upstream->health, loop, &options->health);
    if (!upstream->sources) {
        fault_set(fault, "out of memory");
        return false;
    }
    for (size_t i = 0; i < options->place_count; i++)
        upstream->sources[i] =
            (struct discovery_source) { .upstream = upstream, .place = &options->places[i] };
    for (size_t i = 0; i < options->place_count; i++) {
        if (!source_open(&upstream->sources[i], loop, fault))
            return false;
    }
    return true;
}

void discovery_close(struct discovery *upstream)
{
    if (!upstream->options)
        return;
    for (size_t i = 0; upstream->sources && i < upstream->options->place_count; i++) {
        resolver_close(upstream->sources[i].resolver);
        endpoint_list_release(upstream->sources[i].list);
    }
    free(upstream->sources);
    health_close(&upstream->health);
    endpoint_list_release(upstream->list);
    endpoint_stats_registry_deinit(&upstream->stats_registry);
    *upstream = (struct discovery) { 0 };
}

void discovery_refresh(struct discovery *upstream)
{
    for (size_t i = 0; i < upstream->options->place_count; i++) {
        if (upstream->sources[i].resolver)
            resolver_refresh(upstream->sources[i].resolver);
    }
    health_refresh(&upstream->health);
}

/* ---- readiness ---- */

/* Whether it says no more than that nobody was there at that moment: a connect that goes well disproves it.
 */
static bool is_absence(enum end_reason reason)
{
    switch (reason) {
    case END_UNRESOLVED:
    case END_CONNECT_REFUSED:
    case END_CONNECT_FAILED:
    case END_CONNECT_TIMEOUT:
    case END_RESET:
    case END_TRUNCATED:
    case END_UPSTREAM_CLOSED:
    case END_DEAD_PEER:
        return true;
    default:
        return false;
    }
}

static bool is_unresolved(const struct discovery *upstream)
{
    bool unresolved = false;

    for (size_t i = 0; i < upstream->options->place_count; i++)
        unresolved = unresolved || upstream->sources[i].unresolved;
    return unresolved;
}

enum end_reason discovery_failure(const struct discovery *upstream, const struct discovery_dial *dial)
{
    const struct health *health = &upstream->health;
    bool is_probe_newer = health->known && health->ended_ms >= dial->at_ms;

    if (!upstream->list)
        return is_unresolved(upstream) ? END_UNRESOLVED : END_NONE;
    if (is_probe_newer && (health->failure != END_NONE || is_absence(dial->outcome)))
        return health->failure;
    return dial->outcome;
}

static void describe_names(const struct discovery *upstream, char *text, size_t size)
{
    for (size_t i = 0; i < upstream->options->place_count; i++) {
        const struct discovery_source *source = &upstream->sources[i];
        const char *host = source->place->address.host;
        size_t used = strlen(text);
        if (source->unresolved)
            snprintf(text + used, size - used, "upstream: cannot resolve %s: %s\n", host, source->unresolved);
        else if (!source->has_answered)
            snprintf(text + used, size - used, "upstream: %s is not resolved yet\n", host);
    }
}

void discovery_describe(const struct discovery *upstream, const struct discovery_dial *dial, char *text,
                       size_t size)
{
    const struct health *health = &upstream->health;
    enum end_reason failure = discovery_failure(upstream, dial);
    size_t used = strlen(text);

    text += used;
    size -= used;
    if (!upstream->list)
        describe_names(upstream, text, size);
    else if (failure != END_NONE)
        snprintf(text, size, "upstream: %s\n", end_reason_phrase(failure));
    else if (!health->known && health->options.interval_ms)
        snprintf(text, size, "upstream: not probed yet\n");
}
