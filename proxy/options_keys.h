/* The settings of shared-key authentication, on either side, checked: where keys, user names and passwords
 * come from. Reads no secret. */
#ifndef HUSK_OPTIONS_KEYS_H
#define HUSK_OPTIONS_KEYS_H

#include "base/end_reason.h"
#include "config/config_check.h"
#include "link/shared_key.h"

#include <stdbool.h>

struct options_keys {
    struct shared_key_options side[SIDE_COUNT]; /* setting NULL: none on that side */
    struct shared_key_user *users;              /* owned: users that agents may be */
};

/* Checks the settings; `keys` is all zeros before. The rest points into the settings. Free with
 * options_keys_deinit, also after a mistake. */
void options_keys_set(struct options_keys *keys, const struct config_check *check);
/* Safe on all zeros. */
void options_keys_deinit(struct options_keys *keys);

#endif
