/* Tables of settings. A setting is a row: its names, type, default, range, help, and the offset of its field.
 *
 * Options, files, help and documents come from the same rows. Knows no particular setting: the table of the
 * proxy is config/schema.c, and each tool has a table of its own. */
#ifndef HUSK_CONFIG_SETTING_H
#define HUSK_CONFIG_SETTING_H

#include "config/mistakes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The type of the field at `offset`. */
enum setting_type {
    SETTING_TEXT,     /* const char *: borrowed from what was read or from the table; NULL: not set, and no
                         default */
    SETTING_WORDS,    /* the same: words separated by commas; in a file also a sequence */
    SETTING_COUNT,    /* uint64_t */
    SETTING_DURATION, /* uint64_t milliseconds; written with a unit: 250ms, 5s, 2m, 1h (0 needs none) */
    SETTING_BYTES,    /* uint64_t; written without a unit or with KiB, MiB, GiB */
    SETTING_CHOICE,   /* unsigned: index into choices */
    SETTING_FLAG,     /* bool: an option takes no value; in a file true or false */
    SETTING_LIST,     /* struct setting_list: may be given many times; takes no value if value_name is NULL */
};

#define SETTING_REQUIRED (~0U)

struct setting_parts;

struct setting {
    const char *name; /* of the option, without the leading dashes */
    enum setting_type type;
    size_t offset;
    const char *fallback;  /* the default, as a user writes it; NULL: 0, false, NULL or an empty list */
    uint64_t min, max;     /* COUNT, DURATION, BYTES: inclusive; max 0 means no upper bound. LIST: min 1 means
                              that a file gives no empty list */
    const char *zero_word; /* COUNT, DURATION, BYTES: a word that means 0 ("auto", "off"), or NULL. With a
                              word, 0 is allowed also below min, and help and documents say what it means.
                              TEXT: a word that is no name ("off") */
    const char *const *choices;                       /* CHOICE: NULL-terminated */
    bool (*is_good)(const char *word, size_t length); /* WORDS: checks a word; NULL: every word is good */
    const char *expected;                             /* WORDS with is_good: what a word is, for a fault */
    unsigned kind;                                    /* LIST: copied to the item */
    const struct setting_parts *parts;                /* LIST: what an item consists of; NULL: a text */
    unsigned users;                                   /* bits of the users that have the setting; 0: all */
    unsigned required_by;   /* bits of the users that must give it; SETTING_REQUIRED: all */
    bool zero_is_word_only; /* COUNT, DURATION, BYTES with a zero_word: the digit 0 is out of range */
    bool is_for_process;    /* in a file: given once, not for each route */
    bool map_is_switch;     /* in a file: the map with the setting, also if it does not give the
                               setting, switches something on */
    const char *path;       /* in a file: keys separated by dots; NULL: no file has it */
    const char *value_name; /* for the help: "ADDR", "FILE"… */
    const char *help;       /* one line */
    unsigned group;         /* index into the groups of the table */
};

struct setting_list {
    size_t count;
    struct setting_item {
        unsigned kind;
        const char *value; /* as an option would write it; NULL: the setting takes none */
        void *parts;       /* owned: the struct that setting_parts describes; NULL: the item has no parts */
        char *text; /* owned: what `value` and the parts borrow from; NULL: they borrow from elsewhere */
        struct place place; /* line 0: it comes from no file */
        unsigned index;     /* among the items that the same setting has added */
        bool is_hidden;     /* a part of `value` is from the environment: it may be a secret */
    } *items;
};

enum { SETTINGS_MAX = 180 }; /* rows of a table */

/* Whether a setting was given, and where. A wrong key of a file that may have meant the setting counts as
 * given. */
struct setting_source {
    bool is_given;      /* false: the field has its default */
    bool is_wrong;      /* a mistake is known: later checks of the setting add no second one */
    bool is_hidden;     /* a part of the value is from the environment: never print it, it may be a secret */
    struct place place; /* of the key; line 0: it comes from no file */
    struct place map;   /* of the key of the map that has the setting; line 0: the file has no such map */
};

struct settings_table {
    const struct setting *rows; /* borrowed */
    size_t count;
    const char *const *groups; /* headings for the help, in their order; NULL-terminated. NULL: no groups */
    unsigned user;             /* the bit of who reads the settings; 0: rows of all users are read */
    size_t sources;            /* offset of an array of struct setting_source, one for each row; 0: the struct
                                  has none */
};

/* What an item of a list consists of. An option writes the parts in one value: `FIRST`, `name=value` or
 * `name`, separated by `separator`. Parts that have parts themselves are only for files. */
struct setting_parts {
    const char *name;            /* if several settings have the parts; NULL: one setting has them */
    struct settings_table table; /* of the item's struct */
    size_t size;                 /* of that struct, in bytes */
    unsigned positionals;        /* number of rows at the front that have no name in the value of an option */
    char separator;
};

/* Whether the table's user has the setting. */
bool setting_is_in(const struct settings_table *table, const struct setting *setting);

/* Whether the table's user must give the setting. */
bool setting_is_required(const struct settings_table *table, const struct setting *setting);

/* The setting with this name, without the leading dashes; NULL: the table's user has none. */
const struct setting *setting_find(const struct settings_table *table, const char *name, size_t length);

/* The setting with this path in files; NULL: the table's user has none. */
const struct setting *setting_find_path(const struct settings_table *table, const char *path);

/* The setting of the table's user whose field is at `offset`; NULL: none. Rows of one list have the same
 * offset, and `kind` tells them apart. */
const struct setting *setting_at(const struct settings_table *table, size_t offset, unsigned kind);

/* Where `target` notes that this setting was given; NULL: the struct has no sources. */
struct setting_source *setting_source(const struct settings_table *table, void *target,
                                      const struct setting *setting);

#endif
