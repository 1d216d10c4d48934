#include "config/option_words.h"

#include "config/setting_value.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { ROUTE_BYTES = 32 };

static const char option_letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-";

/* ---- which setting ---- */

/* Whether the setting is about TLS of the other side. */
static bool is_of_other_side(const struct setting *setting, enum side side)
{
    const size_t first = offsetof(struct config, tls);

    return setting->offset >= first && setting->offset < first + SIDE_COUNT * sizeof(struct config_tls) &&
           (setting->offset - first) / sizeof(struct config_tls) != side;
}

/* How an option is written. */
struct option_word {
    enum { OPTION_NAME, OPTION_BEGINNING } form; /* --cert, --allow-* */
    const char *letters;                         /* without the dashes in front and the asterisk; borrowed */
    size_t length;
};

static bool word_fits(const struct option_word *word, const struct setting *setting)
{
    return strncmp(setting->name, word->letters, word->length) == 0 &&
           (word->form == OPTION_BEGINNING || !setting->name[word->length]);
}

/* The setting of a file. Of several settings it is the last one: the settings --allow-* that admit peers come
 * after the others. NULL: none. */
static const struct setting *setting_of(const struct settings_table *table, const struct option_word *word,
                                        enum side side)
{
    for (size_t i = table->count; i-- > 0;) {
        const struct setting *setting = &table->rows[i];
        if (setting->path && setting_is_in(table, setting) && !is_of_other_side(setting, side) &&
            word_fits(word, setting))
            return setting;
    }
    return NULL;
}

/* ---- where it stands ---- */

/* Finds a part of an item that was given as a map; else the item is all there is. */
static void part_locate(const struct setting *setting, const struct setting_item *item, const char *name,
                        struct option_location *to)
{
    const struct settings_table *parts = &setting->parts->table;
    const struct setting *part = setting_find(parts, name, strlen(name));
    const struct setting_source *source = setting_source(parts, item->parts, part);
    size_t used = strlen(to->path);

    if (!source->is_given)
        return;
    snprintf(to->path + used, sizeof to->path - used, ".%s", part->path);
    to->place = source->place;
}

void option_words_locate(const struct config *config, enum side side, const struct option_value *value,
                         struct option_location *to)
{
    const struct settings_table table = config_settings(CONFIG_FILE);
    const struct option_word word = { OPTION_NAME, value->option, strlen(value->option) };
    const struct setting *setting = setting_of(&table, &word, side);
    char route[ROUTE_BYTES] = "";

    assert(config->mode == CONFIG_FILE && setting);
    *to = (struct option_location) { .path = "" };
    if (!setting->is_for_process)
        snprintf(route, sizeof route, "routes[%u].", config->index);
    if (setting->type == SETTING_LIST && setting_takes_value(setting)) {
        const struct setting_list *list = (const void *)((const char *)config + setting->offset);
        bool is_there = value->index < list->count;
        snprintf(to->path, sizeof to->path, "%s%s[%zu]", route, setting->path,
                 is_there ? list->items[value->index].index : value->index);
        if (!is_there)
            return;
        to->place = list->items[value->index].place;
        if (value->part)
            part_locate(setting, &list->items[value->index], value->part, to);
        return;
    }
    const struct setting_source *source = &config->sources[setting - table.rows];
    snprintf(to->path, sizeof to->path, "%s%s", route, setting->path);
    if (source->is_given)
        to->place = source->place;
}

/* ---- texts ---- */

/* Writes the word that begins at `text` with "--"; returns its length, or 0: it names no setting. */
static size_t word_put(FILE *out, const char *text, enum side side)
{
    const struct settings_table table = config_settings(CONFIG_FILE);
    struct option_word word = { OPTION_NAME, text + 2, strspn(text + 2, option_letters) };

    if (!word.length)
        return 0;
    if (word.letters[word.length - 1] == '-' && word.letters[word.length] == '*')
        word.form = OPTION_BEGINNING;
    const struct setting *setting = setting_of(&table, &word, side);
    if (!setting)
        return 0;
    if (word.form == OPTION_NAME) {
        fputs(setting->path, out);
        return 2 + word.length;
    }
    /* The path ends as the option does, with other signs between its words. */
    size_t rest = strlen(setting->name) - word.length;
    fprintf(out, "%.*s*", (int)(strlen(setting->path) - rest), setting->path);
    return 2 + word.length + 1;
}

char *option_words_translate(const char *text, enum side side)
{
    char *translated = NULL;
    size_t size;
    FILE *out = open_memstream(&translated, &size);
    char before = ' ';

    if (!out)
        return NULL;
    while (*text) {
        bool begins = strncmp(text, "--", 2) == 0 && strchr(" (", before);
        size_t taken = begins ? word_put(out, text, side) : 0;
        if (!taken)
            fputc(text[taken++], out);
        text += taken;
        before = text[-1];
    }
    return fclose(out) == 0 ? translated : NULL;
}
