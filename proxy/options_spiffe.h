/* The settings of the SPIFFE Workload API on one side, checked. Opens no connection. */
#ifndef HUSK_OPTIONS_SPIFFE_H
#define HUSK_OPTIONS_SPIFFE_H

#include "base/end_reason.h"
#include "config/config_check.h"
#include "trust/svid.h"

/* `source` is all zeros before. Its texts point into the settings, or into the environment. */
void options_spiffe_set(struct svid_source *source, enum side side, const struct config_check *check);

#endif
