/* The settings of a file for units that know a setting by the name of its option, such as `cert`: where the
 * file has it, and texts about options in the words of the file. Pure.
 *
 * Some options stand for one setting on each side in a file: the side says which one is meant. */
#ifndef HUSK_CONFIG_OPTION_WORDS_H
#define HUSK_CONFIG_OPTION_WORDS_H

#include "config/config.h"

enum { OPTION_PATH_BYTES = 128 };

/* Where a setting stands in a file. */
struct option_location {
    char path[OPTION_PATH_BYTES]; /* `routes[0].tls.upstream.cert` */
    struct place place;           /* line 0: the file does not give the setting */
};

/* What is looked for. */
struct option_value {
    const char *option; /* name without dashes of a setting that files have */
    size_t index;       /* in the list, which may have items of several settings; if the items have values */
    const char *part;   /* of the item, named as in an option; NULL: the whole value */
};

/* Finds the setting. `config` comes from a file. */
void option_words_locate(const struct config *config, enum side side, const struct option_value *value,
                         struct option_location *to);

/* Copies `text` and writes `tls.upstream.cert` for the word `--cert`, and `allow.*` for `--allow-*`. Other
 * words, and options that no file has, stay. The caller frees the copy; NULL when out of memory. */
char *option_words_translate(const char *text, enum side side);

#endif
