/* What mistakes_print says, as a text. */
#ifndef HUSK_TESTS_SUPPORT_MISTAKES_TEXT_H
#define HUSK_TESTS_SUPPORT_MISTAKES_TEXT_H

#include "config/mistakes.h"

/* The caller frees the text. */
char *mistakes_text(const struct mistakes *mistakes);

#endif
