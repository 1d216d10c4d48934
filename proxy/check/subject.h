/* What a finding is about, and how it names settings: as options, or as the keys of a file. */
#ifndef HUSK_CHECK_SUBJECT_H
#define HUSK_CHECK_SUBJECT_H

#include "base/fault.h"
#include "trust/credentials_options.h"

#include <stddef.h>

enum { SUBJECT_BYTES = 768, SUBJECT_SETTING_BYTES = 128 };

/* All texts are cut to their size. */
struct subject {
    char text[SUBJECT_BYTES];            /* "--cert client.pem", or an address */
    char setting[SUBJECT_SETTING_BYTES]; /* "--cert"; empty: it is about no setting */
    unsigned line, column;               /* of the setting in a file, from 1; 0: in no file */
};

/* A setting, or a part of it. */
struct setting_reference {
    const char *option; /* without dashes: `cert` */
    size_t index;       /* of the item, if the setting is a list */
    const char *part;   /* of the item: `password-env`; NULL: the whole item */
};

/* How the user writes settings, if not as options. The check knows each setting by its option: `cert`. */
struct setting_words {
    const void *owner; /* borrowed */
    /* Sets `setting`, `line` and `column`. */
    void (*locate)(const void *owner, const struct setting_reference *reference, struct subject *subject);
    /* Copies a text that names settings as options, `--cert`. The caller frees the copy; NULL when out of
     * memory. */
    char *(*translate)(const void *owner, const char *text);
};

/* About a setting and its value. `words`: NULL for options. `value`: NULL if there is none to show. */
void subject_of_setting(struct subject *subject, const struct setting_words *words, const char *option,
                        const char *value);
/* About an item of a list. */
void subject_of_item(struct subject *subject, const struct setting_words *words, const char *option,
                     size_t index, const char *value);
/* About a part of an item. */
void subject_of_part(struct subject *subject, const struct setting_words *words,
                     const struct setting_reference *reference, const char *value);
/* About a setting of a certificate of husk: the option itself, or the part of --more-cert with the same
 * name. */
void subject_of_own(struct subject *subject, const struct setting_words *words,
                    const struct credentials_options *options, const char *option, const char *value);
/* About something that is no setting. */
void subject_of_text(struct subject *subject, const char *text);

/* The text of a fault without the path in front, which the subject names. Borrowed from the fault. */
const char *subject_fault(const struct fault *fault, const char *path);

#endif
