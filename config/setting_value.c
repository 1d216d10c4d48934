#include "config/setting_value.h"

#include "config/nearest.h"
#include "config/setting_scalar.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct setting_list *list_of(const struct setting *setting, const void *target)
{
    return (struct setting_list *)(uintptr_t)((const char *)target + setting->offset);
}

bool setting_takes_value(const struct setting *setting)
{
    return setting->type != SETTING_FLAG && (setting->type != SETTING_LIST || setting->value_name);
}

/* ---- lists ---- */

/* The memory of the items follows from `count`: a power of two. After list_clear it can be larger. */
static bool list_grow(struct setting_list *list)
{
    size_t count = list->count;

    if ((count & (count - 1)) != 0)
        return true;
    struct setting_item *items = realloc(list->items, (count ? 2 * count : 1) * sizeof *items);
    if (items)
        list->items = items;
    return items;
}

/* The index of the next item of this row. Looks from the end: the last item of the row is near. */
static unsigned index_next(const struct setting *setting, const struct setting_list *list)
{
    size_t at = list->count;

    while (at && list->items[at - 1].kind != setting->kind)
        at--;
    return at ? list->items[at - 1].index + 1 : 0;
}

struct setting_item *setting_list_append(const struct setting *setting, void *target)
{
    struct setting_list *list = list_of(setting, target);

    if (!list_grow(list))
        return NULL;
    struct setting_item *item = &list->items[list->count];
    *item = (struct setting_item) { .kind = setting->kind, .index = index_next(setting, list) };
    if (setting->parts) {
        item->parts = calloc(1, setting->parts->size);
        if (!item->parts)
            return NULL;
        settings_set_defaults(&setting->parts->table, item->parts);
    }
    list->count++;
    return item;
}

static void item_free(const struct setting *setting, struct setting_item *item)
{
    if (item->parts)
        settings_free(&setting->parts->table, item->parts);
    free(item->parts);
    free(item->text);
}

/* Removes the items of this row; the others keep their order. */
static void list_clear(const struct setting *setting, struct setting_list *list)
{
    size_t kept = 0;

    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].kind == setting->kind)
            item_free(setting, &list->items[i]);
        else
            list->items[kept++] = list->items[i];
    }
    list->count = kept;
    if (kept)
        return;
    free(list->items);
    *list = (struct setting_list) { 0 };
}

static bool parts_copy(const struct setting_parts *parts, void *to, const void *from)
{
    const struct settings_table *table = &parts->table;
    const struct setting_source *sources = setting_source(table, (void *)(uintptr_t)from, table->rows);

    if (sources)
        memcpy(setting_source(table, to, table->rows), sources, table->count * sizeof *sources);
    for (size_t i = 0; i < table->count; i++) {
        if (!setting_value_copy(&table->rows[i], to, from))
            return false;
    }
    return true;
}

/* The copy borrows from the same texts as the original, also from those that its items own. */
static bool list_copy(const struct setting *setting, void *to, const void *from)
{
    const struct setting_list *list = list_of(setting, from);

    for (size_t i = 0; i < list->count; i++) {
        const struct setting_item *item = &list->items[i];
        if (item->kind != setting->kind)
            continue;
        struct setting_item *copy = setting_list_append(setting, to);
        if (!copy || (item->parts && !parts_copy(setting->parts, copy->parts, item->parts)))
            return false;
        copy->value = item->value;
        copy->place = item->place;
        copy->index = item->index;
        copy->is_hidden = item->is_hidden;
    }
    return true;
}

static bool item_equal(const struct setting *setting, const struct setting_item *a,
                       const struct setting_item *b)
{
    if (!setting->parts)
        return a->value == b->value || (a->value && b->value && strcmp(a->value, b->value) == 0);
    for (size_t i = 0; i < setting->parts->table.count; i++) {
        if (!setting_value_equal(&setting->parts->table.rows[i], a->parts, b->parts))
            return false;
    }
    return true;
}

static bool list_equal(const struct setting *setting, const struct setting_list *a,
                       const struct setting_list *b)
{
    size_t at_a = 0, at_b = 0;

    for (;; at_a++, at_b++) {
        while (at_a < a->count && a->items[at_a].kind != setting->kind)
            at_a++;
        while (at_b < b->count && b->items[at_b].kind != setting->kind)
            at_b++;
        if (at_a == a->count || at_b == b->count)
            return at_a == a->count && at_b == b->count;
        if (!item_equal(setting, &a->items[at_a], &b->items[at_b]))
            return false;
    }
}

/* ---- an item of parts, as an option writes it ---- */

/* Cuts the next word off the front of *text; NULL: no word is left. Between spaces, quotes, which are
 * removed, keep a space. */
static char *word_cut(char **text, char separator)
{
    const char one[] = { separator, '\0' };

    if (separator != ' ')
        return strsep(text, one);
    char *word = *text + strspn(*text, " \t\n"), *to = word, *from = word;
    bool is_quoted = false;
    if (!*word)
        return NULL;
    for (; *from && (is_quoted || !strchr(" \t\n", *from)); from++) {
        if (*from == '"')
            is_quoted = !is_quoted;
        else
            *to++ = *from;
    }
    *text = *from ? from + 1 : from;
    *to = '\0';
    return word;
}

/* The part that `name` or `name=value` names; NULL: none. Positional parts have no name here. */
static const struct setting *part_find(const struct setting_parts *parts, const char *word)
{
    size_t length = strcspn(word, "=");

    for (size_t i = parts->positionals; i < parts->table.count; i++) {
        const char *name = parts->table.rows[i].name;
        if (!parts->table.rows[i].parts && strlen(name) == length && memcmp(name, word, length) == 0)
            return &parts->table.rows[i];
    }
    return NULL;
}

/* The named part that a person may have meant. */
static struct nearest part_guess(const struct setting_parts *parts, const char *word)
{
    struct nearest nearest = nearest_begin(word, strcspn(word, "="));

    for (size_t i = parts->positionals; i < parts->table.count; i++) {
        if (!parts->table.rows[i].parts)
            nearest_add(&nearest, parts->table.rows[i].name);
    }
    return nearest;
}

/* Several addresses with commas are a common mistake. */
static const char *part_advice(const char *word)
{
    return strchr(word, ':') && !strchr(word, '=')
               ? "; if it is a further address, give it as a value of its own"
               : "";
}

static void part_unknown(const struct setting_parts *parts, const char *word, struct fault *fault)
{
    struct nearest nearest = part_guess(parts, word);

    fault_set(fault, "\"%.*s\" is unknown%s%s%s", (int)nearest.length, word,
              nearest.best ? "; did you mean " : "", nearest.best ? nearest.best : part_advice(word),
              nearest.best ? "?" : "");
}

static bool part_set(const struct setting *part, void *target, const char *value, struct fault *fault)
{
    if (!setting_takes_value(part) && value)
        fault_set(fault, "takes no value");
    else if (setting_takes_value(part) && (!value || !*value))
        fault_set(fault, "needs a value: %s=%s", part->name, part->value_name);
    else if (setting_value_set(part, target, value, fault))
        return true;
    fault_wrap(fault, "%s", part->name);
    return false;
}

/* Which parts have been given. */
struct parts_given {
    bool rows[SETTINGS_MAX];
};

static bool named_part_set(const struct setting_parts *parts, struct parts_given *given, void *target,
                           char *word, struct fault *fault)
{
    const struct setting *part = part_find(parts, word);
    char *equals = strchr(word, '=');

    if (!part) {
        part_unknown(parts, word, fault);
        return false;
    }
    bool *is_given = &given->rows[part - parts->table.rows];
    if (*is_given && part->type != SETTING_LIST) {
        fault_set(fault, "%s: given twice", part->name);
        return false;
    }
    *is_given = true;
    return part_set(part, target, equals ? equals + 1 : NULL, fault);
}

/* Whether a word behind a separator belongs to the path of a Unix socket. */
static bool is_of_path(const struct setting_parts *parts, const char *word)
{
    return *word && !strchr(word, '=') && !part_find(parts, word) && !part_guess(parts, word).best;
}

/* Cuts the words off the end of an address that name a part. A Unix path may contain the separator, and so
 * may a password in an address, which no message shows: user:password@host. */
static char *tail_cut(const struct setting_parts *parts, char *text)
{
    bool is_path = strncmp(text, "unix:", 5) == 0;
    char *tail = NULL, *end = text + strlen(text), *separator;

    while ((separator = memrchr(text, parts->separator, (size_t)(end - text)))) {
        if (is_path ? is_of_path(parts, separator + 1) : strchr(separator + 1, '@') != NULL)
            break;
        if (tail)
            tail[-1] = parts->separator;
        *separator = '\0';
        tail = separator + 1;
        end = separator;
    }
    return tail;
}

/* Reads the value of an option into the parts. Cuts `text` into pieces, which the parts borrow. */
static bool parts_parse(const struct setting_parts *parts, void *target, char *text, struct fault *fault)
{
    struct parts_given given = { { false } };
    char *rest = text, *word;

    if (parts->positionals == 1) {
        rest = tail_cut(parts, text);
        if (!part_set(&parts->table.rows[0], target, text, fault))
            return false;
    }
    for (unsigned i = 0; parts->positionals > 1 && i < parts->positionals; i++) {
        bool is_last = i + 1 == parts->positionals;
        word = is_last || !rest ? rest : word_cut(&rest, parts->separator);
        if (!part_set(&parts->table.rows[i], target, word, fault))
            return false;
        rest = is_last ? NULL : rest;
    }
    while (rest && (word = word_cut(&rest, parts->separator))) {
        if (!named_part_set(parts, &given, target, word, fault))
            return false;
    }
    return true;
}

/* Whether a person may have written a secret: in the place of the name of a variable, or in an address, as
 * user:password@host. */
static bool may_have_secret(const struct setting_parts *parts, const char *text)
{
    bool is_found = parts->positionals == 1 && strncmp(text, "unix:", 5) != 0 && strchr(text, '@');

    for (size_t i = 0; i < parts->table.count; i++)
        is_found = is_found || setting_is_variable(&parts->table.rows[i]);
    return is_found;
}

static bool list_add(const struct setting *setting, void *target, const char *text, struct fault *fault)
{
    if (text && !setting_text_check(setting, text, fault))
        return false;
    struct setting_item *item = setting_list_append(setting, target);
    if (item) {
        item->value = text;
        if (!setting->parts)
            return true;
        assert(text); /* a setting whose items have parts takes a value */
        item->text = strdup(text);
        if (item->text) {
            bool is_good = parts_parse(setting->parts, item->parts, item->text, fault);
            if (!is_good && !may_have_secret(setting->parts, text))
                fault_wrap(fault, "\"%.160s\"", text);
            return is_good;
        }
    }
    fault_set(fault, "out of memory");
    return false;
}

/* Writes a separator and one part. A value that consists of parts stands in parentheses. */
static void part_write(const struct setting_parts *parts, const struct setting *part, const char *value,
                       FILE *out)
{
    bool has_name = part >= parts->table.rows + parts->positionals;
    bool needs_quotes = parts->separator == ' ' && value && strpbrk(value, " \t");
    const char *open = part->parts ? "(" : needs_quotes ? "\"" : "", *close = part->parts ? ")" : open;

    fprintf(out, "%c%s%s%s%s%s", parts->separator, has_name ? part->name : "", has_name && value ? "=" : "",
            open, value ? value : "", close);
}

static void part_compose(const struct setting_parts *parts, const struct setting *part, const void *target,
                         FILE *out)
{
    const struct setting_list *list = list_of(part, target);
    char text[64];

    if (part->type == SETTING_FLAG) {
        part_write(parts, part, NULL, out);
    } else if (part->type == SETTING_TEXT || part->type == SETTING_WORDS) {
        part_write(parts, part, *(const char *const *)((const char *)target + part->offset), out);
    } else if (part->type != SETTING_LIST) {
        (void)setting_scalar_format(part, target, text, sizeof text);
        part_write(parts, part, text, out);
    }
    for (size_t i = 0; part->type == SETTING_LIST && i < list->count; i++) {
        if (list->items[i].kind == part->kind)
            part_write(parts, part, list->items[i].value, out);
    }
}

bool setting_list_compose(const struct setting *setting, struct setting_item *item)
{
    const struct setting_parts *parts = setting->parts;
    void *defaults = calloc(1, parts->size);
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);

    if (defaults)
        settings_set_defaults(&parts->table, defaults);
    for (size_t i = 0; out && defaults && i < parts->table.count; i++) {
        const struct setting *part = &parts->table.rows[i];
        if (!setting_value_equal(part, item->parts, defaults))
            part_compose(parts, part, item->parts, out);
    }
    bool is_good = out && fclose(out) == 0 && defaults;
    free(defaults);
    if (!is_good) {
        free(text);
        return false;
    }
    memmove(text, text + (length > 0), length + (length == 0)); /* without the first separator */
    free(item->text);
    item->text = text;
    item->value = text;
    return true;
}

/* ---- any setting ---- */

bool setting_value_set(const struct setting *setting, void *target, const char *text, struct fault *fault)
{
    if (setting->type == SETTING_LIST)
        return list_add(setting, target, text, fault);
    return setting_scalar_set(setting, target, text, fault);
}

bool setting_value_copy(const struct setting *setting, void *to, const void *from)
{
    if (setting->type == SETTING_LIST)
        return list_copy(setting, to, from);
    setting_scalar_copy(setting, to, from);
    return true;
}

bool setting_value_equal(const struct setting *setting, const void *a, const void *b)
{
    if (setting->type == SETTING_LIST)
        return list_equal(setting, list_of(setting, a), list_of(setting, b));
    return setting_scalar_equal(setting, a, b);
}

void setting_value_reset(const struct setting *setting, void *target)
{
    if (setting->type == SETTING_LIST)
        list_clear(setting, list_of(setting, target));
    else
        setting_scalar_reset(setting, target);
}

/* ---- all settings of a table ---- */

void settings_set_defaults(const struct settings_table *table, void *target)
{
    assert(table->count <= SETTINGS_MAX);
    for (size_t i = 0; i < table->count; i++) {
        if (table->rows[i].type != SETTING_LIST)
            setting_scalar_reset(&table->rows[i], target);
    }
}

void settings_free(const struct settings_table *table, void *target)
{
    for (size_t i = 0; i < table->count; i++) {
        if (table->rows[i].type == SETTING_LIST)
            setting_value_reset(&table->rows[i], target);
    }
}
