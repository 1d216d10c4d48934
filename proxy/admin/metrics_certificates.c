#include "admin/metrics_certificates.h"

#include "admin/metrics_series.h"

#include <inttypes.h>

void metrics_certificates_write_ends(FILE *out, const char *family, const struct metrics_route *route,
                                     const int64_t ends[SIDE_COUNT])
{
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        if (ends[side] == 0)
            continue;
        metrics_series_of_side(out, family, route, side);
        fprintf(out, "} %" PRId64 "\n", ends[side]);
    }
}

void metrics_certificates_write_own(FILE *out, const char *family, const struct metrics_route *route,
                                    size_t offset)
{
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        size_t count = route->certificate_count[side];
        for (size_t i = 0; i < count; i++) {
            metrics_series_of_side(out, family, route, side);
            if (count > 1)
                fprintf(out, ",certificate=\"%zu\"", i + 1);
            fprintf(out, "} %" PRId64 "\n",
                    *(const int64_t *)((const char *)&route->certificates[side][i] + offset));
        }
    }
}

void metrics_certificates_write_crls(FILE *out, const char *family, const struct metrics_route *route)
{
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        for (size_t i = 0; i < route->crl_count[side]; i++) {
            metrics_series_of_side(out, family, route, side);
            fputs(",issuer=\"", out);
            metrics_series_escape(out, route->crls[side][i].issuer);
            fprintf(out, "\"} %" PRId64 "\n", route->crls[side][i].next_update);
        }
    }
}
