#include "link/endpoint_stats.h"

#include "trust/server_name.h"

#include <stdlib.h>
#include <string.h>

struct endpoint_stats *endpoint_stats_share(struct endpoint_stats *stats)
{
    atomic_fetch_add_explicit(&stats->references, 1, memory_order_relaxed);
    return stats;
}

void endpoint_stats_release(struct endpoint_stats *stats)
{
    if (stats && atomic_fetch_sub_explicit(&stats->references, 1, memory_order_acq_rel) == 1)
        free(stats);
}

void endpoint_stats_enter(struct endpoint_stats *stats, enum metrics_outlet_state state)
{
    if (stats)
        atomic_fetch_add_explicit(&stats->metrics.connections[state], 1, memory_order_relaxed);
}

void endpoint_stats_leave(struct endpoint_stats *stats, enum metrics_outlet_state state)
{
    if (stats)
        atomic_fetch_sub_explicit(&stats->metrics.connections[state], 1, memory_order_relaxed);
}

void endpoint_stats_eject(struct endpoint_stats *stats, uint64_t until_ms)
{
    if (stats)
        atomic_store_explicit(&stats->metrics.ejected_until_ms, until_ms, memory_order_relaxed);
}

enum endpoint_proof endpoint_stats_note_success(struct endpoint_stats *stats)
{
    if (!stats)
        return ENDPOINT_PROVEN;
    return (enum endpoint_proof)atomic_exchange_explicit(&stats->proof, ENDPOINT_PROVEN,
                                                         memory_order_relaxed);
}

void endpoint_stats_note_failure(struct endpoint_stats *stats)
{
    if (stats)
        atomic_store_explicit(&stats->proof, ENDPOINT_FAILING, memory_order_relaxed);
}

enum metrics_acks endpoint_stats_acks(const struct endpoint_stats *stats)
{
    return stats ? atomic_load_explicit(&stats->metrics.acks, memory_order_relaxed) : METRICS_ACKS_UNKNOWN;
}

enum metrics_acks endpoint_stats_note_ack(struct endpoint_stats *stats)
{
    /* Each ack comes here: no write to what workers share unless something changes. */
    if (!stats || endpoint_stats_acks(stats) == METRICS_ACKS_SENT)
        return METRICS_ACKS_SENT;
    return atomic_exchange_explicit(&stats->metrics.acks, METRICS_ACKS_SENT, memory_order_relaxed);
}

bool endpoint_stats_note_proof(struct endpoint_stats *stats, unsigned needed)
{
    unsigned known = METRICS_ACKS_UNKNOWN;

    if (!stats ||
        atomic_fetch_add_explicit(&stats->metrics.no_acks_proofs, 1, memory_order_relaxed) + 1 < needed)
        return false;
    return atomic_compare_exchange_strong_explicit(&stats->metrics.acks, &known, METRICS_ACKS_NEVER,
                                                   memory_order_relaxed, memory_order_relaxed);
}

/* ---- the registry ---- */

static struct endpoint_stats *stats_of(struct endpoint_metrics *metrics)
{
    return (struct endpoint_stats *)metrics;
}

struct endpoint_stats *endpoint_stats_registry_get(struct endpoint_stats_registry *registry,
                                                   const struct socket_address *address,
                                                   const char *server_name)
{
    struct endpoint_metrics **end = &registry->first;
    size_t name_bytes = server_name ? strlen(server_name) + 1 : 0;

    for (; *end; end = &(*end)->next) {
        struct endpoint_stats *stats = stats_of(*end);
        if (socket_address_equal(&stats->address, address) &&
            server_name_equal(stats->metrics.server_name, server_name))
            return stats;
    }
    struct endpoint_stats *stats = calloc(1, sizeof *stats + name_bytes);
    if (!stats)
        return NULL;
    atomic_init(&stats->references, 1);
    stats->address = *address;
    socket_address_format(address, stats->text, sizeof stats->text);
    stats->metrics.address = stats->text;
    if (server_name)
        stats->metrics.server_name = memcpy(stats->server_name, server_name, name_bytes);
    *end = &stats->metrics;
    return stats;
}

void endpoint_stats_registry_unlist(struct endpoint_stats_registry *registry)
{
    struct endpoint_metrics **at = &registry->first;

    while (*at) {
        struct endpoint_stats *stats = stats_of(*at);
        stats->metrics.is_listed = false;
        /* Only the control thread makes lists, so nobody else can share these stats any more. */
        if (atomic_load_explicit(&stats->references, memory_order_acquire) > 1) {
            at = &stats->metrics.next;
            continue;
        }
        *at = stats->metrics.next;
        endpoint_stats_release(stats);
    }
}

void endpoint_stats_list(struct endpoint_stats *stats)
{
    if (stats)
        stats->metrics.is_listed = true;
}

void endpoint_stats_registry_deinit(struct endpoint_stats_registry *registry)
{
    for (struct endpoint_metrics *metrics = registry->first, *next; metrics; metrics = next) {
        next = metrics->next;
        endpoint_stats_release(stats_of(metrics));
    }
    registry->first = NULL;
}
