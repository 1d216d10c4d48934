#include "config/config_print.h"

#include "base/utf8.h"
#include "config/file_outline.h"
#include "config/setting_scalar.h"
#include "config/setting_value.h"
#include "config/yaml_quote.h"

#include <stdlib.h>
#include <string.h>

/* What is being written: the settings of one table in one map of the file. */
struct printer {
    FILE *out;
    struct settings_table table;
    enum file_scope scope;
    const void *target;   /* the struct of the table */
    const void *defaults; /* the same with its defaults; NULL: a setting that was not given has its default */
    unsigned depth;       /* of the map */
    unsigned item_depth;  /* the next line at this depth begins an item of a list; 0: none */
    struct fault *fault;  /* set: a text cannot be written */
    bool has_failed;
};

static void line_begin(struct printer *printer)
{
    bool is_item = printer->item_depth;

    fprintf(printer->out, "%*s%s", (int)(2 * printer->depth - (is_item ? 2 : 0)), "", is_item ? "- " : "");
    printer->item_depth = 0;
}

static void text_write(struct printer *printer, const struct setting *setting, const char *text)
{
    if (utf8_is_valid(text, strlen(text))) {
        yaml_quote_text(text, printer->out);
    } else if (!printer->has_failed) {
        fault_set(printer->fault, "%s: the text is not UTF-8", setting->path);
        printer->has_failed = true;
    }
}

/* A scalar that has a value. */
static void scalar_write(struct printer *printer, const struct setting *setting)
{
    char text[64];

    if (setting->type == SETTING_TEXT || setting->type == SETTING_WORDS) {
        text_write(printer, setting, *(const char *const *)((const char *)printer->target + setting->offset));
        return;
    }
    (void)setting_scalar_format(setting, printer->target, text, sizeof text);
    if (setting->type == SETTING_CHOICE || (setting->zero_word && strcmp(text, setting->zero_word) == 0))
        yaml_quote_text(text, printer->out);
    else
        fputs(text, printer->out);
}

/* ---- what has a value ---- */

static const struct setting_list *list_of(const struct printer *printer, const struct setting *setting)
{
    return (const struct setting_list *)((const char *)printer->target + setting->offset);
}

static size_t items_of_kind(const struct setting_list *list, unsigned kind)
{
    size_t count = 0;

    for (size_t i = 0; i < list->count; i++)
        count += list->items[i].kind == kind;
    return count;
}

/* Whether the map that has the setting would switch something on that is off. */
static bool is_off(const struct printer *printer, const struct setting *setting)
{
    const char *dot = strrchr(setting->path, '.');
    size_t length = dot ? (size_t)(dot - setting->path) + 1 : 0;
    bool is_switch = false, is_given = false;

    for (size_t i = 0; i < printer->table.count; i++) {
        const struct setting *other = &printer->table.rows[i];
        if (!other->path || strncmp(other->path, setting->path, length) != 0 ||
            strchr(other->path + length, '.'))
            continue;
        is_switch = is_switch || other->map_is_switch;
        is_given =
            is_given || setting_source(&printer->table, (void *)(uintptr_t)printer->target, other)->is_given;
    }
    return is_switch && !is_given;
}

/* A quantity that may not be 0 has no value while it is 0. */
static bool has_value(const struct printer *printer, const struct setting *setting)
{
    const void *field = (const char *)printer->target + setting->offset;

    if (is_off(printer, setting))
        return false;
    if (setting->type == SETTING_LIST)
        return items_of_kind(list_of(printer, setting), setting->kind);
    if (setting->type == SETTING_TEXT || setting->type == SETTING_WORDS)
        return *(const char *const *)field;
    if (setting_is_quantity(setting))
        return *(const uint64_t *)field || setting->zero_word || !setting->min;
    return true;
}

static bool map_has_value(const struct printer *printer, const char *path)
{
    for (size_t i = 0; i < printer->table.count; i++) {
        const struct setting *setting = &printer->table.rows[i];
        if (file_outline_has(&printer->table, printer->scope, setting) &&
            strncmp(setting->path, path, strlen(path)) == 0 && has_value(printer, setting))
            return true;
    }
    return false;
}

/* The sources of an item that was written as one text are not set, so the values are compared, too. */
static bool is_default(const struct printer *printer, const struct setting *setting)
{
    const struct setting_source *source =
        setting_source(&printer->table, (void *)(uintptr_t)printer->target, setting);

    return !source->is_given &&
           (!printer->defaults || setting_value_equal(setting, printer->target, printer->defaults));
}

/* ---- lists ---- */

static void map_print(struct printer *printer);

static void item_print(struct printer *printer, const struct setting *setting,
                       const struct setting_item *item)
{
    const struct setting_parts *parts = setting->parts;
    void *defaults = calloc(1, parts->size);

    if (!defaults) {
        fault_set(printer->fault, "out of memory");
        printer->has_failed = true;
        return;
    }
    settings_set_defaults(&parts->table, defaults);
    struct printer inner = {
        .out = printer->out,
        .table = parts->table,
        .scope = FILE_SCOPE_ROUTE,
        .target = item->parts,
        .defaults = defaults,
        .depth = printer->depth + 2,
        .item_depth = printer->depth + 2,
        .fault = printer->fault,
        .has_failed = printer->has_failed,
    };
    map_print(&inner);
    printer->has_failed = inner.has_failed;
    free(defaults);
}

static void items_print(struct printer *printer, const struct setting *setting)
{
    const struct setting_list *list = list_of(printer, setting);

    fputc('\n', printer->out);
    for (size_t i = 0; i < list->count; i++) {
        const struct setting_item *item = &list->items[i];
        if (item->kind != setting->kind)
            continue;
        if (setting->parts) {
            item_print(printer, setting, item);
            continue;
        }
        fprintf(printer->out, "%*s- ", (int)(2 * printer->depth + 2), "");
        text_write(printer, setting, item->value);
        fputc('\n', printer->out);
    }
}

/* ---- settings ---- */

static void on_setting(void *target, const struct setting *setting, const char *key)
{
    struct printer *printer = target;

    if (!has_value(printer, setting)) {
        if (!printer->defaults)
            fprintf(printer->out, "%*s# %s: not set\n", (int)(2 * printer->depth), "", key);
        return;
    }
    line_begin(printer);
    fprintf(printer->out, "%s:", key);
    if (setting->type == SETTING_LIST && (setting->parts || setting->value_name)) {
        items_print(printer, setting);
        return;
    }
    fputc(' ', printer->out);
    if (setting->type == SETTING_LIST)
        fputs("true", printer->out);
    else
        scalar_write(printer, setting);
    fputs(is_default(printer, setting) ? " # default\n" : "\n", printer->out);
}

static void on_map(void *target, const char *key, const char *path)
{
    struct printer *printer = target;

    line_begin(printer);
    fprintf(printer->out, "%s%s:\n", map_has_value(printer, path) ? "" : "# ", key);
    printer->depth++;
}

static void on_map_end(void *target)
{
    struct printer *printer = target;

    printer->depth--;
}

static void map_print(struct printer *printer)
{
    const struct file_outline_visitor visitor = {
        .target = printer, .on_setting = on_setting, .on_map = on_map, .on_map_end = on_map_end
    };

    file_outline_visit(&printer->table, printer->scope, &visitor);
}

bool config_print(const struct config *configs, size_t count, FILE *out, struct fault *fault)
{
    struct printer printer = {
        .out = out,
        .table = config_settings(CONFIG_FILE),
        .scope = FILE_SCOPE_PROCESS,
        .target = &configs[0],
        .fault = fault,
    };

    map_print(&printer);
    printer.scope = FILE_SCOPE_ROUTE;
    fputs("routes:\n", out);
    for (size_t i = 0; i < count; i++) {
        struct config route = configs[i];
        if (!route.name)
            route.name = route.mode == CONFIG_CLIENT ? "client" : "server";
        printer.target = &route;
        printer.depth = printer.item_depth = 2;
        map_print(&printer);
    }
    return !printer.has_failed;
}
