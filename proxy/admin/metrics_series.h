/* The parts of a sample in the text format of Prometheus: its name with labels, and sums over the workers. */
#ifndef HUSK_ADMIN_METRICS_SERIES_H
#define HUSK_ADMIN_METRICS_SERIES_H

#include "base/metrics.h"

#include <stdio.h>

/* Writes the value of a label, escaped, without quotes. */
void metrics_series_escape(FILE *out, const char *value);

/* Writes `name{route="…"` and leaves the brace open. */
void metrics_series_of_route(FILE *out, const char *name, const struct metrics_route *route);
/* The same with `,side="…"`. */
void metrics_series_of_side(FILE *out, const char *name, const struct metrics_route *route, enum side side);
/* One of the two; `side` NULL: the series of the route. */
void metrics_series_of_part(FILE *out, const char *name, const struct metrics_route *route,
                            const enum side *side);
/* As metrics_series_of_route, with `,endpoint="…"`, and with `,server_name="…"` if the endpoint has a name.
 */
void metrics_series_of_endpoint(FILE *out, const char *name, const struct metrics_route *route,
                                const struct endpoint_metrics *endpoint);

/* The sum over the workers of the counter at `offset` in struct metrics. */
uint64_t metrics_series_sum(const struct metrics_route *route, size_t offset);
/* The same for struct side_metrics: the counter with this `index` in the array at `offset`. */
uint64_t metrics_series_side_sum(const struct metrics_route *route, enum side side, size_t offset,
                                 unsigned index);

#endif
