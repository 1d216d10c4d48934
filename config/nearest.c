#include "config/nearest.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

enum { DISTANCE_MAX = 3 };

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Both words have at most NEAREST_WORD_MAX letters. */
static unsigned distance_of(const char *a, size_t a_length, const char *b, size_t b_length)
{
    unsigned rows[3][NEAREST_WORD_MAX + 1];
    unsigned *before = rows[0], *above = rows[1], *row = rows[2];

    for (size_t j = 0; j <= b_length; j++)
        above[j] = (unsigned)j;
    for (size_t i = 1; i <= a_length; i++) {
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_length; j++) {
            unsigned replaced = above[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = least(replaced, least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], before[j - 2] + 1);
        }
        unsigned *free_row = before;
        before = above;
        above = row;
        row = free_row;
    }
    return above[b_length];
}

struct nearest nearest_begin(const char *word, size_t length)
{
    unsigned allowed = least((unsigned)(length / 3), DISTANCE_MAX);

    return (struct nearest) { .word = word, .length = length, .distance = allowed + 1 };
}

void nearest_add(struct nearest *nearest, const char *name)
{
    size_t length = strlen(name);

    if (nearest->length > NEAREST_WORD_MAX || length > NEAREST_WORD_MAX)
        return;
    bool differs_in_case = length == nearest->length && strncasecmp(nearest->word, name, length) == 0;
    unsigned distance = differs_in_case ? 0 : distance_of(nearest->word, nearest->length, name, length);
    if (distance < nearest->distance) {
        nearest->best = name;
        nearest->distance = distance;
    }
}
