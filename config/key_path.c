#include "config/key_path.h"

#include "base/fault.h"
#include "config/mistakes.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char ELLIPSIS[] = "…";

static bool is_cut(const struct key_path *path)
{
    size_t mark = sizeof ELLIPSIS - 1;

    return path->length >= mark && strcmp(path->text + path->length - mark, ELLIPSIS) == 0;
}

/* Adds a piece as a whole, or the ellipsis once. */
PRINTF_LIKE(2, 3) static void add(struct key_path *path, const char *format, ...)
{
    size_t room = sizeof path->text - path->length - (sizeof ELLIPSIS - 1);
    va_list arguments;

    if (is_cut(path))
        return;
    va_start(arguments, format);
    int bytes = vsnprintf(path->text + path->length, room, format, arguments);
    va_end(arguments);
    if (bytes >= 0 && (size_t)bytes < room) {
        path->length += (size_t)bytes;
    } else {
        memcpy(path->text + path->length, ELLIPSIS, sizeof ELLIPSIS);
        path->length += sizeof ELLIPSIS - 1;
    }
}

size_t key_path_add_key(struct key_path *path, const char *key)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    char quote[MISTAKES_QUOTE_BYTES];
    size_t before = path->length;

    if (!*key || key[strspn(key, plain)])
        add(path, "[%s]", mistakes_quote(key, quote));
    else
        add(path, before ? ".%s" : "%s", key);
    return before;
}

size_t key_path_add_index(struct key_path *path, size_t index)
{
    size_t before = path->length;

    add(path, "[%zu]", index);
    return before;
}

void key_path_cut(struct key_path *path, size_t length)
{
    path->length = length;
    path->text[length] = '\0';
}
