#include "control/readiness.h"

#include "trust/revocation_state.h"
#include "trust/server_name.h"

#include <stdio.h>
#include <string.h>

enum { DIAL_MEMORY_MS = 30000 };

/* ---- the upstream ---- */

struct dialer_outcome readiness_recent_dial(struct dialer_outcome dial, uint64_t now_ms)
{
    return dial.awaits_first || now_ms - dial.at_ms < DIAL_MEMORY_MS ? dial : (struct dialer_outcome) { 0 };
}

/* Whether a dial failed because no program answered at that moment. A good connect disproves that. */
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

static bool is_unresolved(const struct discovery *discovery)
{
    bool unresolved = false;

    for (size_t i = 0; i < discovery->options->target_count; i++)
        unresolved = unresolved || discovery->lookups[i].unresolved;
    return unresolved;
}

enum end_reason readiness_upstream_failure(const struct discovery *discovery,
                                           const struct dialer_outcome *dial)
{
    const struct health *health = &discovery->health;
    bool is_probe_newer = health->is_known && health->ended_ms >= dial->at_ms;

    if (!discovery->list)
        return is_unresolved(discovery) ? END_UNRESOLVED : END_NONE;
    if (dial->awaits_first && dial->reason != END_NONE)
        return dial->reason;
    if (is_probe_newer && (health->failure != END_NONE || is_absence(dial->reason)))
        return health->failure;
    return dial->reason;
}

/* ---- the reasons in words ---- */

static void names_describe(const struct discovery *discovery, char *text, size_t size)
{
    for (size_t i = 0; i < discovery->options->target_count; i++) {
        const struct discovery_lookup *lookup = &discovery->lookups[i];
        const char *host = lookup->target->address.host;
        size_t used = strlen(text);
        if (lookup->unresolved)
            snprintf(text + used, size - used, "upstream: cannot resolve %s: %s\n", host, lookup->unresolved);
        else if (!lookup->has_answered)
            snprintf(text + used, size - used, "upstream: %s is not resolved yet\n", host);
    }
}

static void reason_add(char *text, size_t size, const char *subject, const char *reason)
{
    size_t used = strlen(text);

    snprintf(text + used, size - used, "%s: %s\n", subject, reason);
}

static void upstream_describe(const struct readiness_facts *facts, char *text, size_t size)
{
    const struct discovery *discovery = facts->discovery;
    enum end_reason failure = readiness_upstream_failure(discovery, &facts->dial);

    if (!discovery->list)
        names_describe(discovery, text, size);
    else if (failure != END_NONE)
        reason_add(text, size, "upstream", end_reason_phrase(failure));
    else if (facts->dial.awaits_first && !facts->dial.at_ms)
        reason_add(text, size, "upstream", "not connected yet");
    else if (!discovery->health.is_known && discovery->health.options.interval_ms)
        reason_add(text, size, "upstream", "not probed yet");
}

/* Adds a line for each endpoint that never acknowledges. Returns whether husk holds all messages. */
static bool acks_describe(const struct readiness_facts *facts, char *text, size_t size)
{
    const struct endpoint_metrics *endpoint = facts->discovery->stats_registry.first;
    bool holds = facts->on_no_acks == ROUTE_NO_ACKS_HOLD, acknowledges = false, is_said = false;
    char subject[ADDRESS_TEXT_BYTES + SERVER_NAME_DNS_BYTES + 16];

    for (; endpoint; endpoint = endpoint->next) {
        if (!endpoint->is_listed)
            continue;
        if (endpoint->acks != METRICS_ACKS_NEVER) {
            acknowledges = true;
            continue;
        }
        is_said = true;
        const char *name = endpoint->server_name;
        snprintf(subject, sizeof subject, "upstream %s%s%s%s", endpoint->address, name ? " (" : "",
                 name ? name : "", name ? ")" : "");
        reason_add(text, size, subject,
                   holds ? "never acknowledges; husk keeps its messages (--on-no-acks hold)"
                         : "never acknowledges; husk sends without acks (--on-no-acks continue)");
    }
    return holds && is_said && !acknowledges;
}

static bool has_ended(int64_t not_after, const struct readiness_facts *facts)
{
    return not_after && not_after < facts->wall_seconds;
}

/* Whether a certificate of ours has not ended, and ends within --min-certificate-life. */
static bool ends_soon(int64_t not_after, const struct readiness_facts *facts)
{
    return not_after && not_after >= facts->wall_seconds &&
           not_after - facts->wall_seconds < facts->min_certificate_life;
}

static void life_describe(const struct validity *validity, const struct readiness_facts *facts, char *text,
                          size_t size)
{
    if (has_ended(validity->leaf, facts))
        reason_add(text, size, "certificate", "the own certificate has expired");
    if (ends_soon(validity->leaf, facts))
        reason_add(text, size, "certificate", "the own certificate ends within --min-certificate-life");
    if (has_ended(validity->intermediates, facts))
        reason_add(text, size, "certificate", "an intermediate of the own certificate has expired");
    if (ends_soon(validity->intermediates, facts))
        reason_add(text, size, "certificate",
                   "an intermediate of the own certificate ends within --min-certificate-life");
    if (has_ended(validity->last_ca, facts))
        reason_add(text, size, "certificate", "all CAs have expired");
}

/* Adds what is wrong with the revocation lists. Returns whether husk refuses all peers of a side. */
static bool lists_describe(const struct readiness_facts *facts, char *text, size_t size)
{
    char lines[REVOCATION_STATE_BYTES];
    bool refuses_all = false;

    for (enum side side = 0; side < SIDE_COUNT; side++) {
        if (!facts->revocation[side].lists)
            continue;
        /* An upstream may prove its status without a list, and a dial tells whether it does. */
        if (!revocation_state_describe(facts->revocation[side], facts->wall_seconds, lines) &&
            side == SIDE_DOWNSTREAM)
            refuses_all = true;
        for (char *at = lines, *end; (end = strchr(at, '\n')); at = end + 1) {
            *end = '\0';
            reason_add(text, size, "revocation", at);
        }
    }
    return refuses_all;
}

bool readiness_describe(const struct readiness_facts *facts, char *text, size_t size)
{
    text[0] = '\0';
    for (enum side side = 0; side < SIDE_COUNT; side++)
        life_describe(&facts->validity[side], facts, text, size);
    if (facts->is_withdrawn)
        reason_add(text, size, "credentials", "withdrawn by the SPIFFE Workload API");
    upstream_describe(facts, text, size);
    bool is_ready = text[0] == '\0';
    if (facts->is_insecure)
        reason_add(text, size, "upstream", "no certificate is verified (--insecure)");
    bool holds_all = acks_describe(facts, text, size), refuses_all = lists_describe(facts, text, size);
    return is_ready && !holds_all && !refuses_all;
}

/* ---- reactions ---- */

static bool refuses_unhealthy(const struct readiness *readiness)
{
    return readiness->options.refuses_unhealthy ||
           (readiness->is_shedding && readiness->state == READINESS_DRAINING);
}

static void refusal_update(struct readiness *readiness, enum end_reason failure)
{
    const struct readiness_options *options = &readiness->options;
    bool refuse = refuses_unhealthy(readiness) && failure != END_NONE;

    if (refuse == readiness->is_refusing)
        return;
    readiness->is_refusing = refuse;
    if (refuse) {
        options->on_verdict(options->owner, READINESS_REFUSE);
        log_say_of(options->log, LOG_WARN, options->route, "upstream: %s; new connections are refused",
                   end_reason_phrase(failure));
    } else {
        options->on_verdict(options->owner, READINESS_ADMIT);
        log_say_of(options->log, LOG_INFO, options->route,
                   refuses_unhealthy(readiness) ? "upstream may be back; connections are accepted again"
                                                : "connections are accepted again");
    }
}

void readiness_set_options(struct readiness *readiness, const struct readiness_options *options)
{
    readiness->options = *options;
    if (!options->refuses_unhealthy)
        refusal_update(readiness, END_NONE);
}

/* Whether no address has a connection, and each has failed since its last success. */
static bool fails_everywhere(const struct discovery *discovery)
{
    const struct endpoint_metrics *endpoint = discovery->stats_registry.first;
    bool is_any_listed = false;

    for (; endpoint; endpoint = endpoint->next) {
        if (!endpoint->is_listed)
            continue;
        if (!metrics_read(&endpoint->ejected_until_ms) || metrics_read(&endpoint->connections[METRICS_READY]))
            return false;
        is_any_listed = true;
    }
    return is_any_listed;
}

static void shedding_update(struct readiness *readiness, enum end_reason failure, uint64_t now_ms)
{
    const struct readiness_options *options = &readiness->options;

    if (failure == END_NONE || !fails_everywhere(options->discovery)) {
        readiness->failing_since_ms = 0;
        return;
    }
    if (!readiness->failing_since_ms)
        readiness->failing_since_ms = now_ms;
    if (readiness->state == READINESS_SERVING ||
        now_ms - readiness->failing_since_ms < options->shed_after_ms)
        return;
    readiness->is_shedding = true;
    options->on_verdict(options->owner, READINESS_SHED);
}

void readiness_refuse_again(const struct readiness *readiness)
{
    if (readiness->is_refusing)
        readiness->options.on_verdict(readiness->options.owner, READINESS_REFUSE);
}

void readiness_drain(struct readiness *readiness, enum readiness_state state)
{
    readiness->state = state;
}

void readiness_check(struct readiness *readiness, const struct dialer_outcome *dial, uint64_t now_ms)
{
    struct discovery *discovery = readiness->options.discovery;
    enum end_reason failure = readiness_upstream_failure(discovery, dial);

    if (failure != END_NONE && dial->reason != END_NONE && dial->awaits_first)
        discovery_resolve(discovery); /* husk dials again by itself, so a probe is not needed */
    else if (failure != END_NONE && dial->reason != END_NONE)
        discovery_refresh(discovery);
    shedding_update(readiness, failure, now_ms);
    refusal_update(readiness, failure);
}
