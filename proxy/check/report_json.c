#include "check/report_json.h"

#include <string.h>
#include <yajl/yajl_gen.h>

static void text_put(yajl_gen json, const char *text)
{
    (void)yajl_gen_string(json, (const unsigned char *)text, strlen(text));
}

static void pair_put(yajl_gen json, const char *key, const char *text)
{
    text_put(json, key);
    text_put(json, text);
}

static void count_put(yajl_gen json, const char *key, size_t count)
{
    text_put(json, key);
    (void)yajl_gen_integer(json, (long long)count);
}

static void finding_put(yajl_gen json, const struct finding *finding)
{
    (void)yajl_gen_map_open(json);
    pair_put(json, "section", finding->section);
    pair_put(json, "level", report_level_name(finding->level));
    pair_put(json, "subject", finding->subject);
    if (finding->setting)
        pair_put(json, "setting", finding->setting);
    if (finding->line) {
        count_put(json, "line", finding->line);
        count_put(json, "column", finding->column);
    }
    pair_put(json, "text", finding->text);
    if (finding->advice)
        pair_put(json, "advice", finding->advice);
    (void)yajl_gen_map_close(json);
}

static enum finding_level highest_level(const struct report *report)
{
    enum finding_level highest = FINDING_OK;

    for (size_t i = 0; i < report->count; i++)
        highest = report->findings[i].level > highest ? report->findings[i].level : highest;
    return highest;
}

static void report_put(yajl_gen json, const struct report *report)
{
    (void)yajl_gen_map_open(json);
    pair_put(json, "verdict", report_level_name(highest_level(report)));
    count_put(json, "problems", report_count(report, FINDING_PROBLEM));
    count_put(json, "warnings", report_count(report, FINDING_WARNING));
    text_put(json, "incomplete");
    (void)yajl_gen_bool(json, report->is_incomplete);
    text_put(json, "findings");
    (void)yajl_gen_array_open(json);
    for (size_t i = 0; i < report->count; i++)
        finding_put(json, &report->findings[i]);
    (void)yajl_gen_array_close(json);
    (void)yajl_gen_map_close(json);
}

bool report_json_print(const struct report *report, FILE *out)
{
    yajl_gen json = yajl_gen_alloc(NULL);
    const unsigned char *text = NULL;
    size_t length = 0;

    if (!json)
        return false;
    report_put(json, report);
    bool is_made = yajl_gen_get_buf(json, &text, &length) == yajl_gen_status_ok && length;
    if (is_made)
        fprintf(out, "%.*s\n", (int)length, (const char *)text);
    yajl_gen_free(json);
    return is_made;
}
