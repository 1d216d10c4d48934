/* The mistakes in one file: each has a place and a text.
 *
 * A reader adds a mistake and goes on, so that the user sees all of them at once. Knows no file format. */
#ifndef HUSK_CONFIG_MISTAKES_H
#define HUSK_CONFIG_MISTAKES_H

#include "base/fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum {
    MISTAKES_PRINTED_MAX = 50, /* further ones are counted only */
    MISTAKES_KEPT_MAX = 1000,  /* further ones are counted only */
};

/* Where a value or a key begins. */
struct place {
    unsigned line, column; /* both from 1; the column counts characters, not bytes. Line 0: the whole file */
};

struct mistakes {
    const char *file;      /* borrowed */
    size_t count;          /* of all mistakes; 0: the file is right */
    size_t kept;           /* items in use: those that were not kept are counted only */
    struct mistake *items; /* in the order of mistakes_add */
};

struct mistake {
    struct place place;
    char *text; /* owned */
};

/* Makes an empty list. Borrows `file`, the name that is printed. */
void mistakes_init(struct mistakes *mistakes, const char *file);

/* Adds a mistake. The text is one line without the place; texts longer than FAULT_TEXT_BYTES are cut, and "?"
 * stands for control characters and for bytes that are no UTF-8. Counts the mistake also when out of memory.
 */
void mistakes_add(struct mistakes *mistakes, struct place place, const char *format, ...) PRINTF_LIKE(3, 4);

/* Whether a mistake at this place has a text that ends so. Asks the mistakes that were kept. */
bool mistakes_has(const struct mistakes *mistakes, struct place place, const char *end);

/* Borrows the mistakes that were kept, sorted by place; mistakes of one place in the order of mistakes_add.
 */
void mistakes_sorted(const struct mistakes *mistakes, const struct mistake *sorted[MISTAKES_KEPT_MAX]);

/* Prints `FILE:LINE:COLUMN: text`, or `FILE: text` for line 0, a line for each mistake, in the order
 * of mistakes_sorted. Prints at most MISTAKES_PRINTED_MAX, then
 * `FILE: and N more`. */
void mistakes_print(const struct mistakes *mistakes, FILE *out);

enum { MISTAKES_QUOTE_BYTES = 64 };

/* Writes `text` (UTF-8) for a message: in double quotes, one line, with \xNN for control characters; a long
 * text is cut and ends with "…". Returns `quote`. */
const char *mistakes_quote(const char *text, char quote[MISTAKES_QUOTE_BYTES]);

/* Frees the texts. */
void mistakes_deinit(struct mistakes *mistakes);

#endif
