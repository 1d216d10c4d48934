#include "config/yaml_scalar.h"

#include <stdio.h>
#include <string.h>

static const char DIGITS[] = "0123456789";
static const char DIGITS_[] = "0123456789_";

/* The functions below follow YAML 1.1 (https://yaml.org/type/, the pages int, float and timestamp). Floats
 * without a point and 0o are from the core schema of YAML 1.2, section 10.3.2. */

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static bool has_only(const char *text, const char *set)
{
    return *text && !text[strspn(text, set)];
}

/* Steps over `min` to `max` digits. */
static bool skip_digits(const char **text, size_t min, size_t max)
{
    size_t count = strspn(*text, DIGITS);

    *text += count;
    return count >= min && count <= max;
}

/* Steps over one byte of the set. */
static bool skip_one(const char **text, const char *set)
{
    bool found = **text && strchr(set, **text);

    *text += found;
    return found;
}

/* [0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)? */
static bool is_sexagesimal(const char *text)
{
    size_t groups = 0;

    if (!is_digit(*text))
        return false;
    for (text += strspn(text, DIGITS_); skip_one(&text, ":"); groups++) {
        const char *group = text;
        if (!skip_digits(&text, 1, 2) || (text - group == 2 && *group > '5'))
            return false;
    }
    if (skip_one(&text, "."))
        text += strspn(text, DIGITS_);
    return groups && !*text;
}

/* (\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)? or \.inf, \.nan */
static bool is_float(const char *text)
{
    if (strcasecmp(text, ".inf") == 0 || strcasecmp(text, ".nan") == 0)
        return true;
    if (!is_digit(*text) && !(*text == '.' && is_digit(text[1])))
        return false;
    text += strspn(text, DIGITS_);
    if (skip_one(&text, "."))
        text += strspn(text, DIGITS_);
    if (!skip_one(&text, "eE"))
        return !*text;
    skip_one(&text, "-+");
    return has_only(text, DIGITS);
}

static bool is_date(const char *text)
{
    bool is_short = strlen(text) == sizeof "2024-01-31" - 1;

    if (!skip_digits(&text, 4, 4) || !skip_one(&text, "-") || !skip_digits(&text, 1, 2) ||
        !skip_one(&text, "-") || !skip_digits(&text, 1, 2))
        return false;
    if (!*text)
        return is_short;
    if (!skip_one(&text, "tT \t"))
        return false;
    text += strspn(text, " \t");
    return skip_digits(&text, 1, 2) && skip_one(&text, ":") && skip_digits(&text, 2, 2) &&
           skip_one(&text, ":") && skip_digits(&text, 2, 2);
}

static enum yaml_trap number_trap(const char *text)
{
    skip_one(&text, "-+");
    if (text[0] == '0' && text[1] == 'o' && has_only(text + 2, "01234567"))
        return YAML_TRAP_OCTAL;
    if (text[0] == '0' && text[1] == 'x' && has_only(text + 2, "0123456789abcdefABCDEF_"))
        return YAML_TRAP_HEX;
    if (text[0] == '0' && text[1] == 'b' && has_only(text + 2, "01_"))
        return YAML_TRAP_BINARY;
    if (is_digit(*text) && has_only(text, DIGITS_)) {
        if (text[0] == '0' && text[1])
            return YAML_TRAP_OCTAL;
        return strchr(text, '_') ? YAML_TRAP_UNDERSCORE : YAML_TRAP_NONE;
    }
    if (is_sexagesimal(text))
        return YAML_TRAP_SEXAGESIMAL;
    if (is_float(text))
        return strpbrk(text, "eE") ? YAML_TRAP_EXPONENT : YAML_TRAP_FLOAT;
    return YAML_TRAP_NONE;
}

static bool is_word(const char *text, const char *const *words)
{
    while (*words && strcasecmp(text, *words) != 0)
        words++;
    return *words;
}

enum yaml_trap yaml_scalar_trap(const struct yaml_node *node)
{
    static const char *const booleans[] = { "y", "n", "yes", "no", "on", "off", "true", "false", NULL };
    static const char *const nulls[] = { "", "~", "null", NULL };

    if (node->kind != YAML_KIND_SCALAR || node->quoted || node->has_reference)
        return YAML_TRAP_NONE;
    if (is_word(node->text, booleans))
        return YAML_TRAP_BOOLEAN;
    if (is_word(node->text, nulls))
        return YAML_TRAP_NULL;
    return is_date(node->text) ? YAML_TRAP_DATE : number_trap(node->text);
}

const char *yaml_scalar_trap_text(enum yaml_trap trap)
{
    static const char *const texts[] = {
        [YAML_TRAP_NONE] = "YAML reads this as text or as a decimal number",
        [YAML_TRAP_BOOLEAN] = "YAML reads this as a truth value; write it in quotes if it is text",
        [YAML_TRAP_NULL] = "YAML reads this as no value; write it in quotes if it is text",
        [YAML_TRAP_OCTAL] = "YAML reads this as an octal number; write it in quotes if it is text",
        [YAML_TRAP_HEX] = "YAML reads this as a hexadecimal number; write it in quotes if it is text",
        [YAML_TRAP_BINARY] = "YAML reads this as a binary number; write it in quotes if it is text",
        [YAML_TRAP_UNDERSCORE] =
            "YAML reads this as a number without the \"_\"; write it in quotes if it is text",
        [YAML_TRAP_SEXAGESIMAL] =
            "YAML reads this as a number to the base 60; write it in quotes if it is text",
        [YAML_TRAP_FLOAT] = "YAML reads this as a number with a fraction; write it in quotes if it is text",
        [YAML_TRAP_EXPONENT] =
            "YAML reads this as a number with an exponent; write it in quotes if it is text",
        [YAML_TRAP_DATE] = "YAML reads this as a date; write it in quotes if it is text",
    };

    return texts[trap];
}

const char *yaml_scalar_show(const struct yaml_node *node, char shown[MISTAKES_QUOTE_BYTES])
{
    if (!node->has_reference)
        return mistakes_quote(node->text, shown);
    snprintf(shown, MISTAKES_QUOTE_BYTES, "the value from the environment");
    return shown;
}

const char *yaml_scalar_space_hint(const struct yaml_node *node)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

    if (node->kind != YAML_KIND_SCALAR || node->quoted || node->has_reference)
        return "";
    size_t length = strspn(node->text, letters);
    return length && node->text[length] == ':' ? "; a space is missing after the \":\"" : "";
}

bool yaml_scalar_flag(const struct yaml_node *node, bool *flag, struct fault *fault)
{
    char shown[MISTAKES_QUOTE_BYTES];

    if (node->kind != YAML_KIND_SCALAR) {
        fault_set(fault, "expected true or false, not %s", yaml_node_kind_name(node));
        return false;
    }
    *flag = strcmp(node->text, "true") == 0;
    if (*flag || strcmp(node->text, "false") == 0)
        return true;
    yaml_scalar_show(node, shown);
    if (strcasecmp(node->text, "true") == 0 || strcasecmp(node->text, "false") == 0)
        fault_set(fault, "expected true or false in small letters, not %s", shown);
    else if (yaml_scalar_trap(node) == YAML_TRAP_BOOLEAN)
        fault_set(fault, "expected true or false; %s is neither in YAML 1.2", shown);
    else if (yaml_scalar_trap(node) == YAML_TRAP_NULL)
        fault_set(fault, "expected true or false, but there is no value");
    else
        fault_set(fault, "expected true or false, not %s", shown);
    return false;
}
