/* The value of a setting that is no list: from text to the field, and back.
 *
 * Knows neither options nor files: texts go in, and the fault does not name the setting. */
#ifndef HUSK_CONFIG_SETTING_SCALAR_H
#define HUSK_CONFIG_SETTING_SCALAR_H

#include "base/fault.h"
#include "config/setting.h"

/* Sets the field of `target` from `text`, which TEXT and WORDS borrow. A flag is true for NULL and "true",
 * and false for "false". The field is unchanged after a failure. */
MUST_CHECK bool setting_scalar_set(const struct setting *setting, void *target, const char *text,
                                   struct fault *fault);
/* The same; the fault calls the text `shown` instead of quoting it. */
MUST_CHECK bool setting_scalar_set_shown(const struct setting *setting, void *target, const char *text,
                                         const char *shown, struct fault *fault);
/* Refuses a text that is perhaps the secret itself, where the setting wants the path of a file or the name of
 * a variable. The fault does not show the text. setting_scalar_set does this, too. */
MUST_CHECK bool setting_text_check(const struct setting *setting, const char *text, struct fault *fault);
/* Checks each word of `text`, which is WORDS. The fault is that of setting_scalar_set_shown. */
MUST_CHECK bool setting_words_check(const struct setting *setting, const char *text, const char *shown,
                                    struct fault *fault);
/* To the default, or to 0, false or NULL if there is none. */
void setting_scalar_reset(const struct setting *setting, void *target);
void setting_scalar_copy(const struct setting *setting, void *to, const void *from);
bool setting_scalar_equal(const struct setting *setting, const void *a, const void *b);
/* Writes the value as a user would, cut to `size`. False: it is not set. */
bool setting_scalar_format(const struct setting *setting, const void *target, char *text, size_t size);

bool setting_is_quantity(const struct setting *setting);
/* Whether the value names a variable of the environment. */
bool setting_is_variable(const struct setting *setting);
/* How many characters at the beginning of the text may be in the name of a variable. */
size_t setting_variable_span(const char *text);
/* What a quantity must look like, such as "a size such as 65536, 64KiB or 4MiB". */
const char *setting_expectation(enum setting_type type);
/* Writes a quantity in the largest unit that needs no fraction. */
void setting_quantity_format(enum setting_type type, uint64_t value, char *text, size_t size);

#endif
