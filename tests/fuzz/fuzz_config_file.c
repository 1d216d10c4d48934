/* The reader of configuration files over any bytes, and what the settings mean together. Places lie in the
 * text, values are in their ranges, also after a mistake, and the same text gives the same routes and the
 * same mistakes again. What config_print writes gives the same routes, too. */
#include "config/config_file.h"
#include "config/config_print.h"
#include "config/setting_scalar.h"
#include "config/setting_value.h"
#include "config/yaml_text.h"

#include "base/utf8.h"
#include "options.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

enum {
    PRINTED_MAX = 10, /* routes: printing takes long, and a file has a limit of values */
    ROUTES_CHECKED_MAX = 8
};

static const char secret[] = "s3cret-value";

static void expect(bool right)
{
    if (!right)
        abort();
}

static const char *look_up(const char *name)
{
    expect(*name);
    return strchr("ABC", *name) ? secret : strchr("DE", *name) ? "" : strchr("FG", *name) ? "7" : NULL;
}

/* A place is in the text, at most directly behind the end of a line. */
static void check_place(const struct yaml_text *text, struct place place)
{
    struct yaml_text line = yaml_text_line(text, place.line);
    struct yaml_text rest = yaml_text_from(&line, place.column);

    expect(place.line >= 1 && place.column >= 1);
    expect(rest.length || place.column == 1 || yaml_text_from(&line, place.column - 1).length);
}

static void check_secret(const struct yaml_text *text, const struct mistakes *mistakes)
{
    /* A text that has the words of the secret may be quoted. */
    if (memchr(text->bytes, '\\', text->length) || memmem(text->bytes, text->length, secret, strlen(secret)))
        return;
    for (size_t i = 0; i < mistakes->kept; i++)
        expect(!strstr(mistakes->items[i].text, secret));
}

static void check_mistakes(struct yaml_text text, const struct mistakes *mistakes)
{
    struct mistakes unused;

    mistakes_init(&unused, "text");
    bool is_text = yaml_text_check(&text, &unused);
    for (size_t i = 0; i < mistakes->kept && i < 100; i++) {
        const char *words = mistakes->items[i].text;
        expect(*words && !strchr(words, '\n') && utf8_is_valid(words, strlen(words)));
        if (is_text && mistakes->items[i].place.line)
            check_place(&text, mistakes->items[i].place);
    }
    mistakes_deinit(&unused);
}

static void check_value(const struct setting *setting, const struct config *config)
{
    const void *field = (const char *)config + setting->offset;

    if (setting_is_quantity(setting)) {
        uint64_t value = *(const uint64_t *)field;
        expect((value >= setting->min && (!setting->max || value <= setting->max)) ||
               (setting->zero_word && !value));
    } else if (setting->type == SETTING_CHOICE) {
        unsigned choice = *(const unsigned *)field;
        for (unsigned i = 0; i <= choice; i++)
            expect(setting->choices[i]);
    } else if (setting->type == SETTING_LIST) {
        const struct setting_list *list = field;
        for (size_t i = 0; i < list->count; i++)
            expect(list->items[i].place.line &&
                   (list->items[i].kind != setting->kind || !list->items[i].parts == !setting->parts));
    }
}

static void check_route(const struct settings_table *table, const struct config *route,
                        const struct config *again)
{
    for (size_t i = 0; i < table->count; i++) {
        check_value(&table->rows[i], route);
        expect(setting_value_equal(&table->rows[i], route, again));
        expect(route->sources[i].is_given == again->sources[i].is_given);
        expect(!route->sources[i].is_given || route->sources[i].place.line);
    }
}

static void check_good(const struct settings_table *table, const struct config_file *file)
{
    expect(file->count);
    for (size_t i = 0; i < file->count; i++) {
        const struct config *route = &file->routes[i];
        expect(route->listen.count && route->upstream.count && route->name && *route->name);
        for (size_t k = 0; k < table->count; k++)
            expect(route->sources[k].is_given || !setting_is_required(table, &table->rows[k]));
        for (size_t k = 0; k < i; k++)
            expect(strcmp(file->routes[k].name, route->name) != 0);
    }
}

/* The printed file reads no variable: it has the values. */
static void check_printed(const struct settings_table *table, const struct config_file *file)
{
    char *text = NULL;
    size_t length = 0;
    struct fault fault;
    struct config_file again;
    struct mistakes mistakes;
    FILE *out = open_memstream(&text, &length);

    expect(out && config_print(file->routes, file->count, out, &fault) && fclose(out) == 0);
    mistakes_init(&mistakes, "printed");
    bool is_good = config_file_read_text(&again, text, length, NULL, &mistakes);
    mistakes_print(&mistakes, stderr);
    expect(is_good && again.count == file->count);
    for (size_t i = 0; i < file->count; i++) {
        for (size_t k = 0; k < table->count; k++)
            expect(setting_value_equal(&table->rows[k], &file->routes[i], &again.routes[i]));
    }
    config_file_free(&again);
    mistakes_deinit(&mistakes);
    free(text);
}

/* The settings are used also if the file has mistakes. */
static void check_options(const struct config_file *file, struct mistakes *mistakes)
{
    struct process_options process;
    struct options options;
    size_t before = mistakes->count;

    if (!file->count)
        return;
    bool is_good = process_options_from_config(&process, &file->routes[0], mistakes);
    expect(process.workers >= 1 && process.workers <= WORKER_GROUP_MAX);
    for (size_t i = 0; i < file->count && i < ROUTES_CHECKED_MAX; i++) {
        is_good = options_from_config(&options, &file->routes[i], process.workers, mistakes) && is_good;
        expect(options.route.name && options.listen.count <= LISTENER_SOCKETS_MAX);
        options_deinit(&options);
    }
    expect(is_good == (mistakes->count == before));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    const struct settings_table table = config_settings(CONFIG_FILE);
    const char *text = (const char *)bytes;
    struct config_file file, again;
    struct mistakes mistakes, mistakes_again;

    mistakes_init(&mistakes, "one");
    mistakes_init(&mistakes_again, "again");
    bool is_good = config_file_read_text(&file, text, length, look_up, &mistakes);
    expect(is_good == config_file_read_text(&again, text, length, look_up, &mistakes_again));
    expect(is_good == !mistakes.count && mistakes.count == mistakes_again.count);
    expect(mistakes.kept == mistakes_again.kept && file.count == again.count);
    for (size_t i = 0; i < mistakes.kept; i++)
        expect(strcmp(mistakes.items[i].text, mistakes_again.items[i].text) == 0);
    for (size_t i = 0; i < file.count; i++)
        check_route(&table, &file.routes[i], &again.routes[i]);
    if (is_good)
        check_good(&table, &file);
    if (is_good && file.count <= PRINTED_MAX)
        check_printed(&table, &file);
    check_options(&file, &mistakes);
    check_secret(&(struct yaml_text) { text, length }, &mistakes);
    check_mistakes((struct yaml_text) { text, length }, &mistakes);
    config_file_free(&file);
    config_file_free(&again);
    mistakes_deinit(&mistakes);
    mistakes_deinit(&mistakes_again);
    return 0;
}
