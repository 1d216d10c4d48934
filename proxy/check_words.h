/* How a report names the settings of a route: as options, or as the keys of the file that has them. */
#ifndef HUSK_CHECK_WORDS_H
#define HUSK_CHECK_WORDS_H

#include "check/report.h"
#include "check/subject.h"
#include "config/config.h"

struct check_words {
    struct setting_words words; /* first */
    const struct config *config;
    enum side side; /* of the route */
};

/* The next findings of `report` are about this side of `config`, until the next call, or until
 * report_use_words. Borrows all. */
void check_words_use(struct report *report, struct check_words *words, const struct config *config,
                     enum side side);

/* The subject of a finding about the item at `at` of the list at `field` of `config`. A value from the
 * environment is not shown. */
struct subject check_words_subject(const struct report *report, const struct config *config, size_t field,
                                   size_t at);

#endif
