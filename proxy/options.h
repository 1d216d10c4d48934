/* Turns the settings into options.
 *
 * Gives each module its own small options. After this unit, no code sees struct config. */
#ifndef HUSK_OPTIONS_H
#define HUSK_OPTIONS_H

#include "admin/admin.h"
#include "base/fault.h"
#include "base/log.h"
#include "config/config.h"
#include "config/mistakes.h"
#include "control/discovery.h"
#include "control/workload_api.h"
#include "delivery/message_policy.h"
#include "options_keys.h"
#include "runtime/route.h"
#include "trust/credentials.h"
#include "wire/address.h"
#include "worker/listening.h"
#include "worker/worker_group.h"

#include <stdbool.h>

/* The options of the process. */
struct process_options {
    struct admin_options admin;
    bool has_admin;
    unsigned workers; /* 1 to WORKER_GROUP_MAX */
    uint64_t drain_timeout_ms, drain_quiet_ms;
    uint64_t hot_restart_timeout_ms;
    uint64_t reload_interval_ms; /* 0: only on SIGHUP */
    uint64_t reload_settle_timeout_ms, reload_retry_max_ms;
    struct workload_api_limits workload_api;
    uint64_t spiffe_timeout_ms; /* for the first answers of the Workload APIs; 0: no limit */
    uint64_t token_timeout_ms;  /* for a PKCS#11 token that opens a key */
    enum log_format log_format;
    enum log_level log_level;
};

/* The options of a route. */
struct options {
    struct route_options route;
    struct listening_options listen;
    struct discovery_options discovery;                 /* targets owned */
    struct credentials_options credentials[SIDE_COUNT]; /* not set: that side is plain */
    struct peer_policy policy;                          /* owned; of agents */
    struct peer_policy server_policy;                   /* owned; of upstreams, besides their names */
    struct message_policy rules;                        /* owned */
    struct options_keys keys;                           /* owned */
    uint32_t heartbeats_per_second;                     /* over UDP; 0: husk answers none */
    uint32_t heartbeats_per_source;                     /* per second, over UDP; 0: no limit */
    int64_t min_certificate_life; /* seconds: the route is not ready when its own certificate ends earlier */
    bool refuses_unhealthy;       /* refuse new connections while the upstream is not healthy */
};

/* Interprets and checks `config` (borrowed: the options point into it). Adds every mistake that it finds, and
 * returns whether it found none. */
MUST_CHECK bool process_options_from_config(struct process_options *options, const struct config *config,
                                            struct mistakes *mistakes);

/* The same for a route, whose limits `workers` workers share. `options` does not move afterwards. Free with
 * options_deinit, also after a mistake. */
MUST_CHECK bool options_from_config(struct options *options, const struct config *config, unsigned workers,
                                    struct mistakes *mistakes);
void options_deinit(struct options *options);

#endif
