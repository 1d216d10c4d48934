#include "relay/endpoint_tally.h"

#include <stdlib.h>
#include <string.h>

struct endpoint_tally *endpoint_tally_share(struct endpoint_tally *tally)
{
    atomic_fetch_add_explicit(&tally->references, 1, memory_order_relaxed);
    return tally;
}

void endpoint_tally_release(struct endpoint_tally *tally)
{
    if (tally && atomic_fetch_sub_explicit(&tally->references, 1, memory_order_acq_rel) == 1)
        free(tally);
}

void endpoint_tally_enter(struct endpoint_tally *tally, enum metrics_outlet_state state)
{
    if (tally)
        atomic_fetch_add_explicit(&tally->metrics.connections[state], 1, memory_order_relaxed);
}

void endpoint_tally_leave(struct endpoint_tally *tally, enum metrics_outlet_state state)
{
    if (tally)
        atomic_fetch_sub_explicit(&tally->metrics.connections[state], 1, memory_order_relaxed);
}

void endpoint_tally_rest(struct endpoint_tally *tally, uint64_t until_ms)
{
    if (tally)
        atomic_store_explicit(&tally->metrics.rested_until_ms, until_ms, memory_order_relaxed);
}

/* ---- the registry ---- */

static struct endpoint_tally *tally_of(struct endpoint_metrics *metrics)
{
    return (struct endpoint_tally *)metrics;
}

struct endpoint_tally *endpoint_tallies_get(struct endpoint_tallies *tallies,
                                            const struct socket_address *address)
{
    struct endpoint_metrics **end = &tallies->first;

    for (; *end; end = &(*end)->next) {
        struct endpoint_tally *tally = tally_of(*end);
        if (socket_address_equal(&tally->address, address))
            return tally;
    }
    struct endpoint_tally *tally = calloc(1, sizeof *tally);
    if (!tally)
        return NULL;
    atomic_init(&tally->references, 1);
    tally->address = *address;
    socket_address_format(address, tally->text, sizeof tally->text);
    tally->metrics.address = tally->text;
    *end = &tally->metrics;
    return tally;
}

void endpoint_tallies_unlist(struct endpoint_tallies *tallies)
{
    struct endpoint_metrics **at = &tallies->first;

    while (*at) {
        struct endpoint_tally *tally = tally_of(*at);
        tally->metrics.is_listed = false;
        /* Nobody but the control thread makes lists: what it alone has, nobody can come to share. */
        if (atomic_load_explicit(&tally->references, memory_order_acquire) > 1) {
            at = &tally->metrics.next;
            continue;
        }
        *at = tally->metrics.next;
        endpoint_tally_release(tally);
    }
}

void endpoint_tally_list(struct endpoint_tally *tally)
{
    if (tally)
        tally->metrics.is_listed = true;
}

void endpoint_tallies_deinit(struct endpoint_tallies *tallies)
{
    for (struct endpoint_metrics *metrics = tallies->first, *next; metrics; metrics = next) {
        next = metrics->next;
        endpoint_tally_release(tally_of(metrics));
    }
    tallies->first = NULL;
}
