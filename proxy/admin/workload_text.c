#include "admin/workload_text.h"

#include "admin/metrics_series.h"

#include <inttypes.h>

struct family {
    const char *name, *type, *help;
    uint64_t (*value)(const struct metrics_workload_api *api);
};

static uint64_t answers_of(const struct metrics_workload_api *api)
{
    return api->answers;
}

static uint64_t failures_of(const struct metrics_workload_api *api)
{
    return api->failures;
}

static uint64_t is_connected(const struct metrics_workload_api *api)
{
    return api->is_connected;
}

static const struct family families[] = {
    { "husk_spiffe_answers_total", "counter", "Answers of the SPIFFE Workload API.", answers_of },
    { "husk_spiffe_failures_total", "counter",
      "Streams of the SPIFFE Workload API that ended, and failed attempts to open one.", failures_of },
    { "husk_spiffe_connected", "gauge", "1 while the stream of the SPIFFE Workload API stands.",
      is_connected },
};

void workload_text_write(FILE *out, const struct metrics_workload_api *first)
{
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        const struct family *family = &families[i];
        fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", family->name, family->help, family->name, family->type);
        for (const struct metrics_workload_api *api = first; api; api = api->next) {
            fprintf(out, "%s{address=\"", family->name);
            metrics_series_escape(out, api->address);
            fprintf(out, "\"} %" PRIu64 "\n", family->value(api));
        }
    }
}
