/* Writes the metrics as Prometheus text (exposition format 0.0.4). Pure: snapshot in, text out.
 *
 * One table row per family; a new counter is a field in struct metrics and a row in the table. Every series
 * is written even while it is zero, so that a rate has a first value. Only reasons that do not belong to a
 * family (e.g. `idle` among handshake failures) are left out until they are counted. */
#ifndef HUSK_ADMIN_METRICS_TEXT_H
#define HUSK_ADMIN_METRICS_TEXT_H

#include "base/metrics.h"

/* Returns the whole text; the caller frees it. NULL when out of memory. */
char *metrics_text_render(const struct metrics_snapshot *snapshot);

#endif
