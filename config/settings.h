/* Fills a struct from command-line options, by a table of settings. */
#ifndef HUSK_CONFIG_SETTINGS_H
#define HUSK_CONFIG_SETTINGS_H

#include "base/fault.h"
#include "config/setting.h"

#include <stdbool.h>

/* A struct, and the table that describes it. */
struct settings_target {
    const struct settings_table *table;
    void *values;
};

/* The words of a command line. */
struct settings_words {
    int count;
    char **items;     /* borrowed, and reordered */
    int *positionals; /* set to the number of words that are no options; NULL: such a word is an error */
    struct settings_target also; /* a second struct, zeroed, whose options may stand among the words; table
                                    NULL: none. The first table is asked first */
    const struct settings_table *of_file; /* settings of the file that an option names: a fault says where
                                             they stand; NULL: there is no such file */
};

/* Fills `target` (zeroed by the caller) with the defaults, then from `words`. Reads `--name value` and
 * `--name=value`; `--` ends the options. Moves words that are no options to the front of words->items. A
 * setting that is no list may be given once. The fault names the option and what it expects. Free with
 * settings_free (config/setting_value.h), also after a failure. */
MUST_CHECK bool settings_parse(const struct settings_table *table, void *target,
                               const struct settings_words *words, struct fault *fault);

#endif
