/* The reader of command lines over any words. The same words give the same settings again, and an item of a
 * list that is written from its parts is the same item.
 *
 * An input is words, separated by zero bytes or ends of lines. */
#include "config/config.h"
#include "config/setting_value.h"
#include "config/settings.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

enum { WORDS_MAX = 200 };

static void expect(bool right)
{
    if (!right)
        abort();
}

static const struct setting_list *list_in(const struct setting *setting, const struct config *config)
{
    return (const struct setting_list *)(const void *)((const char *)config + setting->offset);
}

static void check_items(const struct setting *setting, const struct config *config)
{
    const struct setting_list *list = list_in(setting, config);

    for (size_t i = 0; i < list->count; i++) {
        struct config one = { .mode = config->mode }, other = { .mode = config->mode };
        struct fault fault;
        expect(setting_value_set(setting, &one, list->items[i].value, &fault));
        expect(setting_value_set(setting, &other, list->items[i].value, &fault));
        expect(setting_list_compose(setting, &list_in(setting, &one)->items[0]));
        setting_value_reset(setting, &other);
        expect(setting_value_set(setting, &other, list_in(setting, &one)->items[0].value, &fault));
        setting_value_reset(setting, &one);
        expect(setting_value_set(setting, &one, list->items[i].value, &fault));
        expect(setting_value_equal(setting, &one, &other));
        setting_value_reset(setting, &one);
        setting_value_reset(setting, &other);
    }
}

static void check_same(const struct settings_table *table, const struct config *one,
                       const struct config *other)
{
    struct config copy = { .mode = one->mode };

    for (size_t i = 0; i < table->count; i++) {
        const struct setting *setting = &table->rows[i];
        if (!setting_is_in(table, setting))
            continue;
        expect(setting_value_equal(setting, one, other));
        expect(setting_value_copy(setting, &copy, one));
        expect(setting_value_equal(setting, one, &copy));
        if (setting->parts)
            check_items(setting, one);
    }
    settings_free(table, &copy);
}

/* Sets pointers to the words, of which settings_parse changes the order. */
static int words_point(char **items, char *text, size_t length)
{
    int count = 0;

    for (size_t at = 0; at < length && count < WORDS_MAX; at += strlen(text + at) + 1)
        items[count++] = text + at;
    return count;
}

static void check_mode(enum config_mode mode, char *text, size_t length)
{
    const struct settings_table table = config_settings(mode);
    struct config one = { .mode = mode }, other = { .mode = mode };
    struct fault fault = { .text = "" }, fault_again = { .text = "" };
    char *items[WORDS_MAX], *items_again[WORDS_MAX];
    int positionals = 0;
    const struct settings_words words = { .count = words_point(items, text, length),
                                          .items = items,
                                          .positionals = length % 2 ? &positionals : NULL },
                                again = { .count = words_point(items_again, text, length),
                                          .items = items_again,
                                          .positionals = words.positionals };

    bool is_good = settings_parse(&table, &one, &words, &fault);
    expect(is_good == settings_parse(&table, &other, &again, &fault_again));
    expect(is_good == !*fault.text && strcmp(fault.text, fault_again.text) == 0);
    expect(positionals >= 0 && positionals <= words.count);
    if (is_good)
        check_same(&table, &one, &other);
    settings_free(&table, &one);
    settings_free(&table, &other);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    char *text = malloc(length + 1);

    expect(text);
    memcpy(text, bytes, length);
    text[length] = '\0';
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\n')
            text[i] = '\0';
    }
    check_mode(CONFIG_CLIENT, text, length);
    check_mode(CONFIG_SERVER, text, length);
    free(text);
    return 0;
}
