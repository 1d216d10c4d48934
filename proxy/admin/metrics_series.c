#include "admin/metrics_series.h"

#include "base/utf8.h"

#include <string.h>

void metrics_series_escape(FILE *out, const char *value)
{
    for (size_t length; *value; value += length) {
        length = utf8_character_bytes(value, strnlen(value, 4));
        if (!length)
            fprintf(out, "\\\\x%02x", (unsigned)(unsigned char)*value);
        else if (*value == '\\' && value[1] == 'x')
            fputs("\\\\x5c", out); /* the text must not look like an escaped byte */
        else if (*value == '\n')
            fputs("\\n", out);
        else if (*value == '\\' || *value == '"')
            fprintf(out, "\\%c", *value);
        else
            fwrite(value, 1, length, out);
        length += !length;
    }
}

void metrics_series_of_route(FILE *out, const char *name, const struct metrics_route *route)
{
    fprintf(out, "%s{route=\"", name);
    metrics_series_escape(out, route->name);
    fputc('"', out);
}

void metrics_series_of_side(FILE *out, const char *name, const struct metrics_route *route, enum side side)
{
    metrics_series_of_route(out, name, route);
    fprintf(out, ",side=\"%s\"", side_name(side));
}

void metrics_series_of_part(FILE *out, const char *name, const struct metrics_route *route,
                            const enum side *side)
{
    if (side)
        metrics_series_of_side(out, name, route, *side);
    else
        metrics_series_of_route(out, name, route);
}

void metrics_series_of_endpoint(FILE *out, const char *name, const struct metrics_route *route,
                                const struct endpoint_metrics *endpoint)
{
    metrics_series_of_route(out, name, route);
    fputs(",endpoint=\"", out);
    metrics_series_escape(out, endpoint->address);
    fputc('"', out);
    if (!endpoint->server_name)
        return;
    fputs(",server_name=\"", out);
    metrics_series_escape(out, endpoint->server_name);
    fputc('"', out);
}

uint64_t metrics_series_sum(const struct metrics_route *route, size_t offset)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < route->worker_count; i++)
        sum += metrics_read((const metrics_counter *)((const char *)route->workers[i] + offset));
    return sum;
}

uint64_t metrics_series_side_sum(const struct metrics_route *route, enum side side, size_t offset,
                                 unsigned index)
{
    size_t side_offset = offsetof(struct metrics, side) + side * sizeof(struct side_metrics);

    return metrics_series_sum(route, side_offset + offset + index * sizeof(metrics_counter));
}
