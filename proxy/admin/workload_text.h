/* The metrics of the SPIFFE Workload APIs in the text format of Prometheus. */
#ifndef HUSK_ADMIN_WORKLOAD_TEXT_H
#define HUSK_ADMIN_WORKLOAD_TEXT_H

#include "base/metrics.h"

#include <stdio.h>

/* `first`: of a list; NULL: there are no samples. */
void workload_text_write(FILE *out, const struct metrics_workload_api *first);

#endif
