#include "check/subject.h"

#include <stdio.h>
#include <string.h>

void subject_of_part(struct subject *subject, const struct setting_words *words,
                     const struct setting_reference *reference, const char *value)
{
    *subject = (struct subject) { .text = "" };
    if (words)
        words->locate(words->owner, reference, subject);
    else
        snprintf(subject->setting, sizeof subject->setting, "--%s", reference->option);
    snprintf(subject->text, sizeof subject->text, "%s%s%s", subject->setting, value ? " " : "",
             value ? value : "");
}

void subject_of_item(struct subject *subject, const struct setting_words *words, const char *option,
                     size_t index, const char *value)
{
    const struct setting_reference reference = { .option = option, .index = index };

    subject_of_part(subject, words, &reference, value);
}

void subject_of_setting(struct subject *subject, const struct setting_words *words, const char *option,
                        const char *value)
{
    subject_of_item(subject, words, option, 0, value);
}

void subject_of_own(struct subject *subject, const struct setting_words *words,
                    const struct credentials_options *options, const char *option, const char *value)
{
    const struct setting_reference part = { "more-cert", options->item - 1, option },
                                   whole = { .option = option };

    subject_of_part(subject, words, options->item ? &part : &whole, value);
}

void subject_of_text(struct subject *subject, const char *text)
{
    *subject = (struct subject) { .text = "" };
    snprintf(subject->text, sizeof subject->text, "%s", text);
}

const char *subject_fault(const struct fault *fault, const char *path)
{
    const char *found = strstr(fault->text, path);

    if (!found || strncmp(found + strlen(path), ": ", 2) != 0)
        return fault->text;
    return found + strlen(path) + 2;
}
