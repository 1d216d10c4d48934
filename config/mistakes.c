#include "config/mistakes.h"

#include "base/utf8.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_ITEMS = 16 };

void mistakes_init(struct mistakes *mistakes, const char *file)
{
    *mistakes = (struct mistakes) { .file = file };
}

/* The number of items with memory follows from `kept`: FIRST_ITEMS, doubled when they are used up. */
static bool grow(struct mistakes *mistakes)
{
    size_t kept = mistakes->kept;
    bool full = kept == 0 || (kept >= FIRST_ITEMS && (kept & (kept - 1)) == 0);

    if (!full)
        return true;
    size_t room = kept ? 2 * kept : FIRST_ITEMS;
    struct mistake *items = realloc(mistakes->items, room * sizeof *items);
    if (items)
        mistakes->items = items;
    return items;
}

/* Makes a text one line of UTF-8: formats can cut a character, and quote what is none. */
static void clean(char *text)
{
    for (size_t bytes; *text; text += bytes ? bytes : 1) {
        bytes = utf8_character_bytes(text, strlen(text));
        if (!bytes || (unsigned char)*text < ' ' || *text == 0x7f)
            *text = '?';
    }
}

void mistakes_add(struct mistakes *mistakes, struct place place, const char *format, ...)
{
    char text[FAULT_TEXT_BYTES];
    va_list arguments;

    mistakes->count++;
    if (mistakes->kept == MISTAKES_KEPT_MAX || !grow(mistakes))
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    clean(text);
    struct mistake *added = &mistakes->items[mistakes->kept];
    added->place = place;
    added->text = strdup(text);
    if (added->text)
        mistakes->kept++;
}

bool mistakes_has(const struct mistakes *mistakes, struct place place, const char *end)
{
    size_t length = strlen(end);

    for (size_t i = 0; i < mistakes->kept; i++) {
        const struct mistake *mistake = &mistakes->items[i];
        if (mistake->place.line != place.line || mistake->place.column != place.column)
            continue;
        size_t bytes = strlen(mistake->text);
        if (bytes >= length && strcmp(mistake->text + bytes - length, end) == 0)
            return true;
    }
    return false;
}

/* Items of one place lie in the array in the order in which they were added. */
static int compare(const void *left, const void *right)
{
    const struct mistake *const *a = left, *const *b = right;
    const struct place x = (*a)->place, y = (*b)->place;

    if (x.line != y.line)
        return x.line < y.line ? -1 : 1;
    if (x.column != y.column)
        return x.column < y.column ? -1 : 1;
    return *a < *b ? -1 : *a > *b;
}

void mistakes_sorted(const struct mistakes *mistakes, const struct mistake *sorted[MISTAKES_KEPT_MAX])
{
    for (size_t i = 0; i < mistakes->kept; i++)
        sorted[i] = &mistakes->items[i];
    qsort(sorted, mistakes->kept, sizeof(struct mistake *), compare);
}

static void print_one(const struct mistakes *mistakes, const struct mistake *mistake, FILE *out)
{
    if (mistake->place.line)
        fprintf(out, "%s:%u:%u: %s\n", mistakes->file, mistake->place.line, mistake->place.column,
                mistake->text);
    else
        fprintf(out, "%s: %s\n", mistakes->file, mistake->text);
}

void mistakes_print(const struct mistakes *mistakes, FILE *out)
{
    const struct mistake *sorted[MISTAKES_KEPT_MAX];
    size_t printed = mistakes->kept < MISTAKES_PRINTED_MAX ? mistakes->kept : MISTAKES_PRINTED_MAX;

    mistakes_sorted(mistakes, sorted);
    for (size_t i = 0; i < printed; i++)
        print_one(mistakes, sorted[i], out);
    if (mistakes->count > printed)
        fprintf(out, "%s: and %zu more\n", mistakes->file, mistakes->count - printed);
}

const char *mistakes_quote(const char *text, char quote[MISTAKES_QUOTE_BYTES])
{
    static const char end[] = "…\"";
    size_t length = strlen(text), used = 1;

    quote[0] = '"';
    for (size_t at = 0; at < length;) {
        size_t bytes = utf8_character_bytes(text + at, length - at);
        bool shown = bytes > 1 || (bytes == 1 && text[at] >= ' ' && text[at] != 0x7f);
        size_t needed = shown ? bytes : 4;

        if (used + needed + sizeof end > MISTAKES_QUOTE_BYTES) {
            memcpy(quote + used, end, sizeof end);
            return quote;
        }
        if (shown)
            memcpy(quote + used, text + at, bytes);
        else
            snprintf(quote + used, sizeof "\\xNN", "\\x%02x", (unsigned char)text[at]);
        used += needed;
        at += bytes ? bytes : 1;
    }
    memcpy(quote + used, "\"", 2);
    return quote;
}

void mistakes_deinit(struct mistakes *mistakes)
{
    for (size_t i = 0; i < mistakes->kept; i++)
        free(mistakes->items[i].text);
    free(mistakes->items);
    *mistakes = (struct mistakes) { .file = mistakes->file };
}
