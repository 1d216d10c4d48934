#include "check_words.h"

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
