#include "link/dialer.h"

#include <sys/random.h>

void dialer_init(struct dialer *dialer, const struct dialer_options *options, struct credentials *credentials)
{
    uint64_t seed;

    *dialer = (struct dialer) {
        .reactor = options->reactor,
        .route = options->route,
        .log = options->log,
        .metrics = options->metrics,
        .credentials = credentials,
    };
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        seed = 0;
    endpoint_pool_init(&dialer->endpoints, options->route->eject_time_ms, options->route->eject_time_max_ms,
                       seed);
}

void dialer_deinit(struct dialer *dialer)
{
    tls_sessions_clear(&dialer->sessions);
    endpoint_pool_deinit(&dialer->endpoints);
    credentials_release(dialer->credentials);
    dialer->credentials = NULL;
}

void dialer_set_credentials(struct dialer *dialer, struct credentials *credentials)
{
    credentials_release(dialer->credentials);
    dialer->credentials = credentials;
    dialer->generation++;
    tls_sessions_clear(&dialer->sessions);
}

void dialer_set_endpoints(struct dialer *dialer, struct endpoint_list *list)
{
    dialer->is_resolved = !list || list->count;
    if (list && !endpoint_pool_replace(&dialer->endpoints, list))
        log_say_of(dialer->log, LOG_ERROR, dialer->route->name,
                   "out of memory: new addresses of the upstream are not used");
}

void dialer_options_changed(struct dialer *dialer)
{
    endpoint_pool_set_ejection(&dialer->endpoints, dialer->route->eject_time_ms,
                               dialer->route->eject_time_max_ms);
    atomic_store_explicit(&dialer->outcome, 0, memory_order_relaxed);
}

void dialer_report(struct dialer *dialer, enum end_reason outcome)
{
    if (outcome == END_TLS_REJECTED)
        dialer_await_again(dialer);
    if (!end_reason_is_local(outcome))
        atomic_store_explicit(&dialer->outcome, dialer->reactor->now_ms * END_REASON_COUNT + outcome,
                              memory_order_relaxed);
}

void dialer_note_ack(struct dialer *dialer)
{
    if (dialer_last_outcome(dialer).reason != END_NONE && !dialer_awaits_first(dialer))
        dialer_report(dialer, END_NONE);
}

void dialer_await_first(struct dialer *dialer)
{
    dialer->wants_first = true;
    atomic_store_explicit(&dialer->awaits_first, true, memory_order_relaxed);
}

void dialer_await_again(struct dialer *dialer)
{
    if (dialer->wants_first)
        dialer_await_first(dialer);
}

void dialer_stop_awaiting(struct dialer *dialer)
{
    atomic_store_explicit(&dialer->awaits_first, false, memory_order_relaxed);
}

void dialer_forgo_first(struct dialer *dialer)
{
    dialer->wants_first = false;
    dialer_stop_awaiting(dialer);
}

bool dialer_awaits_first(const struct dialer *dialer)
{
    return atomic_load_explicit(&dialer->awaits_first, memory_order_relaxed);
}

struct dialer_outcome dialer_last_outcome(const struct dialer *dialer)
{
    uint64_t outcome = atomic_load_explicit(&dialer->outcome, memory_order_relaxed);

    return (struct dialer_outcome) { .reason = outcome % END_REASON_COUNT,
                                     .at_ms = outcome / END_REASON_COUNT,
                                     .awaits_first = dialer_awaits_first(dialer) };
}
