/* What the revocation lists of a set are worth at a moment, in words: for the log and for /ready. Pure. */
#ifndef HUSK_TRUST_REVOCATION_STATE_H
#define HUSK_TRUST_REVOCATION_STATE_H

#include "trust/revocation.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { REVOCATION_STATE_BYTES = 4096 };

/* Writes a line for each list that is stale or not valid yet, and one line for all CAs without a list; the
 * CAs are silent if no list was given and the policy does not require one. REVOCATION_IGNORE, or no lists at
 * all (NULL): writes nothing. Lines that do not fit into `text` are left out. Returns whether the lists let
 * at least one CA admit peers. */
bool revocation_state_describe(struct revocation_use use, int64_t now, char text[REVOCATION_STATE_BYTES]);

/* How many lists are stale. No lists (NULL) are fine. */
size_t revocation_state_stale(const struct revocation *lists, int64_t now);

#endif
