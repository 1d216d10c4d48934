#include "config/settings.h"

#include "config/nearest.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SETTINGS_MAX = 128 }; /* in a table */

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit duration_units[] = {
    { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { NULL, 0 }
};
static const struct unit byte_units[] = {
    { "", 1 }, { "KiB", 1 << 10 }, { "MiB", 1 << 20 }, { "GiB", 1 << 30 }, { NULL, 0 },
};
static const struct unit count_units[] = { { "", 1 }, { NULL, 0 } };

static const struct unit *units_of(enum setting_type type)
{
    if (type == SETTING_DURATION)
        return duration_units;
    return type == SETTING_BYTES ? byte_units : count_units;
}

static const char *expectation(enum setting_type type)
{
    if (type == SETTING_DURATION)
        return "a duration such as 250ms, 5s or 2m";
    return type == SETTING_BYTES ? "a size such as 65536, 64KiB or 4MiB" : "a whole number";
}

/* Reads digits and a unit. False: the text is something else, or the value is too large for 64 bits. */
static bool quantity_parse(const char *text, const struct unit *units, uint64_t *value)
{
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    uint64_t number = strtoull(text, &end, 10);
    if (errno)
        return false;
    for (const struct unit *unit = units; unit->name; unit++) {
        if (strcmp(end, unit->name) == 0 && number <= UINT64_MAX / unit->factor) {
            *value = number * unit->factor;
            return true;
        }
    }
    *value = 0;
    return number == 0 && *end == '\0';
}

/* Writes the value in the largest unit that needs no fraction. */
static void quantity_format(char *text, size_t size, uint64_t value, const struct unit *units)
{
    const struct unit *best = units;

    for (const struct unit *unit = units; unit->name; unit++) {
        if (value && value % unit->factor == 0)
            best = unit;
    }
    snprintf(text, size, "%llu%s", (unsigned long long)(value / best->factor), best->name);
}

static bool quantity_set(const struct setting *setting, uint64_t *field, const char *text,
                         struct fault *fault)
{
    const struct unit *units = units_of(setting->type);
    char min[32], max[32];

    if (setting->zero_word && (strcmp(text, setting->zero_word) == 0 || strcmp(text, "0") == 0)) {
        *field = 0;
        return true;
    }
    if (!quantity_parse(text, units, field)) {
        fault_set(fault, "\"%s\" is not %s%s%s", text, expectation(setting->type),
                  setting->zero_word ? ", nor the word " : "", setting->zero_word ? setting->zero_word : "");
        return false;
    }
    if (*field >= setting->min && (!setting->max || *field <= setting->max))
        return true;
    quantity_format(min, sizeof min, setting->min, units);
    quantity_format(max, sizeof max, setting->max, units);
    if (setting->max)
        fault_set(fault, "%s is out of range: expected %s to %s", text, min, max);
    else
        fault_set(fault, "%s is out of range: expected at least %s", text, min);
    return false;
}

static bool choice_set(const struct setting *setting, unsigned *field, const char *text, struct fault *fault)
{
    char words[200] = "";

    for (unsigned i = 0; setting->choices[i]; i++) {
        if (strcmp(text, setting->choices[i]) == 0) {
            *field = i;
            return true;
        }
        size_t used = strlen(words);
        snprintf(words + used, sizeof words - used, "%s%s", i ? ", " : "", setting->choices[i]);
    }
    fault_set(fault, "\"%s\" is not one of: %s", text, words);
    return false;
}

static bool list_add(const struct setting *setting, struct setting_list *list, const char *text,
                     struct fault *fault)
{
    struct setting_item *items = realloc(list->items, (list->count + 1) * sizeof *items);

    if (!items) {
        fault_set(fault, "out of memory");
        return false;
    }
    items[list->count] = (struct setting_item) { .kind = setting->kind, .value = text };
    list->items = items;
    list->count++;
    return true;
}

/* The fault does not name the setting. */
static bool value_set(const struct setting *setting, void *target, const char *text, struct fault *fault)
{
    void *field = (char *)target + setting->offset;

    switch (setting->type) {
    case SETTING_TEXT:
        *(const char **)field = text;
        return true;
    case SETTING_COUNT:
    case SETTING_DURATION:
    case SETTING_BYTES:
        return quantity_set(setting, field, text, fault);
    case SETTING_CHOICE:
        return choice_set(setting, field, text, fault);
    case SETTING_FLAG:
        *(bool *)field = true;
        return true;
    case SETTING_LIST:
        return list_add(setting, field, text, fault);
    }
    assert(!"setting type");
    return false;
}

static bool setting_set(const struct setting *setting, void *target, const char *text, struct fault *fault)
{
    if (value_set(setting, target, text, fault))
        return true;
    fault_wrap(fault, "--%s", setting->name);
    return false;
}

static bool takes_value(const struct setting *setting)
{
    return setting->type != SETTING_FLAG && (setting->type != SETTING_LIST || setting->value_name);
}

static const struct setting *setting_find(const struct settings_table *table, const char *name, size_t length)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct setting *setting = &table->rows[i];
        if (strlen(setting->name) == length && memcmp(setting->name, name, length) == 0)
            return setting;
    }
    return NULL;
}

/* The settings of a table that have been given. */
struct given {
    bool rows[SETTINGS_MAX];
};

static bool given_note(struct given *given, const struct settings_table *table, const struct setting *setting)
{
    bool *is_given = &given->rows[setting - table->rows];
    bool is_repeated = *is_given && setting->type != SETTING_LIST;

    *is_given = true;
    return !is_repeated;
}

/* Sets the option at words->items[*at]; moves *at to its value if that is a word of its own. */
static bool option_parse(const struct setting *setting, void *target, const struct settings_words *words,
                         int *at, struct fault *fault)
{
    char *equals = strchr(words->items[*at], '=');
    const char *value = equals ? equals + 1 : NULL;

    if (!takes_value(setting)) {
        if (value) {
            fault_set(fault, "--%s: takes no value", setting->name);
            return false;
        }
        return setting_set(setting, target, NULL, fault);
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
    return setting_set(setting, target, value, fault);
}

/* The length of the name at the front of `name` or `name=value`. */
static size_t name_length(const char *word)
{
    return strcspn(word, "=");
}

/* The name of the table that a person may have meant; NULL: none is near. */
static const char *guess(const struct settings_table *table, const char *name, size_t length)
{
    struct nearest nearest = nearest_begin(name, length);

    for (size_t i = 0; i < table->count; i++)
        nearest_add(&nearest, table->rows[i].name);
    return nearest.best;
}

/* The option that a word names; NULL and a fault: none, or one that was given before. */
static const struct setting *option_find(const struct settings_table *table, struct given *given,
                                         const char *word, struct fault *fault)
{
    size_t length = name_length(word);
    const struct setting *setting =
        strncmp(word, "--", 2) == 0 ? setting_find(table, word + 2, length - 2) : NULL;

    if (!setting) {
        const char *meant = strncmp(word, "--", 2) == 0 ? guess(table, word + 2, length - 2) : NULL;
        fault_set(fault, "%.*s: unknown option%s%s%s", (int)length, word, meant ? "; did you mean --" : "",
                  meant ? meant : "", meant ? "?" : "");
    } else if (!given_note(given, table, setting))
        fault_set(fault, "--%s: given twice", setting->name);
    else
        return setting;
    return NULL;
}

static bool words_parse(const struct settings_table *table, void *target, struct given *given,
                        const struct settings_words *words, struct fault *fault)
{
    int positionals = 0;
    bool options_ended = false;

    for (int at = 0; at < words->count; at++) {
        char *word = words->items[at];
        if (options_ended || word[0] != '-' || word[1] == '\0') {
            words->items[positionals++] = word;
            continue;
        }
        if (strcmp(word, "--") == 0) {
            options_ended = true;
            continue;
        }
        const struct setting *setting = option_find(table, given, word, fault);
        if (!setting || !option_parse(setting, target, words, &at, fault))
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

static bool defaults_set(const struct settings_table *table, void *target, struct fault *fault)
{
    assert(table->count <= SETTINGS_MAX);
    for (size_t i = 0; i < table->count; i++) {
        const struct setting *setting = &table->rows[i];
        if (setting->fallback && !setting_set(setting, target, setting->fallback, fault))
            return false;
    }
    return true;
}

bool settings_parse(const struct settings_table *table, void *target, const struct settings_words *words,
                    struct fault *fault)
{
    struct given given = { 0 };

    if (!defaults_set(table, target, fault) || !words_parse(table, target, &given, words, fault))
        return false;
    for (size_t i = 0; i < table->count; i++) {
        const struct setting *setting = &table->rows[i];
        if (setting->required && !given.rows[i]) {
            fault_set(fault, "--%s: is required (%s)", setting->name, setting->help);
            return false;
        }
    }
    return true;
}

/* Cuts the next word off the front of *text; NULL: no word is left. Removes quotes and keeps the spaces
 * between them. */
static char *word_cut(char **text)
{
    char *word = *text + strspn(*text, " \t\n"), *to = word, *from = word;
    bool is_quoted = false;

    if (!*word)
        return NULL;
    for (; *from && (is_quoted || !strchr(" \t\n", *from)); from++) {
        if (*from == '"')
            is_quoted = !is_quoted;
        else
            *to++ = *from;
    }
    *text = *from ? from + 1 : from;
    *to = '\0';
    return word;
}

static bool word_parse(const struct setting *setting, const char *value, void *target, struct fault *fault)
{
    if (!takes_value(setting) && value)
        fault_set(fault, "takes no value");
    else if (takes_value(setting) && (!value || !*value))
        fault_set(fault, "needs a value: %s=%s", setting->name, setting->value_name);
    else if (value_set(setting, target, value, fault))
        return true;
    fault_wrap(fault, "%s", setting->name);
    return false;
}

bool settings_parse_text(const struct settings_table *table, void *target, char *text, struct fault *fault)
{
    struct given given = { 0 };
    char *word;

    if (!defaults_set(table, target, fault))
        return false;
    while ((word = word_cut(&text))) {
        size_t length = name_length(word);
        const struct setting *setting = setting_find(table, word, length);
        if (!setting) {
            const char *meant = guess(table, word, length);
            fault_set(fault, "\"%.*s\" is unknown%s%s%s", (int)length, word, meant ? "; did you mean " : "",
                      meant ? meant : "", meant ? "?" : "");
            return false;
        }
        if (!given_note(&given, table, setting)) {
            fault_set(fault, "%s: given twice", setting->name);
            return false;
        }
        if (!word_parse(setting, word[length] ? word + length + 1 : NULL, target, fault))
            return false;
    }
    return true;
}

void settings_free(const struct settings_table *table, void *target)
{
    for (size_t i = 0; i < table->count; i++) {
        if (table->rows[i].type != SETTING_LIST)
            continue;
        struct setting_list *list = (struct setting_list *)((char *)target + table->rows[i].offset);
        free(list->items);
        *list = (struct setting_list) { 0 };
    }
}

static void choices_print(const struct setting *setting, FILE *out)
{
    for (unsigned i = 0; setting->choices[i]; i++)
        fprintf(out, "%s%s", i ? "|" : "", setting->choices[i]);
}

static void usage_print(const struct setting *setting, FILE *out)
{
    fprintf(out, "--%s", setting->name);
    if (setting->type == SETTING_CHOICE) {
        fputc(' ', out);
        choices_print(setting, out);
    } else if (takes_value(setting)) {
        fprintf(out, " %s", setting->value_name);
    }
    if (setting->type == SETTING_LIST)
        fputs(" …", out);
    fputc('\n', out);
}

static void paragraph_print(const struct setting *setting, FILE *out)
{
    fputs("  ", out);
    usage_print(setting, out);
    fprintf(out, "        %s", setting->help);
    if (setting->required)
        fputs(" (required)", out);
    else if (setting->fallback)
        fprintf(out, " (default %s)", setting->fallback);
    fputc('\n', out);
}

void settings_print_help(const struct settings_table *table, FILE *out)
{
    for (unsigned group = 0; group == 0 || (table->groups && table->groups[group]); group++) {
        if (table->groups)
            fprintf(out, "%s%s:\n\n", group ? "\n" : "", table->groups[group]);
        for (size_t i = 0; i < table->count; i++) {
            if (table->rows[i].group == group)
                paragraph_print(&table->rows[i], out);
        }
    }
}

const struct setting *settings_find(const struct settings_table *table, const char *name)
{
    name += strncmp(name, "--", 2) == 0 ? 2 : 0;
    return setting_find(table, name, strlen(name));
}

static bool is_quantity(const struct setting *setting)
{
    return setting->type == SETTING_COUNT || setting->type == SETTING_DURATION ||
           setting->type == SETTING_BYTES;
}

static void range_print(const struct setting *setting, FILE *out)
{
    const struct unit *units = units_of(setting->type);
    char min[32], max[32];

    quantity_format(min, sizeof min, setting->min, units);
    quantity_format(max, sizeof max, setting->max, units);
    fprintf(out, "Value:    %s, ", expectation(setting->type));
    if (setting->max)
        fprintf(out, "from %s to %s", min, max);
    else
        fprintf(out, "at least %s", min);
    if (setting->zero_word)
        fprintf(out, "; or the word %s", setting->zero_word);
    fputc('\n', out);
}

void settings_print_one(const struct settings_table *table, const struct setting *setting, FILE *out)
{
    usage_print(setting, out);
    fprintf(out, "\n%s\n\n", setting->help);
    if (is_quantity(setting))
        range_print(setting, out);
    if (setting->type == SETTING_LIST)
        fputs("Value:    may be given several times\n", out);
    if (setting->required)
        fputs("Default:  none, the setting is required\n", out);
    else if (setting->type == SETTING_FLAG)
        fputs("Default:  off\n", out);
    else
        fprintf(out, "Default:  %s\n", setting->fallback ? setting->fallback : "not set");
    if (table->groups)
        fprintf(out, "Group:    %s\n", table->groups[setting->group]);
}
