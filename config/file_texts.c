#include "config/file_texts.h"

#include <stdlib.h>
#include <string.h>

struct file_text {
    struct file_text *next;
    char text[];
};

void file_texts_free(struct file_texts *texts)
{
    while (texts->first) {
        struct file_text *next = texts->first->next;
        free(texts->first);
        texts->first = next;
    }
}

const char *file_texts_join(struct file_texts *texts, const struct yaml_node *sequence)
{
    size_t bytes = 1;

    for (size_t i = 0; i < sequence->count; i++)
        bytes += strlen(sequence->items[i]->text) + 1;
    struct file_text *joined = malloc(sizeof *joined + bytes);
    if (!joined)
        return NULL;
    char *end = joined->text;
    *end = '\0';
    for (size_t i = 0; i < sequence->count; i++) {
        end = stpcpy(end, i ? "," : "");
        end = stpcpy(end, sequence->items[i]->text);
    }
    joined->next = texts->first;
    texts->first = joined;
    return joined->text;
}
