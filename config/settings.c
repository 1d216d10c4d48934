#include "config/settings.h"

#include "config/nearest.h"
#include "config/setting_value.h"

#include <stdio.h>
#include <string.h>

static bool option_set(const struct setting *setting, void *target, const char *text, struct fault *fault)
{
    if (setting_value_set(setting, target, text, fault))
        return true;
    fault_wrap(fault, "--%s", setting->name);
    return false;
}

/* Sets the option at words->items[*at]; moves *at to its value if that is a word of its own. */
static bool option_parse(const struct setting *setting, void *target, const struct settings_words *words,
                         int *at, struct fault *fault)
{
    char *equals = strchr(words->items[*at], '=');
    const char *value = equals ? equals + 1 : NULL;

    if (!setting_takes_value(setting)) {
        if (value) {
            fault_set(fault, "--%s: takes no value", setting->name);
            return false;
        }
        return option_set(setting, target, NULL, fault);
    }
    if (!value) {
        if (*at + 1 >= words->count) {
            fault_set(fault, "--%s: needs a value (%s)", setting->name, setting->value_name);
            return false;
        }
        value = words->items[++*at];
    }
    if (!*value) {
        fault_set(fault, "--%s: the value is empty", setting->name);
        return false;
    }
    return option_set(setting, target, value, fault);
}

/* A struct that is being filled. */
struct filled {
    const struct settings_table *table; /* NULL: there is none */
    void *values;
    struct setting_source *sources, own[SETTINGS_MAX];
};

enum { FILLED_COUNT = 2 };

static void filled_begin(struct filled *filled, const struct settings_table *table, void *values)
{
    *filled = (struct filled) { .table = table, .values = values };
    if (!table)
        return;
    settings_set_defaults(table, values);
    filled->sources = setting_source(table, values, table->rows);
    if (!filled->sources)
        filled->sources = filled->own;
}

/* ---- unknown options ---- */

/* Whether two names differ only in "-" and "_". `a` has `length` letters. */
static bool is_same_name(const char *a, size_t length, const char *b)
{
    size_t i = 0;

    while (i < length && b[i] && (a[i] == '-' ? '_' : a[i]) == (b[i] == '-' ? '_' : b[i]))
        i++;
    return i == length && !b[i];
}

/* Settings that a file calls by this word. */
struct namesakes {
    const char *name; /* of the option; NULL: none */
    unsigned count;   /* that have the last part of their path in common */
};

static void namesake_add(struct namesakes *found, const struct setting *setting, const char *word,
                         size_t length)
{
    const char *dot = setting->path ? strrchr(setting->path, '.') : NULL;

    if (dot && is_same_name(word, length, setting->path))
        *found = (struct namesakes) { setting->name, 1 };
    else if (dot && is_same_name(word, length, dot + 1) && ++found->count == 1)
        found->name = setting->name;
}

/* The name that a person may have meant; NULL: none is near, or several are. */
static const char *guess(const struct filled *all, const char *word, size_t length)
{
    struct nearest nearest = nearest_begin(word, length);
    struct namesakes found = { .name = NULL };

    for (const struct filled *filled = all; filled < all + FILLED_COUNT; filled++) {
        for (size_t i = 0; filled->table && i < filled->table->count; i++) {
            if (!setting_is_in(filled->table, &filled->table->rows[i]))
                continue;
            nearest_add(&nearest, filled->table->rows[i].name);
            namesake_add(&found, &filled->table->rows[i], word, length);
        }
    }
    return !nearest.best && found.count == 1 ? found.name : nearest.best;
}

/* The option that has a suffix more; NULL: there is none. */
static const struct setting *suffixed_find(const struct filled *all, const char *word, size_t length,
                                           const char *suffix)
{
    char name[NEAREST_WORD_MAX];
    int size = snprintf(name, sizeof name, "%.*s%s", (int)length, word, suffix);
    const struct setting *setting = NULL;

    for (const struct filled *filled = all; !setting && filled < all + FILLED_COUNT; filled++)
        setting =
            filled->table && size < (int)sizeof name ? setting_find(filled->table, name, (size_t)size) : NULL;
    return setting;
}

static void append(struct fault *fault, const char *before, const char *text, const char *after)
{
    size_t used = strlen(fault->text);

    snprintf(fault->text + used, sizeof fault->text - used, "%s%s%s", before, text, after);
}

/* Says where the file has the settings of this option, which may be one for each side. False: nowhere. */
static bool paths_append(const struct settings_table *of_file, const char *word, size_t length,
                         struct fault *fault)
{
    unsigned count = 0;

    for (size_t i = 0; i < of_file->count; i++) {
        const struct setting *setting = &of_file->rows[i];
        if (setting->path && setting_is_in(of_file, setting) && is_same_name(word, length, setting->name))
            append(fault, count++ ? " or " : "; in the file it is ", setting->path, "");
    }
    return count;
}

/* Says why a word is no option of these tables. */
static void unknown_explain(const struct filled *all, const struct settings_words *words, const char *option,
                            struct fault *fault)
{
    const char *word = option + strspn(option, "-");
    size_t length = strcspn(word, "=");
    int shown = (int)(word - option) + (int)length;
    const struct setting *variable = suffixed_find(all, word, length, "-env"),
                         *file = suffixed_find(all, word, length, "-file");

    if (variable) { /* what follows may be the secret */
        fault_set(fault,
                  "%.*s: a secret does not stand on the command line: name its environment variable in "
                  "--%s%s%s",
                  shown, option, variable->name, file ? ", or its file in --" : "", file ? file->name : "");
        return;
    }
    fault_set(fault, "%.*s: unknown option", shown, option);
    if (words->of_file && paths_append(words->of_file, word, length, fault))
        return;
    const char *meant = guess(all, word, length);
    if (meant)
        append(fault, "; did you mean --", meant, "?");
}

/* The option that a word names, and what it fills; NULL and a fault: none, or one that was given before.
 * Notes that it was given. */
static const struct setting *option_find(struct filled *all, struct filled **found,
                                         const struct settings_words *words, const char *word,
                                         struct fault *fault)
{
    size_t length = strcspn(word, "=");
    bool is_option = strncmp(word, "--", 2) == 0;
    const struct setting *setting = NULL;

    for (struct filled *filled = all; is_option && !setting && filled < all + FILLED_COUNT; filled++) {
        *found = filled;
        setting = filled->table ? setting_find(filled->table, word + 2, length - 2) : NULL;
    }
    if (!setting) {
        unknown_explain(all, words, word, fault);
        return NULL;
    }
    struct setting_source *source = &(*found)->sources[setting - (*found)->table->rows];
    if (source->is_given && setting->type != SETTING_LIST) {
        fault_set(fault, "--%s: given twice", setting->name);
        return NULL;
    }
    source->is_given = true;
    return setting;
}

static bool words_parse(struct filled *all, const struct settings_words *words, struct fault *fault)
{
    int positionals = 0;
    bool options_ended = false;

    for (int at = 0; at < words->count; at++) {
        char *word = words->items[at];
        struct filled *filled;
        if (options_ended || word[0] != '-' || word[1] == '\0') {
            words->items[positionals++] = word;
            continue;
        }
        if (strcmp(word, "--") == 0) {
            options_ended = true;
            continue;
        }
        const struct setting *setting = option_find(all, &filled, words, word, fault);
        if (!setting || !option_parse(setting, filled->values, words, &at, fault))
            return false;
    }
    if (words->positionals) {
        *words->positionals = positionals;
    } else if (positionals) {
        fault_set(fault, "%s: unexpected argument", words->items[0]);
        return false;
    }
    return true;
}

static bool required_check(const struct filled *filled, struct fault *fault)
{
    for (size_t i = 0; filled->table && i < filled->table->count; i++) {
        const struct setting *setting = &filled->table->rows[i];
        if (setting_is_required(filled->table, setting) && !filled->sources[i].is_given) {
            /* the rest of the help is about the value */
            fault_set(fault, "--%s: is required (%.*s)", setting->name, (int)strcspn(setting->help, ";"),
                      setting->help);
            return false;
        }
    }
    return true;
}

bool settings_parse(const struct settings_table *table, void *target, const struct settings_words *words,
                    struct fault *fault)
{
    struct filled all[FILLED_COUNT];

    filled_begin(&all[0], table, target);
    filled_begin(&all[1], words->also.table, words->also.values);
    return words_parse(all, words, fault) && required_check(&all[0], fault) && required_check(&all[1], fault);
}
