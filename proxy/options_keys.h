/* Loads what shared-key authentication needs, on either side: keys, user names, passwords. */
#ifndef HUSK_OPTIONS_KEYS_H
#define HUSK_OPTIONS_KEYS_H

#include "base/end_reason.h"
#include "base/fault.h"
#include "config/config.h"
#include "forward/handshake.h"

#include <stdbool.h>

struct options_keys {
    struct handshake_options side[SIDE_COUNT]; /* secrets owned; shared_key NULL: none on that side */
    struct handshake_user *users;              /* owned, with their strings: users that agents may be */
};

/* Checks and loads the settings; `keys` is all zeros before, and does not move afterwards. Names point into
 * `config`. Free with options_keys_deinit, also after a failure. */
MUST_CHECK bool options_keys_set(struct options_keys *keys, const struct config *config, struct fault *fault);
/* Wipes the secrets. Safe on all zeros. */
void options_keys_deinit(struct options_keys *keys);

#endif
