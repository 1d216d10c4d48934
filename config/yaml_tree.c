#include "config/yaml_tree.h"

#include "config/yaml_anchors.h"
#include "config/yaml_blank.h"
#include "config/yaml_map.h"
#include "config/yaml_syntax.h"
#include "config/yaml_text.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

static const struct place whole_file = { 0 };
static const char STANDARD_TAGS[] = "tag:yaml.org,2002:";

/* A function that reads returns NULL or false when reading stops; a mistake says why. */
struct reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the current one */
    struct yaml_text text;
    struct yaml_text rest; /* of the text, after `line` lines */
    unsigned line;
    yaml_look_up *look_up;
    struct yaml_tree *tree;
    struct mistakes *mistakes;
    struct yaml_anchors anchors;
    size_t nodes;    /* with aliases as copies */
    size_t replaced; /* bytes of the values with references */
    struct place scalar_start, scalar_end;
};

static struct yaml_node *read_node(struct reader *reader, unsigned depth);

static struct place place_of(const yaml_mark_t *mark)
{
    return (struct place) { (unsigned)mark->line + 1, (unsigned)mark->column + 1 };
}

static struct place here(const struct reader *reader)
{
    return place_of(&reader->event.start_mark);
}

static bool out_of_memory(struct reader *reader)
{
    mistakes_add(reader->mistakes, whole_file, "out of memory");
    return false;
}

static void report_syntax(struct reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    struct yaml_syntax_error error = {
        .text = reader->text,
        .problem = parser->problem,
        .context = parser->context,
        .at = place_of(&parser->problem_mark),
        .context_at = parser->context ? place_of(&parser->context_mark) : whole_file,
        .scalar_start = reader->scalar_start,
        .scalar_end = reader->scalar_end,
    };

    if (parser->error == YAML_MEMORY_ERROR || !parser->problem)
        out_of_memory(reader);
    else
        yaml_syntax_explain(&error, reader->mistakes);
}

/* Replaces the current event. The event before is gone, with its texts. */
static bool next_event(struct reader *reader)
{
    yaml_event_delete(&reader->event);
    if (!yaml_parser_parse(&reader->parser, &reader->event)) {
        report_syntax(reader);
        return false;
    }
    if (reader->event.type == YAML_SCALAR_EVENT) {
        reader->scalar_start = here(reader);
        reader->scalar_end = place_of(&reader->event.end_mark);
    }
    return true;
}

/* ---- nodes --------------------------------------------------------------------------------------------- */

static bool count_nodes(struct reader *reader, size_t nodes)
{
    reader->nodes += nodes;
    if (reader->nodes <= YAML_TREE_NODES_MAX)
        return true;
    mistakes_add(reader->mistakes, here(reader),
                 "more than %d keys and values; each alias counts like a copy", YAML_TREE_NODES_MAX);
    return false;
}

/* `levels` is how many levels begin here, `depth` how many there are with the first of them. */
static bool check_depth(struct reader *reader, unsigned depth, size_t levels)
{
    if (depth - 1 + levels <= YAML_TREE_DEPTH_MAX)
        return true;
    mistakes_add(reader->mistakes, here(reader), "values are nested more than %d levels deep",
                 YAML_TREE_DEPTH_MAX);
    return false;
}

static struct yaml_node *add_node(struct reader *reader, enum yaml_kind kind)
{
    if (!count_nodes(reader, 1))
        return NULL;
    struct yaml_node *node = calloc(1, sizeof *node);
    if (!node) {
        out_of_memory(reader);
        return NULL;
    }
    *node = (struct yaml_node) {
        .kind = kind, .place = here(reader), .size = 1, .height = 1, .next = reader->tree->all
    };
    reader->tree->all = node;
    return node;
}

static void adopt(struct yaml_node *parent, const struct yaml_node *child)
{
    parent->size += child->size;
    if (parent->height <= child->height)
        parent->height = child->height + 1;
}

/* The room of the array follows from `count`: a power of two. */
static bool add_item(struct yaml_node *sequence, struct yaml_node *item)
{
    size_t count = sequence->count;

    if ((count & (count - 1)) == 0) {
        size_t room = count ? 2 * count : 1;
        struct yaml_node **items = realloc(sequence->items, room * sizeof(struct yaml_node *));
        if (!items)
            return false;
        sequence->items = items;
    }
    sequence->items[sequence->count++] = item;
    adopt(sequence, item);
    return true;
}

/* Marks the node as invalid if it has a tag, unless that is !!str of a scalar. */
static void check_tag(struct reader *reader, struct yaml_node *node, const yaml_char_t *tag_bytes)
{
    const char *tag = (const char *)tag_bytes;
    size_t standard = sizeof STANDARD_TAGS - 1;
    char shown[MISTAKES_QUOTE_BYTES], quote[MISTAKES_QUOTE_BYTES];

    if (!tag)
        return;
    bool is_standard = strncmp(tag, STANDARD_TAGS, standard) == 0;
    if (node->kind == YAML_KIND_SCALAR && is_standard && strcmp(tag + standard, "str") == 0) {
        node->quoted = true;
        return;
    }
    snprintf(shown, sizeof shown, "%s%s", is_standard ? "!!" : "", tag + (is_standard ? standard : 0));
    mistakes_add(reader->mistakes, node->place,
                 "the tag %s cannot stand here; husk takes only !!str, before a text",
                 mistakes_quote(shown, quote));
    node->kind = YAML_KIND_INVALID;
}

/* ---- anchors and aliases ---------------------------------------------------------------------------------
 */

/* Names have ASCII letters, digits, "-" and "_" only. */
static bool add_anchor(struct reader *reader, struct yaml_node *node, const yaml_char_t *name_bytes)
{
    const char *name = (const char *)name_bytes;

    if (!name)
        return true;
    const struct yaml_anchor *first = yaml_anchors_find(&reader->anchors, name);
    if (first) {
        mistakes_add(reader->mistakes, node->place, "the anchor &%.40s is given twice; first on line %u",
                     name, first->node->place.line);
        return true;
    }
    if (reader->anchors.count == YAML_TREE_ANCHORS_MAX) {
        mistakes_add(reader->mistakes, node->place, "more than %d anchors", YAML_TREE_ANCHORS_MAX);
        return false;
    }
    return yaml_anchors_add(&reader->anchors, name, node) || out_of_memory(reader);
}

static struct yaml_node *read_alias(struct reader *reader, unsigned depth)
{
    const char *name = (const char *)reader->event.data.alias.anchor;
    const struct yaml_anchor *anchor = yaml_anchors_find(&reader->anchors, name);

    if (!anchor || anchor->open) {
        if (anchor)
            mistakes_add(reader->mistakes, here(reader), "the alias *%.40s stands inside its own anchor",
                         name);
        else
            mistakes_add(
                reader->mistakes, here(reader),
                "the alias *%.40s has no anchor above; write a text that begins with \"*\" in quotes", name);
        return add_node(reader, YAML_KIND_INVALID);
    }
    if (!check_depth(reader, depth, anchor->node->height) || !count_nodes(reader, anchor->node->size))
        return NULL;
    return anchor->node;
}

/* ---- scalars ------------------------------------------------------------------------------------------- */

/* Scalars come in the order of the text, so that `rest` is read once. */
static bool next_line(struct reader *reader, struct yaml_text *line)
{
    bool found = yaml_text_take_line(&reader->rest, line);

    reader->line += found;
    return found;
}

/* A "-" that is indented too much continues the plain text above instead of being an entry of the list. */
static void check_continuation(struct reader *reader, const struct yaml_node *node)
{
    struct yaml_text line;

    if (reader->scalar_end.line == node->place.line)
        return;
    while (reader->line < node->place.line && next_line(reader, &line))
        ;
    while (reader->line < reader->scalar_end.line && next_line(reader, &line)) {
        size_t spaces = 0;

        while (spaces < line.length && line.bytes[spaces] == ' ')
            spaces++;
        if (spaces + 1 < line.length && memcmp(line.bytes + spaces, "- ", 2) == 0) {
            mistakes_add(reader->mistakes, (struct place) { reader->line, (unsigned)spaces + 1 },
                         "this \"-\" continues the text above; indent it like the \"-\" of the list");
            return;
        }
    }
}

/* Quotes as word processors and web pages write them: U+2018 to U+201F. */
static void check_quote(struct reader *reader, struct yaml_node *node)
{
    static const char first[] = "\342\200\230", last[] = "\342\200\237";

    if (node->quoted || strncmp(node->text, first, 3) < 0 || strncmp(node->text, last, 3) > 0)
        return;
    mistakes_add(reader->mistakes, node->place,
                 "%.3s is no quote of YAML; write \" or ' at both ends of the text", node->text);
    node->kind = YAML_KIND_INVALID;
}

static struct yaml_node *read_scalar(struct reader *reader)
{
    struct yaml_node *node = add_node(reader, YAML_KIND_SCALAR);
    const char *text = (const char *)reader->event.data.scalar.value;

    if (!node || !add_anchor(reader, node, reader->event.data.scalar.anchor))
        return NULL;
    node->quoted = reader->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    node->text = strdup(text);
    if (!node->text) {
        out_of_memory(reader);
        return NULL;
    }
    if (strlen(text) != reader->event.data.scalar.length) {
        mistakes_add(reader->mistakes, node->place, "a text cannot contain the character 0");
        node->kind = YAML_KIND_INVALID;
    }
    if (!node->quoted && yaml_blank_in(text) &&
        yaml_blank_report(&reader->text, node->place, reader->scalar_end, reader->mistakes))
        return NULL;
    if (!node->quoted)
        check_continuation(reader, node);
    check_quote(reader, node);
    check_tag(reader, node, reader->event.data.scalar.tag);
    return node;
}

/* Replaces the references in a value. False when reading stops. */
static bool replace_references(struct reader *reader, struct yaml_node *node)
{
    struct fault fault;
    char *text;

    if (node->kind != YAML_KIND_SCALAR || !yaml_reference_in(node->text))
        return true;
    if (!yaml_reference_replace(node->text, reader->look_up, &text, &node->has_reference, &fault)) {
        mistakes_add(reader->mistakes, node->place, "%s", fault.text);
        node->kind = YAML_KIND_INVALID;
        return true;
    }
    free(node->text);
    node->text = text;
    reader->replaced += strlen(text);
    if (reader->replaced <= YAML_TREE_REPLACED_MAX)
        return true;
    mistakes_add(reader->mistakes, node->place, "more than %d bytes after references are replaced",
                 YAML_TREE_REPLACED_MAX);
    return false;
}

/* ---- sequences and maps -------------------------------------------------------------------------------- */

static struct yaml_node *read_sequence(struct reader *reader, unsigned depth)
{
    struct yaml_node *node = add_node(reader, YAML_KIND_SEQUENCE);

    if (!node || !add_anchor(reader, node, reader->event.data.sequence_start.anchor))
        return NULL;
    check_tag(reader, node, reader->event.data.sequence_start.tag);
    while (next_event(reader)) {
        if (reader->event.type == YAML_SEQUENCE_END_EVENT) {
            yaml_anchors_close(&reader->anchors, node);
            return node;
        }
        struct yaml_node *item = read_node(reader, depth + 1);
        if (!item)
            return NULL;
        if (!add_item(node, item)) {
            out_of_memory(reader);
            return NULL;
        }
    }
    return NULL;
}

static bool is_null(const struct yaml_node *key)
{
    return !key->quoted && (!*key->text || strcmp(key->text, "~") == 0 || strcasecmp(key->text, "null") == 0);
}

/* An invalid node if it cannot be a key. */
static struct yaml_node *read_key(struct reader *reader, unsigned depth)
{
    if (reader->event.type == YAML_SCALAR_EVENT) {
        struct yaml_node *key = read_scalar(reader);
        if (key && key->kind == YAML_KIND_SCALAR && is_null(key)) {
            mistakes_add(reader->mistakes, key->place,
                         "a key cannot be empty or null; write it in quotes if it is text");
            key->kind = YAML_KIND_INVALID;
        }
        return key;
    }
    struct yaml_node *invalid = add_node(reader, YAML_KIND_INVALID);
    if (!invalid)
        return NULL;
    mistakes_add(reader->mistakes, invalid->place, "a key must be a text, not %s",
                 reader->event.type == YAML_ALIAS_EVENT            ? "an alias"
                 : reader->event.type == YAML_SEQUENCE_START_EVENT ? "a list"
                                                                   : "a map");
    return read_node(reader, depth) ? invalid : NULL;
}

/* Reads an entry whose key is the current event. *merge is the entry of "<<", once there is one. */
static bool read_entry(struct reader *reader, struct yaml_node *map, struct yaml_entry *merge, unsigned depth)
{
    struct yaml_entry entry = { 0 };

    if (!(entry.key = read_key(reader, depth)) || !next_event(reader) ||
        !(entry.value = read_node(reader, depth)))
        return false;
    adopt(map, entry.key);
    adopt(map, entry.value);
    if (entry.key->kind == YAML_KIND_INVALID)
        return true;
    if (!yaml_map_is_merge_key(entry.key))
        return yaml_map_add(map, &entry) || out_of_memory(reader);
    if (merge->key)
        mistakes_add(reader->mistakes, entry.key->place,
                     "\"<<\" is given twice; first on line %u; write <<: [*a, *b] for several maps",
                     merge->key->place.line);
    else
        *merge = entry;
    return true;
}

static struct yaml_node *read_map(struct reader *reader, unsigned depth)
{
    struct yaml_node *node = add_node(reader, YAML_KIND_MAP);
    struct yaml_entry merge = { 0 };

    if (!node || !add_anchor(reader, node, reader->event.data.mapping_start.anchor))
        return NULL;
    check_tag(reader, node, reader->event.data.mapping_start.tag);
    while (next_event(reader)) {
        if (reader->event.type == YAML_MAPPING_END_EVENT) {
            yaml_anchors_close(&reader->anchors, node);
            if (!yaml_map_finish(node, merge.value, reader->mistakes)) {
                out_of_memory(reader);
                return NULL;
            }
            return node;
        }
        if (!read_entry(reader, node, &merge, depth + 1))
            return NULL;
    }
    return NULL;
}

/* Reads the value that begins with the current event, to its last event. */
static struct yaml_node *read_node(struct reader *reader, unsigned depth)
{
    if (!check_depth(reader, depth, 1))
        return NULL;
    switch (reader->event.type) {
    case YAML_ALIAS_EVENT:
        return read_alias(reader, depth);
    case YAML_SEQUENCE_START_EVENT:
        return read_sequence(reader, depth);
    case YAML_MAPPING_START_EVENT:
        return read_map(reader, depth);
    default: {
        struct yaml_node *node = read_scalar(reader);
        return node && replace_references(reader, node) ? node : NULL;
    }
    }
}

/* ---- the file ------------------------------------------------------------------------------------------ */

static bool is_empty(const struct yaml_node *node)
{
    return node->kind == YAML_KIND_SCALAR && !node->quoted && !node->has_reference && !*node->text;
}

static bool read_stream(struct reader *reader)
{
    if (!next_event(reader) || !next_event(reader))
        return false;
    if (reader->event.type == YAML_STREAM_END_EVENT) {
        mistakes_add(reader->mistakes, whole_file, "the file is empty");
        return false;
    }
    if (!next_event(reader))
        return false;
    const struct yaml_node *root = read_node(reader, 1);
    if (!root || !next_event(reader) || !next_event(reader))
        return false;
    if (reader->event.type != YAML_STREAM_END_EVENT)
        mistakes_add(reader->mistakes, here(reader), "a second document begins here; husk reads one");
    else if (is_empty(root))
        mistakes_add(reader->mistakes, whole_file, "the file is empty");
    reader->tree->root = is_empty(root) ? NULL : root;
    return reader->tree->root;
}

static void close_reader(struct reader *reader)
{
    yaml_anchors_deinit(&reader->anchors);
    yaml_event_delete(&reader->event);
    yaml_parser_delete(&reader->parser);
}

bool yaml_tree_read_text(struct yaml_tree *tree, const char *text, size_t length, yaml_look_up *look_up,
                         struct mistakes *mistakes)
{
    struct reader reader = {
        .text = { text, length }, .look_up = look_up, .tree = tree, .mistakes = mistakes
    };

    *tree = (struct yaml_tree) { 0 };
    if (!yaml_text_check(&reader.text, mistakes))
        return false;
    if (!yaml_parser_initialize(&reader.parser))
        return out_of_memory(&reader);
    reader.rest = reader.text;
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, (const yaml_char_t *)reader.text.bytes, reader.text.length);
    bool read = read_stream(&reader);
    close_reader(&reader);
    return read;
}

bool yaml_tree_read_file(struct yaml_tree *tree, const char *path, yaml_look_up *look_up,
                         struct mistakes *mistakes)
{
    size_t length;
    char *text;

    *tree = (struct yaml_tree) { 0 };
    if (!yaml_text_read(path, &text, &length, mistakes))
        return false;
    bool read = yaml_tree_read_text(tree, text, length, look_up, mistakes);
    free(text);
    return read;
}

void yaml_tree_deinit(struct yaml_tree *tree)
{
    yaml_node_free_all(tree->all);
    *tree = (struct yaml_tree) { 0 };
}
