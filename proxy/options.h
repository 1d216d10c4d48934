/* Configuration becomes options: the one place where the mode (client, server) is known.
 *
 * Each module is given its own small options; after this nobody asks for the mode or sees struct config. */
#ifndef HUSK_OPTIONS_H
#define HUSK_OPTIONS_H

#include "admin/admin.h"
#include "base/fault.h"
#include "base/log.h"
#include "config/config.h"
#include "delivery/message_policy.h"
#include "runtime/route.h"
#include "control/discovery.h"
#include "trust/credentials.h"
#include "wire/address.h"

#include <stdbool.h>

enum { WORKERS_MAX = 64 };

struct options {
    struct route_options route;
    struct socket_address listen;
    struct discovery_options upstream;                   /* places owned */
    struct credentials_options credentials[SIDE_COUNT]; /* cert_file NULL: that side is plain */
    struct peer_policy policy;                          /* owned */
    struct message_policy rules;                        /* owned */
    struct admin_options admin;
    bool has_admin;
    struct handshake_options key[SIDE_COUNT]; /* strings owned; shared_key NULL: none on that side */
    struct handshake_user *users;             /* owned, with their strings */
    unsigned workers;                         /* 1 to WORKERS_MAX */
    uint32_t heartbeats_per_second;           /* answered over UDP; 0: none */
    bool refuses_unhealthy;                   /* connections, while the upstream is not healthy */
    uint64_t drain_timeout_ms, drain_quiet_ms;
    uint64_t reload_interval_ms; /* 0: only on SIGHUP */
    enum log_format log_format;
    enum log_level log_level;
};

/* Interprets and checks `config` (borrowed: the options point into it). The fault names the setting. Free
 * with options_deinit, also after a failure. */
MUST_CHECK bool options_from_config(struct options *options, enum config_mode mode,
                                    const struct config *config, struct fault *fault);
void options_deinit(struct options *options);

#endif
