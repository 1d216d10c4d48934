/* The reader of YAML over any bytes. Places lie in the text, limits hold, keys differ, and the same text
 * gives the same tree and the same mistakes again. */
#include "config/yaml_scalar.h"
#include "config/yaml_text.h"
#include "config/yaml_tree.h"

#include "base/utf8.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void expect(bool right)
{
    if (!right)
        abort();
}

static const char *look_up(const char *name)
{
    expect(*name);
    return strchr("ABC", *name) ? "value of the variable" : strchr("DE", *name) ? "" : NULL;
}

/* A place is in the text, at most directly behind the end of a line. */
static void check_place(const struct yaml_text *text, struct place place)
{
    struct yaml_text rest = *text, line = { rest.bytes, 0 };
    unsigned columns = 1;

    expect(place.line >= 1 && place.column >= 1);
    for (unsigned i = 1; i < place.line; i++)
        expect(yaml_text_take_line(&rest, &line));
    yaml_text_take_line(&rest, &line);
    for (size_t at = 0; at < line.length; columns++) {
        size_t character = utf8_character_bytes(line.bytes + at, line.length - at);
        at += character ? character : 1;
    }
    expect(place.column <= columns);
}

static void check_mistakes(const struct yaml_text *text, const struct mistakes *mistakes)
{
    for (size_t i = 0; i < mistakes->kept && i < 100; i++) {
        const char *words = mistakes->items[i].text;

        expect(*words && !strchr(words, '\n') && utf8_is_valid(words, strlen(words)));
        expect(strncmp(words, "no valid YAML", 13) !=
               0); /* every error of libyaml has a sentence of its own */
        if (mistakes->items[i].place.line)
            check_place(text, mistakes->items[i].place);
    }
}

static void check_scalar(const struct yaml_node *node)
{
    char shown[MISTAKES_QUOTE_BYTES];
    struct fault fault;
    bool flag;

    expect(node->text && utf8_is_valid(node->text, strlen(node->text)));
    expect(strlen(yaml_scalar_show(node, shown)) < sizeof shown && utf8_is_valid(shown, strlen(shown)));
    enum yaml_trap trap = yaml_scalar_trap(node);
    expect(*yaml_scalar_trap_text(trap) && (!trap || (!node->quoted && !node->has_reference)));
    expect(!yaml_scalar_flag(node, &flag, &fault) || trap == YAML_TRAP_BOOLEAN || trap == YAML_TRAP_NONE);
}

/* `budget` limits the time: a shared node is walked once for each of its parents. */
static void check_node(const struct yaml_text *text, const struct yaml_node *node, unsigned depth,
                       size_t *budget)
{
    if (*budget == 0)
        return;
    --*budget;
    expect(depth <= YAML_TREE_DEPTH_MAX);
    check_place(text, node->place);
    if (node->kind == YAML_KIND_SCALAR)
        check_scalar(node);
    for (size_t i = 0; node->kind == YAML_KIND_SEQUENCE && i < node->count; i++)
        check_node(text, node->items[i], depth + 1, budget);
    for (size_t i = 0; node->kind == YAML_KIND_MAP && i < node->count; i++) {
        const struct yaml_entry *entry = &node->entries[i];

        expect(entry->key->kind == YAML_KIND_SCALAR && !entry->key->has_reference);
        expect(i > 100 || yaml_node_find(node, entry->key->text) == entry->value);
        check_node(text, entry->key, depth + 1, budget);
        check_node(text, entry->value, depth + 1, budget);
    }
}

static void check_same(const struct yaml_node *one, const struct yaml_node *other, size_t *budget)
{
    if (*budget == 0)
        return;
    --*budget;
    expect(one->kind == other->kind && one->count == other->count && one->size == other->size);
    expect(one->place.line == other->place.line && one->place.column == other->place.column);
    if (one->kind == YAML_KIND_SCALAR)
        expect(strcmp(one->text, other->text) == 0);
    for (size_t i = 0; one->items && i < one->count; i++)
        check_same(one->items[i], other->items[i], budget);
    for (size_t i = 0; one->entries && i < one->count; i++)
        check_same(one->entries[i].value, other->entries[i].value, budget);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct yaml_text text = { (const char *)bytes, length };
    struct yaml_tree tree, again;
    struct mistakes mistakes, mistakes_again, unused;
    size_t budget = 2000, budget_again = 2000;

    mistakes_init(&mistakes, "one");
    mistakes_init(&mistakes_again, "again");
    mistakes_init(&unused, "text");
    bool read = yaml_tree_read_text(&tree, text.bytes, length, look_up, &mistakes);
    expect(read == yaml_tree_read_text(&again, text.bytes, length, look_up, &mistakes_again));
    expect(read == (tree.root != NULL) && (read || mistakes.count));
    expect(mistakes.count == mistakes_again.count && mistakes.kept == mistakes_again.kept);
    for (size_t i = 0; i < mistakes.kept; i++)
        expect(strcmp(mistakes.items[i].text, mistakes_again.items[i].text) == 0);
    if (yaml_text_check(&text, &unused))
        expect(!read || tree.root->size <= YAML_TREE_NODES_MAX);
    check_mistakes(&text, &mistakes);
    if (read) {
        check_node(&text, tree.root, 1, &budget);
        check_same(tree.root, again.root, &budget_again);
    }
    yaml_tree_deinit(&tree);
    yaml_tree_deinit(&again);
    mistakes_deinit(&mistakes);
    mistakes_deinit(&mistakes_again);
    mistakes_deinit(&unused);
    return 0;
}
