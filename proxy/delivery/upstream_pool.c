#include "delivery/upstream_pool.h"

#include "delivery/upstream.h"
#include "worker/worker.h"

enum {
    REDIAL_MIN_MS = 100,
    REDIAL_MAX_MS = 5000,
    RETIRE_AGAIN_MS = 1000,
    BUSY_BYTES = 64 * 1024,    /* outstanding on every connection: another endpoint may help */
    UNEVEN_BYTES = 256 * 1024, /* so much busier than another one, a carrier loses its agents to it */
};

void roster_init(struct roster *roster, struct worker *worker, struct exchange *exchange)
{
    *roster = (struct roster) { .worker = worker, .exchange = exchange };
    LIST_INIT(&roster->carriers);
}

/* ---- endpoints ---- */

static const struct endpoint_list *endpoints(const struct roster *roster)
{
    return roster->worker->endpoints.list;
}

static bool is_usable(const struct roster *roster, size_t at)
{
    return !endpoint_is_ejected(&roster->worker->endpoints, at, roster->worker->now_ms);
}

/* It did not work the last time. */
static bool has_failed(const struct roster *roster, size_t at)
{
    return at < ENDPOINTS_MAX && roster->worker->endpoints.status[at].failures;
}

/* The tier in use: the lowest with an endpoint that is not resting; UINT32_MAX: all of them rest. */
static unsigned usable_tier(const struct roster *roster)
{
    const struct endpoint_list *list = endpoints(roster);
    unsigned tier = UINT32_MAX;

    for (size_t at = 0; list && at < list->count; at++) {
        if (list->endpoints[at].tier < tier && is_usable(roster, at))
            tier = list->endpoints[at].tier;
    }
    return tier;
}

static const struct endpoint *endpoint_of(const struct roster *roster, const struct carrier *carrier)
{
    const struct endpoint_list *list = endpoints(roster);

    return list && carrier->at < list->count ? &list->endpoints[carrier->at] : NULL;
}

/* Its outstanding bytes, as a multiple of its endpoint's share. */
static uint64_t load_of(const struct roster *roster, const struct carrier *carrier)
{
    const struct endpoint *endpoint = endpoint_of(roster, carrier);

    return carrier->ledger.bytes * ENDPOINT_WEIGHT_UNIT / (endpoint ? endpoint->weight : 1);
}

static unsigned tier_of(const struct roster *roster, const struct carrier *carrier)
{
    const struct endpoint *endpoint = endpoint_of(roster, carrier);

    return endpoint ? endpoint->tier : 0;
}

/* ---- picking ---- */

/* Whether `a` is to be preferred: a lower tier, then less load. */
static bool is_better(const struct roster *roster, const struct carrier *a, const struct carrier *b)
{
    unsigned tier_a = tier_of(roster, a), tier_b = tier_of(roster, b);

    return tier_a != tier_b ? tier_a < tier_b : load_of(roster, a) < load_of(roster, b);
}

struct carrier *roster_pick(struct roster *roster, struct carrier *last)
{
    struct carrier *best = NULL, *carrier;

    LIST_FOREACH (carrier, &roster->carriers, sibling) {
        if (carrier_has_room(carrier) && (!best || is_better(roster, carrier, best)))
            best = carrier;
    }
    if (best && last && carrier_has_room(last) && tier_of(roster, last) == tier_of(roster, best) &&
        load_of(roster, last) <= load_of(roster, best) + UNEVEN_BYTES)
        return last;
    return best;
}

struct carrier *roster_pick_idle(struct roster *roster)
{
    struct carrier *best = NULL, *carrier;
    unsigned leased = 0;

    LIST_FOREACH (carrier, &roster->carriers, sibling) {
        leased += carrier_is_leased(carrier);
        if (carrier_has_room(carrier) && !carrier->ledger.count &&
            (!best || tier_of(roster, carrier) < tier_of(roster, best)))
            best = carrier;
    }
    return leased < roster->worker->route->max_exclusive_connections ? best : NULL;
}

bool roster_is_ready(const struct roster *roster)
{
    const struct carrier *carrier;

    LIST_FOREACH (carrier, &roster->carriers, sibling) {
        if (carrier->state == CARRIER_READY)
            return true;
    }
    return false;
}

/* ---- dialling ---- */

/* What a look over the carriers tells before a dial. */
struct survey {
    bool is_dialling;
    bool has_idle; /* one in the tier in use has next to nothing outstanding */
    unsigned leased;
    unsigned count;                 /* of the others, but for those that retire */
    unsigned shared[ENDPOINTS_MAX]; /* of these, by endpoint */
};

static void survey_make(struct survey *survey, const struct roster *roster, unsigned tier)
{
    const struct carrier *carrier;

    *survey = (struct survey) { 0 };
    LIST_FOREACH (carrier, &roster->carriers, sibling) {
        /* One that swallows connections must not keep us from trying others. */
        survey->is_dialling =
            survey->is_dialling || (carrier->state < CARRIER_READY && !has_failed(roster, carrier->at));
        survey->leased += carrier_is_leased(carrier);
        if (carrier_is_leased(carrier) || carrier->retiring)
            continue;
        survey->count++;
        if (carrier->at >= ENDPOINTS_MAX)
            continue;
        survey->shared[carrier->at]++;
        if (tier_of(roster, carrier) == tier && carrier->ledger.bytes < BUSY_BYTES)
            survey->has_idle = true;
    }
}

/* The endpoint of the tier in use that has the fewest connections for its weight, and less than `max`;
 * ENDPOINTS_MAX when there is none. */
static size_t endpoint_pick(struct roster *roster, const struct survey *survey, unsigned tier, unsigned max)
{
    const struct endpoint_list *list = endpoints(roster);
    size_t best = ENDPOINTS_MAX;
    uint64_t best_share = 0;

    for (size_t i = 0; list && i < list->count; i++) {
        size_t at = (roster->turn + i) % list->count;
        const struct endpoint *endpoint = &list->endpoints[at];
        if (endpoint->tier != tier || survey->shared[at] >= max || !is_usable(roster, at))
            continue;
        uint64_t share = (uint64_t)survey->shared[at] * ENDPOINT_WEIGHT_UNIT * 1000 / endpoint->weight;
        if (has_failed(roster, at))
            share += UINT32_MAX; /* behind all that work */
        if (best == ENDPOINTS_MAX || share < best_share) {
            best = at;
            best_share = share;
        }
    }
    return best;
}

static uint64_t dial(struct roster *roster, size_t at)
{
    roster->turn = at < ENDPOINTS_MAX ? at + 1 : roster->turn;
    if (carrier_open(roster->exchange, at))
        return 0;
    return roster->redial_at_ms = roster->worker->now_ms + REDIAL_MAX_MS;
}

/* While every endpoint rests, or none is known, whichever comes is tried, with a back-off. */
static uint64_t dial_any(struct roster *roster, const struct survey *survey)
{
    if (survey->count)
        return 0;
    return roster->worker->now_ms < roster->redial_at_ms ? roster->redial_at_ms : dial(roster, ENDPOINTS_MAX);
}

uint64_t roster_dial(struct roster *roster, enum roster_need need)
{
    const struct route_options *route = roster->worker->route;
    struct survey survey;

    if (need == ROSTER_BALANCE && (!endpoints(roster) || endpoints(roster)->count < 2))
        return 0;
    unsigned tier = usable_tier(roster);
    survey_make(&survey, roster, tier);
    if (survey.is_dialling || (need == ROSTER_BALANCE && (survey.has_idle || !survey.count)))
        return 0;
    if (tier == UINT32_MAX)
        return need == ROSTER_BALANCE ? 0 : dial_any(roster, &survey);
    if (need == ROSTER_LEASE && survey.leased >= route->max_exclusive_connections)
        return 0;
    size_t at = endpoint_pick(roster, &survey, tier, need == ROSTER_BALANCE ? 1 : route->max_upstream_connections);
    /* A leased connection comes on top of what the others may have. */
    if (at == ENDPOINTS_MAX && need == ROSTER_LEASE)
        at = endpoint_pick(roster, &survey, tier, route->max_upstream_connections + route->max_exclusive_connections - survey.leased);
    if (at == ENDPOINTS_MAX)
        return 0;
    /* When none is left that has not failed, there is a back-off. */
    if (roster->worker->now_ms < roster->redial_at_ms &&
        (has_failed(roster, at) || endpoints(roster)->count == 1))
        return roster->redial_at_ms;
    return dial(roster, at);
}

void roster_end_lease(struct roster *roster, struct carrier *carrier)
{
    struct survey survey;

    carrier->lease = NULL;
    survey_make(&survey, roster, 0);
    if (carrier->at < ENDPOINTS_MAX && survey.shared[carrier->at] > roster->worker->route->max_upstream_connections)
        carrier_retire(carrier);
}

/* ---- coming and going ---- */

void roster_join(struct roster *roster, struct carrier *carrier)
{
    LIST_INSERT_HEAD(&roster->carriers, carrier, sibling);
}

void roster_ready(struct roster *roster, struct carrier *carrier)
{
    const struct endpoint_list *list = endpoints(roster);
    uint64_t age_ms = roster->worker->route->max_connection_age_ms;
    struct carrier *other;

    /* A tenth more or less, so that those opened together do not retire together. */
    if (age_ms)
        carrier->retire_at_ms = roster->worker->now_ms + age_ms - age_ms / 10 +
                                endpoint_pool_random(&roster->worker->endpoints) % (age_ms / 5);
    if (!list)
        return;
    carrier->at = endpoint_list_find(list, outlet_address(&carrier->outlet));
    if (carrier->at == list->count)
        carrier_retire(carrier); /* it left the list while it was dialled */
    LIST_FOREACH (other, &roster->carriers, sibling) {
        if (tier_of(roster, other) > tier_of(roster, carrier))
            carrier_retire(other);
    }
}

static void redial_later(struct roster *roster)
{
    uint64_t delay = roster->redial_delay_ms ? roster->redial_delay_ms * 2 : REDIAL_MIN_MS;

    roster->redial_delay_ms = delay < REDIAL_MAX_MS ? delay : REDIAL_MAX_MS;
    roster->redial_at_ms = roster->worker->now_ms + roster->redial_delay_ms;
}

void roster_leave(struct roster *roster, struct carrier *carrier, enum end_reason reason)
{
    bool was_ready = carrier->outlet.state == OUTLET_READY;
    bool is_ours = end_reason_is_ours(reason);

    LIST_REMOVE(carrier, sibling);
    /* A dial that fails has been filed by the outlet. */
    if (was_ready && !is_ours && (!carrier->has_settled || reason == END_ACK_TIMEOUT))
        endpoint_walk_report(&carrier->outlet.walk, &roster->worker->endpoints, ENDPOINT_FAILED,
                             roster->worker->now_ms);
    if (!carrier->has_settled && !is_ours)
        redial_later(roster); /* it was of no use; the next may not be either */
}

void roster_note_success(struct roster *roster)
{
    roster->redial_at_ms = roster->redial_delay_ms = 0;
}

void roster_endpoints_changed(struct roster *roster)
{
    const struct endpoint_list *list = endpoints(roster);
    struct carrier *carrier;

    LIST_FOREACH (carrier, &roster->carriers, sibling) {
        const struct socket_address *address = outlet_address(&carrier->outlet);
        if (list && address) {
            carrier->at = endpoint_list_find(list, address);
            if (carrier->at == list->count)
                carrier_retire(carrier);
        }
        carrier_wake(carrier);
    }
}

void roster_retire_old(struct roster *roster, struct carrier *carrier)
{
    const struct carrier *other;
    unsigned retiring = 0;

    LIST_FOREACH (other, &roster->carriers, sibling)
        retiring += other->retiring;
    if (retiring < roster->worker->route->max_upstream_connections)
        carrier->retiring = true;
    else
        carrier->retire_at_ms = roster->worker->now_ms + RETIRE_AGAIN_MS;
}

void roster_retire_all(struct roster *roster)
{
    struct carrier *carrier;

    LIST_FOREACH (carrier, &roster->carriers, sibling)
        carrier_retire(carrier);
}
