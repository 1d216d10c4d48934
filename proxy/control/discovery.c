#include "control/discovery.h"

#include "trust/server_name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the addresses of one target ---- */

/* The weight of the address at `at`. SRV weights compare only addresses of one priority (RFC 2782), and say
 * nothing about other targets: they are scaled so that their mean is the weight of the target. */
static unsigned weight_of(const struct resolver_address *addresses, size_t count, size_t at, unsigned weight)
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

static struct endpoint_list *lookup_list(const struct discovery_lookup *lookup,
                                         const struct resolver_address *addresses, size_t count)
{
    struct endpoint endpoints[ENDPOINTS_MAX];
    unsigned tier = 0;

    for (size_t i = 0; i < count; i++) {
        tier += i && addresses[i].priority != addresses[i - 1].priority;
        endpoints[i] = (struct endpoint) {
            .address = addresses[i].address,
            .has_tls = lookup->discovery->options->has_tls,
            .server_name = lookup->target->server_name ? lookup->target->server_name : addresses[i].host,
            .weight = weight_of(addresses, count, i, lookup->target->weight),
            .tier = tier,
        };
    }
    return endpoint_list_new(endpoints, count);
}

/* ---- the addresses of all targets ---- */

struct merger {
    struct endpoint endpoints[ENDPOINTS_MAX];
    size_t count, left_out;
    unsigned tiers; /* one more than the highest in use */
};

static bool merger_has(const struct merger *merger, const struct endpoint *endpoint)
{
    for (size_t i = 0; i < merger->count; i++) {
        if (endpoint_is_same(&merger->endpoints[i], endpoint))
            return true;
    }
    return false;
}

static void merger_add(struct merger *merger, const struct discovery_lookup *lookup, unsigned first_tier)
{
    merger->left_out += lookup->left_out;
    for (size_t i = 0; lookup->list && i < lookup->list->count; i++) {
        struct endpoint *to = &merger->endpoints[merger->count];
        if (merger_has(merger, &lookup->list->endpoints[i]))
            continue; /* the first --upstream that has the endpoint decides on weight and tier */
        if (merger->count == ENDPOINTS_MAX) {
            merger->left_out++;
            continue;
        }
        *to = lookup->list->endpoints[i];
        to->tier += first_tier;
        merger->tiers = to->tier >= merger->tiers ? to->tier + 1 : merger->tiers;
        merger->count++;
    }
}

static struct endpoint_list *lookups_merge(struct discovery *discovery, size_t *left_out)
{
    const size_t count = discovery->options->target_count;
    struct merger merger = { .tiers = 1 };

    for (size_t i = 0; i < count; i++) {
        if (!discovery->lookups[i].target->is_standby)
            merger_add(&merger, &discovery->lookups[i], 0);
    }
    unsigned standby = merger.tiers;
    for (size_t i = 0; i < count; i++) {
        if (discovery->lookups[i].target->is_standby)
            merger_add(&merger, &discovery->lookups[i], standby);
    }
    *left_out = merger.left_out;
    for (size_t i = 0; i < merger.count; i++)
        merger.endpoints[i].stats = endpoint_stats_registry_get(
            &discovery->stats_registry, &merger.endpoints[i].address, merger.endpoints[i].server_name);
    return endpoint_list_new(merger.endpoints, merger.count);
}

/* Whether to wait for the first answer of a look-up: standbys alone are not published before. */
static bool is_waiting(const struct discovery *discovery)
{
    bool is_waiting = false;

    for (size_t i = 0; i < discovery->options->target_count; i++) {
        const struct discovery_lookup *lookup = &discovery->lookups[i];
        if (lookup->list && !lookup->target->is_standby)
            return false;
        is_waiting = is_waiting || !lookup->has_answered;
    }
    return is_waiting;
}

/* The health is set by the caller. */
static void list_use(struct discovery *discovery, struct endpoint_list *list)
{
    log_say_of(discovery->log, LOG_DEBUG, discovery->route, "the upstream has %zu address(es)", list->count);
    endpoint_list_release(discovery->list);
    discovery->list = endpoint_list_share(list);
    endpoint_stats_registry_unlist(&discovery->stats_registry);
    for (size_t i = 0; i < list->count; i++)
        endpoint_stats_list(list->endpoints[i].stats);
}

/* The addresses of all targets, one reference; NULL: not to be published yet. */
static struct endpoint_list *list_make(struct discovery *discovery)
{
    size_t left_out;

    if (is_waiting(discovery))
        return NULL;
    struct endpoint_list *list = lookups_merge(discovery, &left_out);
    if (!list)
        return NULL; /* out of memory: the next answer publishes the list */
    if (left_out && !discovery->left_out)
        log_say_of(discovery->log, LOG_WARN, discovery->route,
                   "more than %d upstream addresses: %zu left out", ENDPOINTS_MAX, left_out);
    discovery->left_out = left_out;
    return list;
}

static void endpoints_publish(struct discovery *discovery)
{
    struct endpoint_list *list = list_make(discovery);

    if (list && !list->count) {
        discovery->on_endpoints(discovery->owner, NULL);
    } else if (list && (!discovery->list || !endpoint_list_equal(list, discovery->list))) {
        list_use(discovery, list);
        health_replace(&discovery->health, endpoint_list_share(list));
        discovery->on_endpoints(discovery->owner, list);
    }
    endpoint_list_release(list);
}

static void on_resolved(void *owner, const struct resolver_address *addresses, size_t count, const char *why)
{
    struct discovery_lookup *lookup = owner;
    struct log *log = lookup->discovery->log;
    const char *host = lookup->target->address.host;
    size_t taken = count < ENDPOINTS_MAX ? count : ENDPOINTS_MAX;

    lookup->has_answered = true;
    if (!count && !lookup->unresolved)
        log_say_of(log, LOG_WARN, lookup->discovery->route, "cannot resolve %s: %s", host, why);
    if (count && lookup->unresolved)
        log_say_of(log, LOG_INFO, lookup->discovery->route, "%s resolves again", host);
    lookup->unresolved = why;
    struct endpoint_list *list = count ? lookup_list(lookup, addresses, taken) : NULL;
    if (list) {
        endpoint_list_release(lookup->list);
        lookup->list = list;
        lookup->left_out = count - taken;
    }
    endpoints_publish(lookup->discovery);
}

/* ---- life ---- */

static bool lookup_open(struct discovery_lookup *lookup, struct ev_loop *loop, struct fault *fault)
{
    const struct discovery_options *options = lookup->discovery->options;

    if (lookup->target->address.is_unix)
        return true;
    lookup->resolver = resolver_open(loop,
                                     &(struct resolver_request) { .address = &lookup->target->address,
                                                                  .options = &options->resolver,
                                                                  .on_answer = on_resolved,
                                                                  .owner = lookup },
                                     fault);
    return lookup->resolver != NULL;
}

bool discovery_open(struct discovery *discovery, struct ev_loop *loop, const struct discovery_setup *setup,
                    struct fault *fault)
{
    const struct discovery_options *options = setup->options;

    *discovery = (struct discovery) {
        .options = options,
        .route = setup->route,
        .log = setup->log,
        .lookups = calloc(options->target_count, sizeof *discovery->lookups),
        .on_endpoints = setup->on_endpoints,
        .owner = setup->owner,
    };
    health_open(&discovery->health, loop, &options->health);
    if (!discovery->lookups) {
        fault_set(fault, "out of memory");
        return false;
    }
    for (size_t i = 0; i < options->target_count; i++)
        discovery->lookups[i] =
            (struct discovery_lookup) { .discovery = discovery, .target = &options->targets[i] };
    for (size_t i = 0; i < options->target_count; i++) {
        if (!lookup_open(&discovery->lookups[i], loop, fault))
            return false;
    }
    return true;
}

/* ---- from one discovery to the next ---- */

/* Whether the answers for `b` are those for `a`, but for weights. */
static bool target_is_same(const struct discovery_target *a, const struct discovery_target *b)
{
    return strcmp(a->address.host, b->address.host) == 0 && a->address.port == b->address.port &&
           a->address.is_unix == b->address.is_unix && a->address.is_srv == b->address.is_srv &&
           server_name_equal(a->server_name, b->server_name);
}

/* The addresses of `before`, with the weight of the new target. Those with another TLS setting are not taken:
 * their server names may differ. */
static struct endpoint_list *lookup_list_again(const struct discovery_lookup *lookup,
                                               const struct discovery_lookup *before)
{
    const struct discovery_options *options = lookup->discovery->options, *old = before->discovery->options;
    struct endpoint endpoints[ENDPOINTS_MAX];

    if (!before->list || !target_is_same(lookup->target, before->target) ||
        options->has_tls != old->has_tls || options->resolver.hosts != old->resolver.hosts)
        return NULL;
    for (size_t i = 0; i < before->list->count; i++) {
        uint64_t weight = (uint64_t)before->list->endpoints[i].weight * lookup->target->weight;
        endpoints[i] = before->list->endpoints[i];
        endpoints[i].weight =
            weight > before->target->weight ? (unsigned)(weight / before->target->weight) : 1;
    }
    return endpoint_list_new(endpoints, before->list->count);
}

static void lookup_begin(struct discovery_lookup *lookup, const struct discovery *before)
{
    struct resolver_address address = { .host = NULL };

    if (lookup->target->address.is_unix) {
        (void)address_to_socket(&lookup->target->address, &address.address);
        lookup->has_answered = true;
        lookup->list = lookup_list(lookup, &address, 1);
    }
    for (size_t i = 0; before && !lookup->list && i < before->options->target_count; i++) {
        lookup->list = lookup_list_again(lookup, &before->lookups[i]);
        lookup->left_out = lookup->list ? before->lookups[i].left_out : 0;
    }
}

void discovery_begin(struct discovery *discovery, struct discovery *before)
{
    if (before) {
        discovery->stats_registry = before->stats_registry;
        before->stats_registry = (struct endpoint_stats_registry) { 0 };
    }
    for (size_t i = 0; i < discovery->options->target_count; i++)
        lookup_begin(&discovery->lookups[i], before);
    struct endpoint_list *list = list_make(discovery);
    if (list && list->count) {
        list_use(discovery, list);
        if (before && before->list)
            health_follow(&discovery->health, endpoint_list_share(list), &before->health);
        else
            health_replace(&discovery->health, endpoint_list_share(list));
    }
    endpoint_list_release(list);
}

void discovery_close(struct discovery *discovery)
{
    if (!discovery->options)
        return;
    for (size_t i = 0; discovery->lookups && i < discovery->options->target_count; i++) {
        resolver_close(discovery->lookups[i].resolver);
        endpoint_list_release(discovery->lookups[i].list);
    }
    free(discovery->lookups);
    health_close(&discovery->health);
    endpoint_list_release(discovery->list);
    endpoint_stats_registry_deinit(&discovery->stats_registry);
    *discovery = (struct discovery) { 0 };
}

void discovery_resolve(struct discovery *discovery)
{
    for (size_t i = 0; i < discovery->options->target_count; i++) {
        if (discovery->lookups[i].resolver)
            resolver_refresh(discovery->lookups[i].resolver);
    }
}

void discovery_refresh(struct discovery *discovery)
{
    discovery_resolve(discovery);
    health_refresh(&discovery->health);
}
