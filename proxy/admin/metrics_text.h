/* The counters as Prometheus text (exposition format 0.0.4). Pure: snapshot in, text out.
 *
 * One table row per family; a new counter is a field of struct metrics and a row here. */
#ifndef HUSK_ADMIN_METRICS_TEXT_H
#define HUSK_ADMIN_METRICS_TEXT_H

#include "base/metrics.h"

/* Writes the whole text. The caller frees it; NULL when out of memory. */
char *metrics_text_render(const struct metrics_snapshot *snapshot);

#endif
