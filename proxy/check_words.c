#include "check_words.h"

#include "config/config_check.h"
#include "config/option_words.h"

#include <stdio.h>

static void on_locate(const void *owner, const struct setting_reference *reference, struct subject *subject)
{
    const struct check_words *words = owner;
    const struct option_value value = { reference->option, reference->index, reference->part };
    struct option_location location;

    option_words_locate(words->config, words->side, &value, &location);
    snprintf(subject->setting, sizeof subject->setting, "%s", location.path);
    subject->line = location.place.line;
    subject->column = location.place.column;
}

static char *on_translate(const void *owner, const char *text)
{
    return option_words_translate(text, ((const struct check_words *)owner)->side);
}

void check_words_use(struct report *report, struct check_words *words, const struct config *config,
                     enum side side)
{
    *words =
        (struct check_words) { .words = { words, on_locate, on_translate }, .config = config, .side = side };
    report_use_words(report, config->mode == CONFIG_FILE ? &words->words : NULL);
}

struct subject check_words_subject(const struct report *report, const struct config *config, size_t field,
                                   size_t at)
{
    const struct setting_list *list = (const void *)((const char *)config + field);
    const struct settings_table table = config_settings(config->mode);
    const struct setting_item *item = &list->items[at];
    const struct setting *setting = setting_at(&table, field, item->kind);
    bool is_hidden = config_item_is_hidden(setting->parts, item);
    struct subject subject;

    subject_of_item(&subject, report->words, setting->name, at, is_hidden ? NULL : item->value);
    return subject;
}
