/* Fills a struct from command-line flags, by a table of settings.
 *
 * A setting is a row: name, type, default, range, help, and the offset of its field. The help is printed from
 * the same table. Knows no particular setting: the table of the proxy is config/schema.c, and each tool has a
 * table of its own. */
#ifndef HUSK_CONFIG_SETTINGS_H
#define HUSK_CONFIG_SETTINGS_H

#include "base/fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* The type of the field at `offset`. */
enum setting_type {
    SETTING_TEXT,     /* const char *: borrowed from the words or the table; NULL: not set, and no default */
    SETTING_COUNT,    /* uint64_t */
    SETTING_DURATION, /* uint64_t milliseconds; written with a unit: 250ms, 5s, 2m, 1h (0 needs none) */
    SETTING_BYTES,    /* uint64_t; written without a unit or with KiB, MiB, GiB */
    SETTING_CHOICE,   /* unsigned: index into choices */
    SETTING_FLAG,     /* bool: takes no value */
    SETTING_LIST,     /* struct setting_list: may be given many times; takes no value if value_name is NULL */
};

struct setting {
    const char *name; /* without the leading dashes */
    enum setting_type type;
    size_t offset;
    const char *fallback;  /* the default, as a user writes it; NULL: 0, false, NULL or an empty list */
    uint64_t min, max;     /* COUNT, DURATION, BYTES: inclusive; max 0 means no upper bound */
    const char *zero_word; /* COUNT, DURATION, BYTES: a word that means 0 ("auto", "off"), or NULL. With a
                              word, 0 is allowed also below min */
    const char *const *choices; /* CHOICE: NULL-terminated */
    unsigned kind;              /* LIST: copied to the item */
    bool required;
    const char *value_name; /* for the help: "ADDR", "FILE"… */
    const char *help;       /* one line */
    unsigned group;         /* index into the groups of the table */
};

struct setting_list {
    size_t count;
    struct setting_item {
        unsigned kind;
        const char *value; /* borrowed from the words; NULL: the setting takes none */
    } * items;
};

struct settings_table {
    const struct setting *rows; /* borrowed */
    size_t count;
    const char *const *groups; /* headings for the help, in their order; NULL-terminated. NULL: no groups */
};

/* The words of a command line. */
struct settings_words {
    int count;
    char **items;     /* borrowed, and reordered */
    int *positionals; /* set to the number of words that are no options; NULL: such a word is an error */
};

/* Fills `target` (zeroed by the caller) with the defaults, then from `words`. Reads `--name value` and
 * `--name=value`; `--` ends the options. Moves words that are no options to the front of words->items. A
 * setting that is no list may be given once. The fault names the option and what it expects. Free with
 * settings_free, also after a failure. */
MUST_CHECK bool settings_parse(const struct settings_table *table, void *target,
                               const struct settings_words *words, struct fault *fault);

/* The same for the value of a setting that has parts: `name=value` or `name`, separated by spaces; a value in
 * double quotes may contain spaces. Cuts `text` into pieces, which `target` borrows. The table has no
 * required settings. The fault names the part. */
MUST_CHECK bool settings_parse_text(const struct settings_table *table, void *target, char *text,
                                    struct fault *fault);

/* Frees the lists in `target`, also after a failure to parse. */
void settings_free(const struct settings_table *table, void *target);

/* Prints one paragraph per setting, with its default; group by group. */
void settings_print_help(const struct settings_table *table, FILE *out);

/* The setting with this name, with or without the leading dashes; NULL: the table has none. */
const struct setting *settings_find(const struct settings_table *table, const char *name);

/* Prints what the table knows about one of its settings: value, range, default, group. */
void settings_print_one(const struct settings_table *table, const struct setting *setting, FILE *out);

#endif
