#include "check/report.h"

#include "base/utf8.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char *const level_names[FINDING_LEVEL_COUNT] = {
    [FINDING_OK] = "ok",
    [FINDING_NOTE] = "note",
    [FINDING_WARNING] = "warning",
    [FINDING_PROBLEM] = "problem",
};

/* ---- texts ---- */

static char *text_make(struct report *report, const char *format, va_list arguments)
{
    char *text;

    if (vasprintf(&text, format, arguments) < 0) {
        report->is_incomplete = true;
        return NULL;
    }
    utf8_clean(text);
    return text;
}

/* The same, in the words of the user. */
static char *words_make(struct report *report, const char *format, va_list arguments)
{
    const struct setting_words *words = report->words;
    char *text = text_make(report, format, arguments);

    if (!text || !words)
        return text;
    char *translated = words->translate(words->owner, text);
    free(text);
    if (!translated)
        report->is_incomplete = true;
    return translated;
}

static char *text_copy(struct report *report, const char *from)
{
    char *text = strdup(from);

    if (text)
        utf8_clean(text);
    else
        report->is_incomplete = true;
    return text;
}

/* ---- findings ---- */

void report_begin(struct report *report, const char *format, ...)
{
    va_list arguments;

    free(report->section);
    va_start(arguments, format);
    report->section = text_make(report, format, arguments);
    va_end(arguments);
}

static void finding_free(struct finding *finding)
{
    free(finding->section);
    free(finding->subject);
    free(finding->setting);
    free(finding->text);
    free(finding->advice);
}

void report_use_words(struct report *report, const struct setting_words *words)
{
    report->words = words;
}

/* Whether the same is known of the same place of the file. The subjects differ in the number of the route. */
static bool is_known(const struct report *report, const struct finding *finding)
{
    bool is_found = false;

    for (size_t i = 0;
         finding->line && finding->text && finding->level >= FINDING_WARNING && i < report->count; i++) {
        const struct finding *other = &report->findings[i];
        is_found = is_found || (other->line == finding->line && other->column == finding->column &&
                                other->level == finding->level && strcmp(other->text, finding->text) == 0 &&
                                strcmp(other->section, report->section ? report->section : "") != 0);
    }
    return is_found;
}

/* Takes over the texts of `finding`. */
static void finding_append(struct report *report, struct finding *finding)
{
    struct finding *findings = realloc(report->findings, (report->count + 1) * sizeof *findings);

    if (findings)
        report->findings = findings;
    if (findings && finding->text && finding->subject && finding->section) {
        findings[report->count++] = *finding;
    } else {
        report->is_incomplete = true;
        finding_free(finding);
    }
}

void report_add(struct report *report, enum finding_level level, const struct subject *subject,
                const char *format, ...)
{
    struct finding finding = { .level = level, .line = subject->line, .column = subject->column };
    va_list arguments;

    va_start(arguments, format);
    finding.text = words_make(report, format, arguments);
    va_end(arguments);
    finding.subject = text_copy(report, subject->text);
    finding.setting = subject->setting[0] ? text_copy(report, subject->setting) : NULL;
    finding.section = text_copy(report, report->section ? report->section : "");
    report->is_known = is_known(report, &finding);
    if (report->is_known)
        finding_free(&finding);
    else
        finding_append(report, &finding);
}

void report_advise(struct report *report, const char *format, ...)
{
    va_list arguments;

    if (!report->count || report->is_known)
        return;
    struct finding *finding = &report->findings[report->count - 1];
    free(finding->advice);
    va_start(arguments, format);
    finding->advice = words_make(report, format, arguments);
    va_end(arguments);
}

void report_append(struct report *to, struct report *from)
{
    to->is_incomplete = to->is_incomplete || from->is_incomplete;
    for (size_t i = 0; i < from->count; i++)
        finding_append(to, &from->findings[i]);
    from->count = 0;
    report_deinit(from);
}

void report_deinit(struct report *report)
{
    for (size_t i = 0; i < report->count; i++)
        finding_free(&report->findings[i]);
    free(report->findings);
    free(report->section);
    *report = (struct report) { 0 };
}

size_t report_count(const struct report *report, enum finding_level level)
{
    size_t count = 0;

    for (size_t i = 0; i < report->count; i++)
        count += report->findings[i].level == level;
    return count;
}

const char *report_level_name(enum finding_level level)
{
    assert(level < FINDING_LEVEL_COUNT);
    return level_names[level];
}

/* ---- for people ---- */

static void verdict_print(const struct report *report, FILE *out)
{
    size_t problems = report_count(report, FINDING_PROBLEM), warnings = report_count(report, FINDING_WARNING);

    if (report->is_incomplete)
        fputs("verdict: incomplete: out of memory\n", out);
    else if (problems)
        fprintf(out, "verdict: %zu problem%s, %zu warning%s\n", problems, problems == 1 ? "" : "s", warnings,
                warnings == 1 ? "" : "s");
    else if (warnings)
        fprintf(out, "verdict: no problem, %zu warning%s\n", warnings, warnings == 1 ? "" : "s");
    else
        fputs("verdict: all good\n", out);
}

void report_print(const struct report *report, FILE *out)
{
    const char *section = "";

    for (size_t i = 0; i < report->count; i++) {
        const struct finding *finding = &report->findings[i];
        if (strcmp(section, finding->section) != 0)
            fprintf(out, "%s%s\n", i ? "\n" : "", finding->section);
        section = finding->section;
        fprintf(out, "  %-8s %s", level_names[finding->level], finding->subject);
        if (finding->line && finding->level > FINDING_NOTE)
            fprintf(out, " (line %u, column %u)", finding->line, finding->column);
        fprintf(out, ": %s%s%s\n", finding->text, finding->advice ? "; " : "",
                finding->advice ? finding->advice : "");
    }
    fputs(report->count ? "\n" : "", out);
    verdict_print(report, out);
}
