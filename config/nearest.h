/* Guesses which name a person meant. Pure. */
#ifndef HUSK_CONFIG_NEAREST_H
#define HUSK_CONFIG_NEAREST_H

#include <stddef.h>

enum { NEAREST_WORD_MAX = 64 }; /* a longer word is near nothing */

struct nearest {
    const char *word; /* borrowed; needs no terminator */
    size_t length;
    const char *best; /* borrowed; NULL: no candidate is near */
    unsigned distance;
};

/* Looks for `word`. A candidate is near if at most a third of the word, and at most 3 letters, are missing,
 * too many, wrong, or exchanged with the next one (the optimal string alignment distance). */
struct nearest nearest_begin(const char *word, size_t length);

/* Takes `name` (borrowed) as the best if it is nearer than the candidates before. */
void nearest_add(struct nearest *nearest, const char *name);

#endif
