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
    while (texts->taken_count)
        free(texts->taken[--texts->taken_count]);
    free(texts->taken);
    texts->taken = NULL;
}

bool file_texts_take(struct file_texts *texts, struct yaml_tree *tree)
{
    size_t count = 0;

    for (struct yaml_node *node = tree->all; node; node = node->next)
        count += node->text != NULL;
    texts->taken = calloc(count ? count : 1, sizeof *texts->taken);
    if (!texts->taken)
        return false;
    for (struct yaml_node *node = tree->all; node; node = node->next) {
        if (node->text)
            texts->taken[texts->taken_count++] = node->text;
        node->text = NULL;
    }
    return true;
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
