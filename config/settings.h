/* One table of settings → a struct, from command-line flags.
 *
 * A setting is a row: name, type, default, range, help, and where in the target struct it goes. The same
 * table prints the help. Knows no setting in particular; the proxy's own table is config/schema.c, and each
 * tool has a small one. */
#ifndef HUSK_CONFIG_SETTINGS_H
#define HUSK_CONFIG_SETTINGS_H

#include "base/fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* The type says what the field at `offset` is. */
enum setting_type {
    SETTING_TEXT,     /* const char *: borrowed from argv or the table; NULL when neither says anything */
    SETTING_COUNT,    /* uint64_t */
    SETTING_DURATION, /* uint64_t milliseconds; written with a unit: 250ms, 5s, 2m, 1h (0 needs none) */
    SETTING_BYTES,    /* uint64_t; written plain or with KiB, MiB, GiB */
    SETTING_CHOICE,   /* unsigned: index into choices */
    SETTING_FLAG,     /* bool: takes no value */
    SETTING_LIST, /* struct setting_list: may be said many times; takes no value when value_name is NULL */
};

struct setting {
    const char *name; /* without the leading dashes */
    enum setting_type type;
    size_t offset;
    const char *fallback;  /* the default, written as a user would; NULL: none (0, false, NULL, empty) */
    uint64_t min, max;     /* COUNT, DURATION, BYTES: inclusive; max 0 means no upper bound */
    const char *zero_word; /* COUNT, DURATION, BYTES: a word accepted for 0 ("auto", "off"), or NULL; 0 is
                              then allowed whatever min says */
    const char *const *choices; /* CHOICE: NULL-terminated */
    unsigned kind;              /* LIST: filed with the item */
    bool required;
    const char *value_name; /* for the help: "ADDR", "FILE"… */
    const char *help;       /* one line */
};

struct setting_list {
    size_t count;
    struct setting_item {
        unsigned kind;
        const char *value; /* borrowed from argv; NULL when the setting takes none */
    } * items;
};

/* Fills `target` (which the caller zeroed) with defaults, then with argv[0..argc). `--name value` and
 * `--name=value` are both read; `--` ends options. Words that are no options are moved to the front of argv
 * and counted in *positionals; with positionals NULL they are an error. A repeated setting that is no list is
 * an error. The fault names the option and what was expected. */
MUST_CHECK bool settings_parse(const struct setting *table, size_t count, void *target, int argc, char **argv,
                               int *positionals, struct fault *fault);

/* The same for a setting's value that has parts: words `name=value` or `name`, separated by spaces; a value
 * within double quotes may have spaces. `text` is cut up, and borrowed by what was set. The table has no
 * required settings. The fault names the part. */
MUST_CHECK bool settings_parse_text(const struct setting *table, size_t count, void *target, char *text,
                                    struct fault *fault);

/* Frees what settings_parse or settings_parse_text allocated in `target` (lists), also
 * after a failure. */
void settings_free(const struct setting *table, size_t count, void *target);

/* Prints one aligned paragraph per setting, with its default. */
void settings_print_help(const struct setting *table, size_t count, FILE *out);

#endif
