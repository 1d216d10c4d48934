#include "config/yaml_scalar.h"

#include <regex.h>
#include <stdio.h>
#include <string.h>

/* YAML 1.1: https://yaml.org/type/, the pages bool, null, int, float, timestamp. Floats without a point and
 * 0o are from the core schema of YAML 1.2, section 10.3.2. The first row that matches is the trap. */
static const struct row {
    const char *pattern; /* POSIX extended; ignores the case */
    enum yaml_trap trap;
} rows[] = {
    { "^(y|n|yes|no|on|off|true|false)$", YAML_TRAP_BOOLEAN },
    { "^(|~|null)$", YAML_TRAP_NULL },
    { "^[-+]?0o[0-7]+$", YAML_TRAP_OCTAL },
    { "^[-+]?0[0-9_]+$", YAML_TRAP_OCTAL },
    { "^[-+]?0x[0-9a-f_]+$", YAML_TRAP_HEX },
    { "^[-+]?0b[01_]+$", YAML_TRAP_BINARY },
    { "^[-+]?[0-9]+$", YAML_TRAP_NONE },
    { "^[-+]?[0-9][0-9_]*$", YAML_TRAP_UNDERSCORE },
    { "^[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\\.[0-9_]*)?$", YAML_TRAP_SEXAGESIMAL },
    { "^[-+]?(\\.[0-9]+|[0-9][0-9_]*(\\.[0-9_]*)?)(e[-+]?[0-9]+)?$", YAML_TRAP_FLOAT },
    { "^([-+]?\\.inf|\\.nan)$", YAML_TRAP_FLOAT },
    { "^[0-9]{4}-[0-9]{2}-[0-9]{2}$", YAML_TRAP_DATE },
    { "^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(t|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}", YAML_TRAP_DATE },
};

static bool matches(const char *pattern, const char *text)
{
    regex_t compiled;

    if (regcomp(&compiled, pattern, REG_EXTENDED | REG_ICASE | REG_NOSUB) != 0)
        return false;
    bool found = regexec(&compiled, text, 0, NULL, 0) == 0;
    regfree(&compiled);
    return found;
}

enum yaml_trap yaml_scalar_trap(const struct yaml_node *node)
{
    if (node->kind != YAML_KIND_SCALAR || node->quoted || node->has_reference)
        return YAML_TRAP_NONE;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (matches(rows[i].pattern, node->text))
            return rows[i].trap;
    }
    return YAML_TRAP_NONE;
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
        [YAML_TRAP_SEXAGESIMAL] = "YAML reads this as a number to the base 60, such as minutes and seconds; "
                                  "write it in quotes if it is text",
        [YAML_TRAP_FLOAT] = "YAML reads this as a number with a fraction; write it in quotes if it is text",
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
