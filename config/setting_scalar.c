#include "config/setting_scalar.h"

#include "config/nearest.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

const char *setting_expectation(enum setting_type type)
{
    if (type == SETTING_DURATION)
        return "a duration such as 250ms, 5s or 2m";
    return type == SETTING_BYTES ? "a size such as 65536, 64KiB or 4MiB" : "a whole number";
}

bool setting_is_quantity(const struct setting *setting)
{
    return setting->type == SETTING_COUNT || setting->type == SETTING_DURATION ||
           setting->type == SETTING_BYTES;
}

/* What a text is. OUTSIDE: a number below 0, or too large for 64 bits, which is out of every range. */
enum quantity { QUANTITY_GOOD, QUANTITY_OUTSIDE, QUANTITY_OTHER };

/* Reads digits and a unit. */
static enum quantity quantity_parse(const char *text, const struct unit *units, uint64_t *value)
{
    bool is_negative = *text == '-';
    const char *digits = text + is_negative;
    const struct unit *unit = units;
    char *end;

    if (*digits < '0' || *digits > '9')
        return QUANTITY_OTHER;
    errno = 0;
    uint64_t number = strtoull(digits, &end, 10);
    bool is_too_large = errno;
    while (unit->name && strcmp(end, unit->name) != 0)
        unit++;
    uint64_t factor = unit->name ? unit->factor : 1;
    if (!unit->name && (number || *end)) /* 0 needs no unit */
        return QUANTITY_OTHER;
    if (is_negative || is_too_large || number > UINT64_MAX / factor)
        return QUANTITY_OUTSIDE;
    *value = number * factor;
    return QUANTITY_GOOD;
}

void setting_quantity_format(enum setting_type type, uint64_t value, char *text, size_t size)
{
    const struct unit *units = units_of(type), *best = units;

    for (const struct unit *unit = units; unit->name; unit++) {
        if (value && value % unit->factor == 0)
            best = unit;
    }
    snprintf(text, size, "%llu%s", (unsigned long long)(value / best->factor), best->name);
}

/* A text that is read. `shown`: what a fault calls it; NULL: the fault quotes the text. */
struct input {
    const char *text, *shown;
};

/* "TEXT" or what the text is called. A long text is cut, to leave space for what was expected. */
#define INPUT_FORMAT       "%s%.160s%s"
#define INPUT_SHOWN(input) QUOTE(input), (input)->shown ? (input)->shown : (input)->text, QUOTE(input)
#define QUOTE(input)       ((input)->shown ? "" : "\"")

static void range_fault(const struct setting *setting, const struct input *input, enum quantity found,
                        struct fault *fault)
{
    const char *shown = input->shown ? input->shown : input->text;
    char min[32], max[32];

    setting_quantity_format(setting->type, setting->min, min, sizeof min);
    setting_quantity_format(setting->type, setting->max ? setting->max : UINT64_MAX, max, sizeof max);
    if (setting->max || found == QUANTITY_OUTSIDE)
        fault_set(fault, "%.160s is out of range: expected %s to %s", shown, min, max);
    else
        fault_set(fault, "%.160s is out of range: expected at least %s", shown, min);
}

static bool quantity_set(const struct setting *setting, uint64_t *field, const struct input *input,
                         struct fault *fault)
{
    const char *word = setting->zero_word;
    uint64_t value = 0;
    bool is_word = word && strcmp(input->text, word) == 0;
    enum quantity found =
        is_word ? QUANTITY_GOOD : quantity_parse(input->text, units_of(setting->type), &value);
    bool is_in_range = value >= setting->min && (!setting->max || value <= setting->max);

    if (found == QUANTITY_GOOD &&
        (is_in_range || (word && !value && (is_word || !setting->zero_is_word_only)))) {
        *field = value;
        return true;
    }
    if (found == QUANTITY_OTHER)
        fault_set(fault, INPUT_FORMAT " is not %s%s%s", INPUT_SHOWN(input),
                  setting_expectation(setting->type), word ? ", nor the word " : "", word ? word : "");
    else
        range_fault(setting, input, found, fault);
    return false;
}

static bool choice_set(const struct setting *setting, unsigned *field, const struct input *input,
                       struct fault *fault)
{
    const char *text = input->text;
    char words[200] = "";
    struct nearest nearest = nearest_begin(text, strlen(text));

    for (unsigned i = 0; setting->choices[i]; i++) {
        if (strcmp(text, setting->choices[i]) == 0) {
            *field = i;
            return true;
        }
        nearest_add(&nearest, setting->choices[i]);
        size_t used = strlen(words);
        snprintf(words + used, sizeof words - used, "%s%s", i ? ", " : "", setting->choices[i]);
    }
    fault_set(fault, INPUT_FORMAT " is not one of: %s%s%s%s", INPUT_SHOWN(input), words,
              nearest.best ? "; did you mean " : "", nearest.best ? nearest.best : "",
              nearest.best ? "?" : "");
    return false;
}

static bool flag_set(bool *field, const struct input *input, struct fault *fault)
{
    bool is_true = !input->text || strcmp(input->text, "true") == 0;

    if (is_true || strcmp(input->text, "false") == 0) {
        *field = is_true;
        return true;
    }
    fault_set(fault, INPUT_FORMAT " is neither true nor false", INPUT_SHOWN(input));
    return false;
}

bool setting_words_check(const struct setting *setting, const char *text, const char *shown,
                         struct fault *fault)
{
    for (size_t length; setting->is_good; text += length + 1) {
        length = strcspn(text, ",");
        if (!setting->is_good(text, length)) {
            if (shown)
                fault_set(fault, "%.160s is not %s", shown, setting->expected);
            else
                fault_set(fault, "\"%.*s\" is not %s", (int)(length < 160 ? length : 160), text,
                          setting->expected);
            return false;
        }
        if (!text[length])
            break;
    }
    return true;
}

static bool has_value_name(const struct setting *setting, const char *name)
{
    return setting->value_name && strcmp(setting->value_name, name) == 0;
}

bool setting_is_variable(const struct setting *setting)
{
    return has_value_name(setting, "VAR");
}

size_t setting_variable_span(const char *text)
{
    return strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-");
}

bool setting_text_check(const struct setting *setting, const char *text, struct fault *fault)
{
    bool is_variable = setting_is_variable(setting), is_path = has_value_name(setting, "FILE") ||
                                                               has_value_name(setting, "PATH") ||
                                                               has_value_name(setting, "DIR");

    if ((is_variable || is_path) && (strpbrk(text, "\r\n") || strstr(text, "-----BEGIN")))
        fault_set(fault,
                  "the value has several lines, or is PEM; write one line: the path of a file, or the name "
                  "of a variable, not what is in it");
    else if (is_variable && text[setting_variable_span(text)])
        fault_set(fault, "expected the name of an environment variable, not its value");
    else
        return true;
    return false;
}

bool setting_scalar_set_shown(const struct setting *setting, void *target, const char *text,
                              const char *shown, struct fault *fault)
{
    const struct input input = { text, shown };
    void *field = (char *)target + setting->offset;

    switch (setting->type) {
    case SETTING_WORDS:
        if (!setting_words_check(setting, text, shown, fault))
            return false;
        *(const char **)field = text;
        return true;
    case SETTING_TEXT:
        if (!setting_text_check(setting, text, fault))
            return false;
        *(const char **)field = text;
        return true;
    case SETTING_COUNT:
    case SETTING_DURATION:
    case SETTING_BYTES:
        return quantity_set(setting, field, &input, fault);
    case SETTING_CHOICE:
        return choice_set(setting, field, &input, fault);
    case SETTING_FLAG:
        return flag_set(field, &input, fault);
    case SETTING_LIST:
        break;
    }
    assert(!"a scalar");
    return false;
}

bool setting_scalar_set(const struct setting *setting, void *target, const char *text, struct fault *fault)
{
    return setting_scalar_set_shown(setting, target, text, NULL, fault);
}

static size_t size_of(enum setting_type type)
{
    if (type == SETTING_TEXT || type == SETTING_WORDS)
        return sizeof(const char *);
    if (type == SETTING_FLAG)
        return sizeof(bool);
    return type == SETTING_CHOICE ? sizeof(unsigned) : sizeof(uint64_t);
}

void setting_scalar_reset(const struct setting *setting, void *target)
{
    struct fault fault;

    memset((char *)target + setting->offset, 0, size_of(setting->type));
    bool is_good = !setting->fallback || setting_scalar_set(setting, target, setting->fallback, &fault);
    assert(is_good); /* a test reads every default */
    (void)is_good;
}

void setting_scalar_copy(const struct setting *setting, void *to, const void *from)
{
    memcpy((char *)to + setting->offset, (const char *)from + setting->offset, size_of(setting->type));
}

bool setting_scalar_equal(const struct setting *setting, const void *a, const void *b)
{
    const void *of_a = (const char *)a + setting->offset, *of_b = (const char *)b + setting->offset;

    if (setting->type != SETTING_TEXT && setting->type != SETTING_WORDS)
        return memcmp(of_a, of_b, size_of(setting->type)) == 0;
    const char *text_a = *(const char *const *)of_a, *text_b = *(const char *const *)of_b;
    return text_a == text_b || (text_a && text_b && strcmp(text_a, text_b) == 0);
}

bool setting_scalar_format(const struct setting *setting, const void *target, char *text, size_t size)
{
    const void *field = (const char *)target + setting->offset;

    if (setting_is_quantity(setting)) {
        uint64_t value = *(const uint64_t *)field;
        if (!value && setting->zero_word)
            snprintf(text, size, "%s", setting->zero_word);
        else
            setting_quantity_format(setting->type, value, text, size);
        return true;
    }
    const char *word;

    if (setting->type == SETTING_FLAG)
        word = *(const bool *)field ? "true" : "false";
    else if (setting->type == SETTING_CHOICE)
        word = setting->choices[*(const unsigned *)field];
    else
        word = *(const char *const *)field;
    snprintf(text, size, "%s", word ? word : "");
    return word;
}
