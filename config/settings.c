#include "config/settings.h"

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

/* Reads digits and a unit; false when it is not that, or too large for 64 bits. */
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

/* The largest unit that says it without a fraction. */
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

static const struct setting *setting_find(const struct setting *table, size_t count, const char *name,
                                          size_t length)
{
    for (size_t i = 0; i < count; i++) {
        if (strlen(table[i].name) == length && memcmp(table[i].name, name, length) == 0)
            return &table[i];
    }
    return NULL;
}

/* One option at argv[*at]; moves *at past its value. */
static bool option_parse(const struct setting *setting, const char *inline_value, int *at, int argc,
                         char **argv, void *target, struct fault *fault)
{
    const char *value = inline_value;

    if (!takes_value(setting)) {
        if (inline_value) {
            fault_set(fault, "--%s: takes no value", setting->name);
            return false;
        }
        return setting_set(setting, target, NULL, fault);
    }
    if (!value) {
        if (*at + 1 >= argc) {
            fault_set(fault, "--%s: needs a value (%s)", setting->name, setting->value_name);
            return false;
        }
        value = argv[++*at];
    }
    if (!*value) {
        fault_set(fault, "--%s: the value is empty", setting->name);
        return false;
    }
    return setting_set(setting, target, value, fault);
}

static bool arguments_parse(const struct setting *table, size_t count, void *target, bool *said, int argc,
                            char **argv, int *positionals, struct fault *fault)
{
    int words = 0;
    bool options_ended = false;

    for (int at = 0; at < argc; at++) {
        char *word = argv[at];
        if (options_ended || word[0] != '-' || word[1] == '\0') {
            argv[words++] = word;
            continue;
        }
        if (strcmp(word, "--") == 0) {
            options_ended = true;
            continue;
        }
        char *equals = strchr(word, '=');
        size_t length = equals ? (size_t)(equals - word) : strlen(word);
        const struct setting *setting =
            strncmp(word, "--", 2) == 0 ? setting_find(table, count, word + 2, length - 2) : NULL;
        if (!setting) {
            fault_set(fault, "%.*s: unknown option", (int)length, word);
            return false;
        }
        if (said[setting - table] && setting->type != SETTING_LIST) {
            fault_set(fault, "--%s: said twice", setting->name);
            return false;
        }
        said[setting - table] = true;
        if (!option_parse(setting, equals ? equals + 1 : NULL, &at, argc, argv, target, fault))
            return false;
    }
    if (positionals) {
        *positionals = words;
    } else if (words) {
        fault_set(fault, "%s: unexpected argument", argv[0]);
        return false;
    }
    return true;
}

static bool defaults_set(const struct setting *table, size_t count, void *target, struct fault *fault)
{
    for (size_t i = 0; i < count; i++) {
        if (table[i].fallback && !setting_set(&table[i], target, table[i].fallback, fault))
            return false;
    }
    return true;
}

bool settings_parse(const struct setting *table, size_t count, void *target, int argc, char **argv,
                    int *positionals, struct fault *fault)
{
    bool said[SETTINGS_MAX] = { false };

    assert(count <= SETTINGS_MAX);
    if (!defaults_set(table, count, target, fault))
        return false;
    if (!arguments_parse(table, count, target, said, argc, argv, positionals, fault))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (table[i].required && !said[i]) {
            fault_set(fault, "--%s: is required (%s)", table[i].name, table[i].help);
            return false;
        }
    }
    return true;
}

/* Cuts the next word off the front of *text; NULL: there is none. Quotes are taken out, spaces within them
 * stay. */
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

bool settings_parse_text(const struct setting *table, size_t count, void *target, char *text,
                         struct fault *fault)
{
    bool said[SETTINGS_MAX] = { false };
    char *word;

    assert(count <= SETTINGS_MAX);
    if (!defaults_set(table, count, target, fault))
        return false;
    while ((word = word_cut(&text))) {
        char *equals = strchr(word, '=');
        size_t length = equals ? (size_t)(equals - word) : strlen(word);
        const struct setting *setting = setting_find(table, count, word, length);
        if (!setting) {
            fault_set(fault, "\"%.*s\" is unknown", (int)length, word);
            return false;
        }
        if (said[setting - table] && setting->type != SETTING_LIST) {
            fault_set(fault, "%s: said twice", setting->name);
            return false;
        }
        said[setting - table] = true;
        if (!word_parse(setting, equals ? equals + 1 : NULL, target, fault))
            return false;
    }
    return true;
}

void settings_free(const struct setting *table, size_t count, void *target)
{
    for (size_t i = 0; i < count; i++) {
        if (table[i].type != SETTING_LIST)
            continue;
        struct setting_list *list = (struct setting_list *)((char *)target + table[i].offset);
        free(list->items);
        *list = (struct setting_list) { 0 };
    }
}

static void choices_print(const struct setting *setting, FILE *out)
{
    for (unsigned i = 0; setting->choices[i]; i++)
        fprintf(out, "%s%s", i ? "|" : "", setting->choices[i]);
}

void settings_print_help(const struct setting *table, size_t count, FILE *out)
{
    for (size_t i = 0; i < count; i++) {
        const struct setting *setting = &table[i];
        fprintf(out, "  --%s", setting->name);
        if (setting->type == SETTING_CHOICE) {
            fputc(' ', out);
            choices_print(setting, out);
        } else if (takes_value(setting)) {
            fprintf(out, " %s", setting->value_name);
        }
        if (setting->type == SETTING_LIST)
            fputs(" …", out);
        fprintf(out, "\n        %s", setting->help);
        if (setting->required)
            fputs(" (required)", out);
        else if (setting->fallback)
            fprintf(out, " (default %s)", setting->fallback);
        fputc('\n', out);
    }
}
