/* Checks all that the options of a route and of the process name: addresses, files, secrets, upstreams.
 *
 * Gives each check of check/ its part of the options. */
#ifndef HUSK_CHECK_ROUTE_H
#define HUSK_CHECK_ROUTE_H

#include "check/report.h"
#include "config/config.h"
#include "options.h"

#include <stdbool.h>
#include <stdint.h>

/* How to check. */
struct check_settings {
    bool connects;                 /* make a connection to each upstream address */
    bool is_running;               /* a husk runs with these settings: its addresses are in use */
    bool sends_nothing;            /* do not send the message without events */
    const char *tag;               /* of that message: at most EMPTY_MESSAGE_TAG_BYTES_MAX bytes */
    uint64_t answer_ms;            /* longest wait for its ack */
    const struct config *defaults; /* borrowed; settings that a route has from the defaults of its file cause
                                      no warning about the route */
    struct workload_api_limits workload_api;
    struct credentials_options
        client; /* the files of a client of listeners with TLS (check/tls_listener.h) */
};

/* `config`: where the options come from. */
void check_route_process(struct report *report, const struct process_options *options,
                         const struct config *config, const struct check_settings *settings);

/* The same for a route. */
void check_route(struct report *report, const struct options *options, const struct config *config,
                 const struct check_settings *settings);

#endif
