#include "config/settings.h"

#include "config/nearest.h"
#include "config/setting_value.h"

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

/* The name that a person may have meant; NULL: none is near. */
static const char *guess(const struct filled *all, const char *name, size_t length)
{
    struct nearest nearest = nearest_begin(name, length);

    for (const struct filled *filled = all; filled < all + FILLED_COUNT; filled++) {
        for (size_t i = 0; filled->table && i < filled->table->count; i++) {
            if (setting_is_in(filled->table, &filled->table->rows[i]))
                nearest_add(&nearest, filled->table->rows[i].name);
        }
    }
    return nearest.best;
}

/* The option that a word names, and what it fills; NULL and a fault: none, or one that was given before.
 * Notes that it was given. */
static const struct setting *option_find(struct filled *all, struct filled **found, const char *word,
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
        const char *meant = is_option ? guess(all, word + 2, length - 2) : NULL;
        fault_set(fault, "%.*s: unknown option%s%s%s", (int)length, word, meant ? "; did you mean --" : "",
                  meant ? meant : "", meant ? "?" : "");
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
        const struct setting *setting = option_find(all, &filled, word, fault);
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
            fault_set(fault, "--%s: is required (%s)", setting->name, setting->help);
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
