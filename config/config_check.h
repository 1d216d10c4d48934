/* Reports what is wrong with the settings, and names each setting as the user wrote it: `--ack-timeout` for
 * an option, the key path with its line and column for a file. A setting with a known mistake gets no second
 * one, and a value from the environment, which may be a secret, is not shown. */
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

/* Whether the user gave the setting at `field`, also with a wrong value, or perhaps meant the setting by a
 * wrong key. */
bool config_is_given(const struct config *config, size_t field);
/* Whether a mistake in the setting is known. `field` may be a list of several kinds. */
bool config_is_wrong(const struct config *config, size_t field);
/* The same for a part of an item. */
bool config_part_is_wrong(const struct setting_parts *parts, const struct setting_item *item, size_t part);
/* Whether a part of the value is from the environment. */
bool config_is_hidden(const struct config *config, size_t field);
/* The same for a part of an item. */
bool config_part_is_hidden(const struct setting_parts *parts, const struct setting_item *item, size_t part);
/* The same for any part of an item. `parts`: NULL if the item has none. */
bool config_item_is_hidden(const struct setting_parts *parts, const struct setting_item *item);

/* Whether a side has TLS. UNKNOWN: a mistake hides whether the user wants TLS; checks say nothing then. */
enum config_tls_use { CONFIG_TLS_OFF, CONFIG_TLS_ON, CONFIG_TLS_UNKNOWN };
enum config_tls_use config_tls_use(const struct config *config, enum side side);

/* `field` is wrong: the offset of a field of struct config; of a list of several kinds it is the setting of
 * the kind 0. CONFIG_NONE: the settings together. The text does not show a value. */
void config_wrong(const struct config_check *check, size_t field, const char *format, ...) PRINTF_LIKE(3, 4);

/* The value of the setting at `field` is wrong; `text`, which may show the value, says why. */
void config_wrong_value(const struct config_check *check, size_t field, const char *text);

/* An item of the list at `field` is wrong; `part`: the offset of one of its parts, or CONFIG_NONE. For an
 * option, an item that has parts is quoted. The text does not show a value. */
void config_wrong_item(const struct config_check *check, size_t field, const struct setting_item *item,
                       size_t part, const char *format, ...) PRINTF_LIKE(5, 6);

/* The same; `text` may show the value of the part, or of the item. */
void config_wrong_item_value(const struct config_check *check, size_t field, const struct setting_item *item,
                             size_t part, const char *text);

/* What stands at `place` of the file, at `path` in the route, is wrong. */
void config_wrong_path(const struct config_check *check, struct place place, const char *path,
                       const char *text);

/* How a user writes the name of the setting at `field`, for a text about another one. */
struct config_name {
    char text[64];
};
struct config_name config_name(const struct config *config, size_t field, unsigned kind);

/* The names of all settings of the list at `field` that take a value, as "a, b or c". */
struct config_names {
    char text[320];
};
struct config_names config_names(const struct config *config, size_t field);
/* The same for the list at `part` of an item. */
struct config_names config_part_names(const struct config *config, const struct setting_parts *parts,
                                      size_t part);

#endif
