/* What a check has found: a list of findings, in the order in which they were found.
 *
 * Owns the texts of the findings. Texts come from files and peers: a byte that is not UTF-8, and each control
 * character, becomes `?`. Knows nothing of what is checked. */
#ifndef HUSK_CHECK_REPORT_H
#define HUSK_CHECK_REPORT_H

#include "base/fault.h"
#include "check/subject.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum finding_level {
    FINDING_OK,      /* checked, and good */
    FINDING_NOTE,    /* worth knowing */
    FINDING_WARNING, /* husk starts, and something may fail, now or later */
    FINDING_PROBLEM, /* husk does not start, or no message goes through */
    FINDING_LEVEL_COUNT
};

struct finding {
    enum finding_level level;
    char *section;         /* what the finding is about: a side of a route, in words */
    char *subject;         /* a setting or an address */
    char *setting;         /* NULL: the subject is none */
    unsigned line, column; /* of the setting in a file, from 1; 0: in no file */
    char *text;            /* what was found */
    char *advice;          /* what to do; NULL: nothing, or it is clear from the text */
};

/* All zeros: empty. */
struct report {
    struct finding *findings;
    size_t count;
    char *section;                     /* of the next findings */
    const struct setting_words *words; /* borrowed; of the next findings; NULL: options */
    bool is_incomplete;                /* memory ran out: findings are missing */
    bool is_known;                     /* the last finding was not added: it is there already */
};

/* Begins a section: the next findings belong to it. */
void report_begin(struct report *report, const char *format, ...) PRINTF_LIKE(2, 3);
/* How the user writes the settings that the next findings name. Borrowed until the next call; NULL: as
 * options. */
void report_use_words(struct report *report, const struct setting_words *words);
/* Adds a finding about `subject`. The text names settings as options. A warning or problem of a setting that
 * several routes have from one place of the file, such as a setting in the defaults, is added for the first
 * of these routes only. */
void report_add(struct report *report, enum finding_level level, const struct subject *subject,
                const char *format, ...) PRINTF_LIKE(4, 5);
/* Sets the advice of the last finding, if it was added. It names settings as options. */
void report_advise(struct report *report, const char *format, ...) PRINTF_LIKE(2, 3);
/* Moves the findings of `from` behind those of `to`. `from` is empty afterwards. */
void report_append(struct report *to, struct report *from);
/* Frees all. */
void report_deinit(struct report *report);

size_t report_count(const struct report *report, enum finding_level level);
/* The name of a level in both outputs: "ok", "note", "warning", "problem". */
const char *report_level_name(enum finding_level level);

/* Prints one line for each finding, grouped by section, and a verdict at the end. A warning and a problem
 * have the place of their setting in the file. */
void report_print(const struct report *report, FILE *out);

#endif
