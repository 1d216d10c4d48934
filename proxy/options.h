/* Configuration becomes options: the one place where the mode (client, server) is known.
 *
 * Each module is given its own small options; after this nobody asks for the mode or sees struct config. */
#ifndef HUSK_OPTIONS_H
#define HUSK_OPTIONS_H

#include "admin/admin.h"
#include "base/fault.h"
#include "base/log.h"
#include "config/config.h"
#include "relay/route.h"
#include "trust/credentials.h"
#include "wire/address.h"
#include "wire/resolver.h"

#include <stdbool.h>

struct options {
    struct route_options route;
    struct socket_address listen;
    struct address upstream;
    struct credentials_options credentials[SIDE_COUNT]; /* cert_file NULL: that side is plain */
    struct peer_policy policy;                          /* owned */
    struct resolver_options resolver;
    struct admin_options admin;
    bool has_admin;
    unsigned workers;
    uint64_t health_interval_ms;
    uint64_t drain_timeout_ms, drain_quiet_ms;
    enum log_format log_format;
    enum log_level log_level;
};

/* Interprets and checks `config` (borrowed: the options point into it). The fault names the setting. Free
 * with options_deinit, also after a failure. */
MUST_CHECK bool options_from_config(struct options *options, enum config_mode mode,
                                    const struct config *config, struct fault *fault);
void options_deinit(struct options *options);

#endif
