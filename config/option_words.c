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

/* The setting of a file whose option has this name or, if `is_beginning`, begins with this name. Of several
 * settings it is the last one: the settings `--allow-…` that admit peers come after the others. NULL: none.
 */
static const struct setting *setting_of(const char *name, size_t length, bool is_beginning, enum side side)
{
    const struct settings_table table = config_settings(CONFIG_FILE);

    for (size_t i = table.count; i-- > 0;) {
        const struct setting *setting = &table.rows[i];
        if (setting->path && setting_is_in(&table, setting) && !is_of_other_side(setting, side) &&
            strncmp(setting->name, name, length) == 0 && (is_beginning || !setting->name[length]))
            return setting;
    }
    return NULL;
}

/* ---- where it stands ---- */

void option_words_locate(const struct config *config, enum side side, const char *option, size_t index,
                         struct option_location *to)
{
    const struct settings_table table = config_settings(CONFIG_FILE);
    const struct setting *setting = setting_of(option, strlen(option), false, side);
    char route[ROUTE_BYTES] = "";

    assert(config->mode == CONFIG_FILE && setting);
    *to = (struct option_location) { .path = "" };
    if (!setting->is_for_process)
        snprintf(route, sizeof route, "routes[%u].", config->index);
    if (setting->type == SETTING_LIST && setting_takes_value(setting)) {
        const struct setting_list *list = (const void *)((const char *)config + setting->offset);
        snprintf(to->path, sizeof to->path, "%s%s[%zu]", route, setting->path, index);
        if (index < list->count)
            to->place = list->items[index].place;
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
    const char *name = text + 2;
    size_t length = strspn(name, option_letters);
    bool is_beginning = length && name[length - 1] == '-' && name[length] == '*';
    const struct setting *setting = length ? setting_of(name, length, is_beginning, side) : NULL;

    if (!setting)
        return 0;
    if (!is_beginning) {
        fputs(setting->path, out);
        return 2 + length;
    }
    /* The path ends as the option does, with other signs between its words. */
    size_t rest = strlen(setting->name) - length;
    fprintf(out, "%.*s*", (int)(strlen(setting->path) - rest), setting->path);
    return 2 + length + 1;
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
