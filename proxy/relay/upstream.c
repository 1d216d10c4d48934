#include "relay/upstream.h"

#include <stdio.h>
#include <string.h>

static void on_resolved(void *owner, const struct socket_address *addresses, size_t count, const char *why)
{
    struct upstream *upstream = owner;
    const char *host = upstream->options->address.host;

    if (!count) {
        if (!upstream->unresolved)
            log_say(upstream->log, LOG_WARN, "cannot resolve %s: %s", host, why);
        upstream->unresolved = why;
        upstream->on_endpoints(upstream->owner, NULL);
        return;
    }
    bool was_unresolved = upstream->unresolved;
    upstream->unresolved = NULL;
    struct endpoint_list *list = endpoint_list_new(addresses, count);
    if (list && !(upstream->list && endpoint_list_equal(list, upstream->list))) {
        log_say(upstream->log, LOG_DEBUG, "%s has %zu address(es)", host, count);
        endpoint_list_release(upstream->list);
        upstream->list = endpoint_list_share(list);
        health_replace(&upstream->health, endpoint_list_share(list));
        upstream->on_endpoints(upstream->owner, list);
    }
    endpoint_list_release(list);
    if (was_unresolved)
        log_say(upstream->log, LOG_INFO, "%s resolves again", host);
}

bool upstream_open(struct upstream *upstream, struct ev_loop *loop, const struct upstream_options *options,
                   struct log *log, upstream_on_endpoints *on_endpoints, void *owner, struct fault *fault)
{
    struct socket_address address;

    *upstream = (struct upstream) {
        .options = options,
        .log = log,
        .on_endpoints = on_endpoints,
        .owner = owner,
    };
    health_open(&upstream->health, loop, &options->health);
    if (options->address.is_unix) {
        (void)address_to_socket(&options->address, &address);
        on_resolved(upstream, &address, 1, NULL);
        return true;
    }
    upstream->resolver =
        resolver_open(loop, &options->address, &options->resolver, on_resolved, upstream, fault);
    return upstream->resolver != NULL;
}

void upstream_close(struct upstream *upstream)
{
    if (!upstream->options)
        return;
    resolver_close(upstream->resolver);
    health_close(&upstream->health);
    endpoint_list_release(upstream->list);
    *upstream = (struct upstream) { 0 };
}

void upstream_refresh(struct upstream *upstream)
{
    if (upstream->resolver)
        resolver_refresh(upstream->resolver);
    health_refresh(&upstream->health);
}

void upstream_describe(const struct upstream *upstream, enum end_reason dial_failure, char *text, size_t size)
{
    const struct health *health = &upstream->health;
    const char *host = upstream->options->address.host;
    size_t used = strlen(text);

    text += used;
    size -= used;
    if (!upstream->list && upstream->unresolved)
        snprintf(text, size, "upstream: cannot resolve %s: %s\n", host, upstream->unresolved);
    else if (!upstream->list)
        snprintf(text, size, "upstream: %s is not resolved yet\n", host);
    else if (health->known && health->failure != END_NONE)
        snprintf(text, size, "upstream: %s\n", end_reason_phrase(health->failure));
    else if (!health->known && health->options.interval_ms)
        snprintf(text, size, "upstream: not probed yet\n");
    else if (dial_failure != END_NONE)
        snprintf(text, size, "upstream: %s\n", end_reason_phrase(dial_failure));
}
