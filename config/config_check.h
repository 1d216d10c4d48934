/* Reports what is wrong with the settings, and names each setting as the user wrote it: `--ack-timeout` for
 * an option, the key path with its line and column for a file. */
#ifndef HUSK_CONFIG_CONFIG_CHECK_H
#define HUSK_CONFIG_CONFIG_CHECK_H

#include "config/config.h"
#include "config/mistakes.h"

#define CONFIG_FIELD(field) offsetof(struct config, field)
#define CONFIG_NONE         SIZE_MAX /* no field, no part */

struct config_check {
    const struct config *config; /* borrowed */
    struct mistakes *mistakes;   /* borrowed */
};

/* Whether the user gave the setting at `field`, also with a wrong value. */
bool config_is_given(const struct config *config, size_t field);
/* Whether the setting at `field`, which is no list, has another value than its default. */
bool config_is_changed(const struct config *config, size_t field);

/* `field` is wrong: the offset of a field of struct config that is no list of several kinds; CONFIG_NONE: the
 * settings together. */
void config_wrong(const struct config_check *check, size_t field, const char *format, ...) PRINTF_LIKE(3, 4);

/* An item of the list at `field` is wrong; `part`: the offset of one of its parts, or CONFIG_NONE. For an
 * option, an item that has parts is quoted. */
void config_wrong_item(const struct config_check *check, size_t field, const struct setting_item *item,
                       size_t part, const char *format, ...) PRINTF_LIKE(5, 6);

/* How a user writes the name of the setting at `field`, for a text about another one. */
struct config_name {
    char text[64];
};
struct config_name config_name(const struct config *config, size_t field, unsigned kind);

#endif
