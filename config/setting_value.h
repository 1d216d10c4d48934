/* The value of one setting, also of a list and of the parts of its items.
 *
 * Knows neither options nor files: texts go in, and the fault does not name the setting. */
#ifndef HUSK_CONFIG_SETTING_VALUE_H
#define HUSK_CONFIG_SETTING_VALUE_H

#include "base/fault.h"
#include "config/setting.h"

/* Sets the field of `target` from `text`, as an option gives it; NULL for a setting that takes no value. The
 * field borrows the text. A list gets one more item. */
MUST_CHECK bool setting_value_set(const struct setting *setting, void *target, const char *text,
                                  struct fault *fault);
/* Copies the field. What the copy borrows can belong to `from`, which must outlive it. False when out of
 * memory. */
MUST_CHECK bool setting_value_copy(const struct setting *setting, void *to, const void *from);
/* Whether the fields of two structs have the same value. Places do not matter. */
bool setting_value_equal(const struct setting *setting, const void *a, const void *b);
/* Empties a list; sets any other field to its default. */
void setting_value_reset(const struct setting *setting, void *target);
/* Whether an option of this setting takes a value. */
bool setting_takes_value(const struct setting *setting);

/* ---- all settings of a table ---- */

/* Sets the fields of `target` (zeroed by the caller) to their defaults. */
void settings_set_defaults(const struct settings_table *table, void *target);
/* Frees the lists in `target`. */
void settings_free(const struct settings_table *table, void *target);

/* ---- lists whose items have parts ---- */

/* Appends an item whose parts have their defaults, and whose value is not set. NULL when out of memory. The
 * next call can move the item in memory; its parts do not move. */
struct setting_item *setting_list_append(const struct setting *setting, void *target);
/* Sets the `value` of an item from its parts, as an option would write it. False when out of memory. */
MUST_CHECK bool setting_list_compose(const struct setting *setting, struct setting_item *item);

#endif
