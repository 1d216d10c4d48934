#include "config/json_schema.h"

#include "config/config_file.h"
#include "config/file_help.h"
#include "config/file_keys.h"
#include "config/file_outline.h"
#include "config/setting_scalar.h"

#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_gen.h>

struct writer {
    yajl_gen gen;
    struct settings_table table; /* of the file */
    enum file_scope scope;       /* of the settings that are written */
    bool has_failed;
};

/* ---- JSON ---- */

static void note(struct writer *writer, yajl_gen_status status)
{
    writer->has_failed = writer->has_failed || status != yajl_gen_status_ok;
}

static void text(struct writer *writer, const char *value)
{
    note(writer, yajl_gen_string(writer->gen, (const unsigned char *)value, strlen(value)));
}

static void begin(struct writer *writer)
{
    note(writer, yajl_gen_map_open(writer->gen));
}

static void end(struct writer *writer)
{
    note(writer, yajl_gen_map_close(writer->gen));
}

static void begin_key(struct writer *writer, const char *key)
{
    text(writer, key);
    begin(writer);
}

static void begin_array(struct writer *writer, const char *key)
{
    text(writer, key);
    note(writer, yajl_gen_array_open(writer->gen));
}

static void end_array(struct writer *writer)
{
    note(writer, yajl_gen_array_close(writer->gen));
}

static void member(struct writer *writer, const char *key, const char *value)
{
    text(writer, key);
    text(writer, value);
}

static void number(struct writer *writer, const char *key, uint64_t value)
{
    text(writer, key);
    note(writer, yajl_gen_integer(writer->gen, (long long)value));
}

/* A definition of its own. */
static void alternative(struct writer *writer, const char *key, const char *value)
{
    begin(writer);
    member(writer, key, value);
    end(writer);
}

static void closed(struct writer *writer)
{
    text(writer, "additionalProperties");
    note(writer, yajl_gen_bool(writer->gen, false));
}

/* ---- the value of a setting ---- */

#define REFERENCE "#/$defs/reference"

static bool is_number(const char *value)
{
    char *rest;

    strtod(value, &rest);
    return *value && !*rest;
}

/* YAML reads a choice such as 1.2 as a number. */
static void choices_write(struct writer *writer, const struct setting *setting)
{
    begin(writer);
    begin_array(writer, "enum");
    for (unsigned i = 0; setting->choices[i]; i++) {
        const char *choice = setting->choices[i];
        text(writer, choice);
        if (is_number(choice))
            note(writer, yajl_gen_number(writer->gen, choice, strlen(choice)));
    }
    end_array(writer);
    end(writer);
}

static void integer_write(struct writer *writer, const struct setting *setting)
{
    begin(writer);
    member(writer, "type", "integer");
    number(writer, "minimum", setting->min);
    if (setting->max)
        number(writer, "maximum", setting->max);
    end(writer);
}

static void zero_write(struct writer *writer, const struct setting *setting)
{
    begin(writer);
    begin_array(writer, "enum");
    note(writer, yajl_gen_integer(writer->gen, 0));
    text(writer, "0");
    if (setting->zero_word)
        text(writer, setting->zero_word);
    end_array(writer);
    end(writer);
}

static void quantity_write(struct writer *writer, const struct setting *setting)
{
    if (setting->type == SETTING_DURATION)
        alternative(writer, "$ref", "#/$defs/duration");
    else
        alternative(writer, "$ref", setting->type == SETTING_BYTES ? "#/$defs/size" : "#/$defs/digits");
    if (setting->type != SETTING_DURATION)
        integer_write(writer, setting);
    if (setting->zero_word || !setting->min)
        zero_write(writer, setting);
}

/* The name of the definition of an item of a list. */
static const char *item_name(const struct setting *setting, char name[KEY_PATH_BYTES])
{
    snprintf(name, KEY_PATH_BYTES, "#/$defs/%s%s",
             setting->parts->name ? setting->parts->name : setting->path,
             setting->parts->name ? "" : ".item");
    return name;
}

static void items_write(struct writer *writer, const struct setting *setting)
{
    char name[KEY_PATH_BYTES];

    alternative(writer, "$ref", item_name(setting, name));
    begin(writer);
    member(writer, "type", "array");
    if (setting->min || setting_is_required(&writer->table, setting))
        number(writer, "minItems", 1);
    text(writer, "items");
    alternative(writer, "$ref", name);
    end(writer);
}

static void value_write(struct writer *writer, const struct setting *setting)
{
    bool is_plain_list = setting->type == SETTING_LIST && !setting->parts;

    if (setting->type == SETTING_TEXT) {
        member(writer, "$ref", "#/$defs/text");
    } else if (setting->type == SETTING_FLAG || (is_plain_list && !setting->value_name)) {
        member(writer, "$ref", "#/$defs/flag");
    } else if (setting->type == SETTING_WORDS) {
        member(writer, "$ref", "#/$defs/words");
    } else if (is_plain_list) {
        member(writer, "$ref", "#/$defs/texts");
    } else {
        begin_array(writer, "anyOf");
        if (setting->type == SETTING_LIST)
            items_write(writer, setting);
        else if (setting->type == SETTING_CHOICE)
            choices_write(writer, setting);
        else
            quantity_write(writer, setting);
        if (setting->type != SETTING_LIST)
            alternative(writer, "$ref", REFERENCE);
        end_array(writer);
    }
}

/* ---- a setting ---- */

static void option_print(const struct setting *setting, FILE *out)
{
    const struct settings_table client = config_settings(CONFIG_CLIENT),
                                server = config_settings(CONFIG_SERVER);
    bool is_of_client = setting_is_in(&client, setting), is_of_server = setting_is_in(&server, setting);

    if (!is_of_client && !is_of_server)
        return;
    fprintf(out, "\nOption: --%s", setting->name);
    if (is_of_client != is_of_server)
        fprintf(out, " of %s", is_of_client ? "husk client" : "husk server");
}

/* `is_row`: of the table of files; otherwise of the parts of an item, which have no options. */
static void description_write(struct writer *writer, const struct setting *setting)
{
    bool is_row = setting >= writer->table.rows && setting < writer->table.rows + writer->table.count;
    char *description = NULL;
    size_t length;
    FILE *out = open_memstream(&description, &length);

    if (!out) {
        writer->has_failed = true;
        return;
    }
    file_help_print_meaning(&writer->table, setting, out);
    fputs("\nValue: ", out);
    file_help_print_value(setting, out);
    if (is_row)
        option_print(setting, out);
    if (fclose(out) == 0)
        member(writer, "description", description);
    else
        writer->has_failed = true;
    free(description);
}

static void default_write(struct writer *writer, const struct setting *setting)
{
    if (setting->type == SETTING_FLAG) {
        text(writer, "default");
        note(writer, yajl_gen_bool(writer->gen, false));
    } else if (setting->fallback && setting_is_quantity(setting) && is_number(setting->fallback)) {
        text(writer, "default");
        note(writer, yajl_gen_number(writer->gen, setting->fallback, strlen(setting->fallback)));
    } else if (setting->fallback) {
        member(writer, "default", setting->fallback);
    }
}

static void on_setting(void *target, const struct setting *setting, const char *key)
{
    struct writer *writer = target;

    begin_key(writer, key);
    description_write(writer, setting);
    default_write(writer, setting);
    value_write(writer, setting);
    end(writer);
}

static void object_begin(struct writer *writer)
{
    member(writer, "type", "object");
    closed(writer);
    begin_key(writer, "properties");
}

static void on_map(void *target, const char *key, const char *path)
{
    struct writer *writer = target;
    char before[KEY_PATH_BYTES];
    const struct file_keys keys = { .table = &writer->table, .scope = writer->scope, .prefix = before };

    snprintf(before, sizeof before, "%.*s", (int)(strlen(path) - strlen(key) - 1), path);
    begin_key(writer, key);
    if (file_keys_has_switch(&keys, key))
        number(writer, "minProperties", 1);
    object_begin(writer);
}

static void on_map_end(void *target)
{
    end(target);
    end(target);
}

static void settings_write(struct writer *writer, const struct settings_table *table, enum file_scope scope)
{
    const struct file_outline_visitor visitor = {
        .target = writer, .on_setting = on_setting, .on_map = on_map, .on_map_end = on_map_end
    };

    writer->scope = scope;
    file_outline_visit(table, scope, &visitor);
}

/* ---- definitions ---- */

static void text_definition(struct writer *writer, const char *name, const char *description,
                            const char *pattern)
{
    begin_key(writer, name);
    member(writer, "description", description);
    member(writer, "type", "string");
    member(writer, "pattern", pattern);
    end(writer);
}

/* One text, or a list of at least `least` texts. */
static void texts_definition(struct writer *writer, const char *name, unsigned least)
{
    begin_key(writer, name);
    begin_array(writer, "anyOf");
    alternative(writer, "$ref", "#/$defs/text");
    begin(writer);
    member(writer, "type", "array");
    number(writer, "minItems", least);
    text(writer, "items");
    alternative(writer, "$ref", "#/$defs/text");
    end(writer);
    end_array(writer);
    end(writer);
}

static void scalar_definitions(struct writer *writer)
{
    text_definition(writer, "reference", "${NAME} or ${NAME:-default}: a value from the environment",
                    "\\$\\{");
    text_definition(writer, "duration", "a duration such as 250ms, 5s, 2m or 1h", "^[0-9]+(ms|s|m|h)$");
    text_definition(writer, "size", "a size such as 65536, 64KiB or 4MiB", "^[0-9]+(KiB|MiB|GiB)?$");
    text_definition(writer, "digits", "a whole number in quotes", "^[0-9]+$");

    begin_key(writer, "text");
    begin_array(writer, "type");
    text(writer, "string");
    text(writer, "number");
    end_array(writer);
    number(writer, "minLength", 1);
    end(writer);

    texts_definition(writer, "texts", 0);
    texts_definition(writer, "words", 1);

    begin_key(writer, "flag");
    begin_array(writer, "anyOf");
    alternative(writer, "type", "boolean");
    begin(writer);
    begin_array(writer, "enum");
    text(writer, "true");
    text(writer, "false");
    end_array(writer);
    end(writer);
    alternative(writer, "$ref", REFERENCE);
    end_array(writer);
    end(writer);
}

/* An item is a map; an item that begins with an unnamed value can be a text, too. */
static void item_definition(struct writer *writer, const struct setting *setting)
{
    const struct setting_parts *parts = setting->parts;
    char name[KEY_PATH_BYTES];

    begin_key(writer, item_name(setting, name) + strlen("#/$defs/"));
    begin_array(writer, "anyOf");
    begin(writer);
    object_begin(writer);
    settings_write(writer, &parts->table, FILE_SCOPE_ROUTE);
    end(writer);
    begin_array(writer, "required");
    for (size_t i = 0; i < parts->table.count; i++) {
        if (setting_is_required(&parts->table, &parts->table.rows[i]))
            text(writer, parts->table.rows[i].path);
    }
    end_array(writer);
    end(writer);
    if (parts->positionals == 1)
        alternative(writer, "$ref", "#/$defs/text");
    end_array(writer);
    end(writer);
}

/* Whether a row before this one has the same parts, under their own name. */
static bool is_defined(const struct writer *writer, size_t row)
{
    const struct setting *rows = writer->table.rows;

    for (size_t i = 0; rows[row].parts->name && i < row; i++) {
        if (rows[i].parts == rows[row].parts && rows[i].path && setting_is_in(&writer->table, &rows[i]))
            return true;
    }
    return false;
}

static void definitions(struct writer *writer)
{
    begin_key(writer, "$defs");
    scalar_definitions(writer);
    for (size_t i = 0; i < writer->table.count; i++) {
        const struct setting *setting = &writer->table.rows[i];
        if (setting->parts && setting->path && setting_is_in(&writer->table, setting) &&
            !is_defined(writer, i))
            item_definition(writer, setting);
    }
    begin_key(writer, "route");
    object_begin(writer);
    settings_write(writer, &writer->table, FILE_SCOPE_ROUTE);
    end(writer);
    end(writer);
    end(writer);
}

/* ---- the file ---- */

/* "required": [key] */
static void required_key(struct writer *writer, const char *key)
{
    begin_array(writer, "required");
    text(writer, key);
    end_array(writer);
}

/* A setting that every route needs is in the defaults, or in each route. */
static void required_write(struct writer *writer, const struct setting *setting)
{
    begin(writer);
    begin_key(writer, "if");
    required_key(writer, "defaults");
    begin_key(writer, "properties");
    begin_key(writer, "defaults");
    required_key(writer, setting->path);
    end(writer);
    end(writer);
    end(writer);
    begin_key(writer, "else");
    begin_key(writer, "properties");
    begin_key(writer, "routes");
    begin_key(writer, "items");
    required_key(writer, setting->path);
    end(writer);
    end(writer);
    end(writer);
    end(writer);
    end(writer);
}

static void schema_write(struct writer *writer)
{
    begin(writer);
    member(writer, "$schema", "https://json-schema.org/draft/2020-12/schema");
    member(writer, "title", "configuration file of husk");
    object_begin(writer);
    settings_write(writer, &writer->table, FILE_SCOPE_PROCESS);
    begin_key(writer, "defaults");
    member(writer, "description", "settings that every route begins with");
    member(writer, "$ref", "#/$defs/route");
    end(writer);
    begin_key(writer, "routes");
    member(writer, "description",
           "each route listens on addresses and carries what it accepts to its upstreams");
    member(writer, "type", "array");
    number(writer, "minItems", 1);
    number(writer, "maxItems", CONFIG_FILE_ROUTES_MAX);
    text(writer, "items");
    alternative(writer, "$ref", "#/$defs/route");
    end(writer);
    end(writer);
    required_key(writer, "routes");
    begin_array(writer, "allOf");
    for (size_t i = 0; i < writer->table.count; i++) {
        if (setting_is_required(&writer->table, &writer->table.rows[i]))
            required_write(writer, &writer->table.rows[i]);
    }
    end_array(writer);
    definitions(writer);
    end(writer);
}

static void on_text(void *out, const char *bytes, size_t length)
{
    fwrite(bytes, 1, length, out);
}

bool json_schema_print(FILE *out)
{
    struct writer writer = { .gen = yajl_gen_alloc(NULL), .table = config_settings(CONFIG_FILE) };

    if (!writer.gen)
        return false;
    yajl_gen_config(writer.gen, yajl_gen_beautify, 1);
    yajl_gen_config(writer.gen, yajl_gen_indent_string, "  ");
    yajl_gen_config(writer.gen, yajl_gen_print_callback, on_text, out);
    schema_write(&writer);
    yajl_gen_free(writer.gen);
    return !writer.has_failed;
}
