#include "config/file_scalar.h"

#include "config/setting_scalar.h"
#include "config/yaml_scalar.h"

#include <stdio.h>
#include <string.h>

/* What YAML reads in a text that is not what the setting expects, as "; YAML reads …"; empty: nothing else.
 */
static void trap_append(struct fault *fault, const struct yaml_node *node)
{
    enum yaml_trap trap = yaml_scalar_trap(node);
    const char *text = yaml_scalar_trap_text(trap);
    size_t used = strlen(fault->text);

    if (trap != YAML_TRAP_NONE)
        snprintf(fault->text + used, sizeof fault->text - used, "; %.*s", (int)strcspn(text, ";"), text);
}

/* As a shell writes a variable. */
static bool looks_like_variable(const struct yaml_node *node)
{
    return !node->has_reference && node->text[0] == '$' && setting_variable_span(node->text + 1);
}

static void variable_append(struct fault *fault, const struct yaml_node *node)
{
    size_t used = strlen(fault->text);

    if (looks_like_variable(node))
        snprintf(fault->text + used, sizeof fault->text - used, "; a variable is written ${NAME}");
}

const char *file_text_shown(const struct yaml_node *node)
{
    return node->has_reference ? "the value from the environment" : NULL;
}

static void fault_set_empty(const struct yaml_node *node, struct fault *fault)
{
    const char *shown = file_text_shown(node);

    fault_set(fault, "%s is empty", shown ? shown : "the value");
}

bool file_text_is_good(const struct setting *setting, const struct yaml_node *node, struct fault *fault)
{
    enum yaml_trap trap = yaml_scalar_trap(node);
    char shown[MISTAKES_QUOTE_BYTES];
    bool is_off =
        setting->zero_word && node->kind == YAML_KIND_SCALAR && strcmp(node->text, setting->zero_word) == 0;
    bool is_trap = (trap == YAML_TRAP_BOOLEAN || trap == YAML_TRAP_NULL) && !is_off;

    if (node->kind != YAML_KIND_SCALAR)
        fault_set(fault, "expected a text, but here is %s", yaml_node_kind_name(node));
    else if (!*node->text)
        fault_set_empty(node, fault);
    else if (setting_is_variable(setting) && looks_like_variable(node))
        fault_set(fault, "expected the name of an environment variable, without the $");
    else if (!setting_text_check(setting, node->text, fault))
        return false;
    else if (strpbrk(node->text, "\r\n")) /* not shown: it may be a key */
        fault_set(fault, "the value has several lines; write one line");
    else if (is_trap && setting->zero_word)
        fault_set(fault, "%s is not %s; %.*s", yaml_scalar_show(node, shown), setting->value_name,
                  (int)strcspn(yaml_scalar_trap_text(trap), ";"), yaml_scalar_trap_text(trap));
    else if (is_trap)
        fault_set(fault, "%s: %s", yaml_scalar_show(node, shown), yaml_scalar_trap_text(trap));
    else
        return true;
    return false;
}

/* A number, a size, a duration or a word of several. */
static bool word_set(const struct setting *setting, void *target, const struct yaml_node *node,
                     struct fault *fault)
{
    char shown[MISTAKES_QUOTE_BYTES];

    yaml_scalar_show(node, shown);
    if (!*node->text) {
        fault_set_empty(node, fault);
        return false;
    }
    /* Other readers of YAML take 010 for 8. */
    if (setting_is_quantity(setting) && yaml_scalar_trap(node) == YAML_TRAP_OCTAL) {
        fault_set(fault, "%s is an octal number in YAML; write a decimal number that does not begin with 0",
                  shown);
        return false;
    }
    if (setting_scalar_set_shown(setting, target, node->text, shown, fault))
        return true;
    if (setting->type != SETTING_CHOICE ||
        yaml_scalar_trap(node) != YAML_TRAP_FLOAT) /* a version is a good choice: 1.2 */
        trap_append(fault, node);
    variable_append(fault, node);
    return false;
}

bool file_scalar_set(const struct setting *setting, void *target, const struct yaml_node *node,
                     struct fault *fault)
{
    bool flag;

    if (setting->type == SETTING_FLAG)
        return yaml_scalar_flag(node, &flag, fault) &&
               setting_scalar_set(setting, target, flag ? "true" : "false", fault);
    if (setting->type == SETTING_TEXT || setting->type == SETTING_WORDS)
        return file_text_is_good(setting, node, fault) &&
               setting_scalar_set_shown(setting, target, node->text, file_text_shown(node), fault);
    if (node->kind == YAML_KIND_SCALAR)
        return word_set(setting, target, node, fault);
    fault_set(fault, "expected %s, but here is %s",
              setting_is_quantity(setting) ? setting_expectation(setting->type) : "a word",
              yaml_node_kind_name(node));
    return false;
}
