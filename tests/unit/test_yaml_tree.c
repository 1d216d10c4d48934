/* config/yaml_tree.c, yaml_map.c, yaml_node.c, yaml_syntax.c, yaml_text.c: texts become trees, or mistakes.
 */
#include "config/yaml_tree.h"

#include "config/yaml_text.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *look_up(const char *name)
{
    return strcmp(name, "A") == 0 ? "alpha" : strcmp(name, "EMPTY") == 0 ? "" : NULL;
}

/* ---- printing a tree ----------------------------------------------------------------------------------- */

static void print_node(const struct yaml_node *node, FILE *out);

static void print_scalar(const struct yaml_node *node, FILE *out)
{
    const char *quote = node->quoted ? "'" : "";

    fprintf(out, "%s%s%s%s", node->has_reference ? "$" : "", quote, node->text, quote);
}

static void print_map(const struct yaml_node *node, FILE *out)
{
    fputc('{', out);
    for (size_t i = 0; i < node->count; i++) {
        fputs(i ? ", " : "", out);
        print_node(node->entries[i].key, out);
        fputs(": ", out);
        print_node(node->entries[i].value, out);
    }
    fputc('}', out);
}

static void print_sequence(const struct yaml_node *node, FILE *out)
{
    fputc('[', out);
    for (size_t i = 0; i < node->count; i++) {
        fputs(i ? ", " : "", out);
        print_node(node->items[i], out);
    }
    fputc(']', out);
}

/* A line of flow style with the place of each node; "$" marks references, "?" an invalid node. */
static void print_node(const struct yaml_node *node, FILE *out)
{
    switch (node->kind) {
    case YAML_KIND_INVALID:
        fputc('?', out);
        break;
    case YAML_KIND_SCALAR:
        print_scalar(node, out);
        break;
    case YAML_KIND_SEQUENCE:
        print_sequence(node, out);
        break;
    case YAML_KIND_MAP:
        print_map(node, out);
        break;
    }
    fprintf(out, "@%u:%u", node->place.line, node->place.column);
}

static char *print_mistakes(const struct mistakes *mistakes)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    assert_non_null(out);
    mistakes_print(mistakes, out);
    fclose(out);
    return text;
}

/* Reads the text; expects this tree, or NULL for none, and these mistakes. */
static void expect_read(const char *text, size_t length, const char *tree_expected,
                        const char *mistakes_expected)
{
    struct mistakes mistakes;
    struct yaml_tree tree;
    char *printed = NULL;
    size_t printed_length;

    mistakes_init(&mistakes, "f");
    bool read = yaml_tree_read_text(&tree, text, length, look_up, &mistakes);
    char *found = print_mistakes(&mistakes);
    if (strcmp(found, mistakes_expected) != 0)
        fail_msg("%.200s\nhas the mistakes:\n%sbut expected:\n%s", text, found, mistakes_expected);
    assert_true(read || mistakes.count);
    assert_int_equal(read, tree.root != NULL);
    if (read) {
        FILE *out = open_memstream(&printed, &printed_length);
        assert_non_null(out);
        print_node(tree.root, out);
        fclose(out);
        assert_non_null(tree_expected);
        if (strcmp(printed, tree_expected) != 0)
            fail_msg("%.200s\nis:\n%s\nbut expected:\n%s", text, printed, tree_expected);
    } else {
        assert_null(tree_expected);
    }
    free(printed);
    free(found);
    yaml_tree_deinit(&tree);
    mistakes_deinit(&mistakes);
}

static void expect_tree(const char *text, const char *expected)
{
    expect_read(text, strlen(text), expected, "");
}

/* ---- trees --------------------------------------------------------------------------------------------- */

static void values_have_places(void **state)
{
    (void)state;
    expect_tree("a: 1\nbb:\n  - c\n  -  d: e\n     f:\n", "{a@1:1: 1@1:4, bb@2:1: [c@3:5, {d@4:6: e@4:9, "
                                                          "f@5:6: @5:8}@4:6]@3:3}@1:1");
    expect_tree("{a: [1, {b: c}], d: }", "{a@1:2: [1@1:6, {b@1:10: c@1:13}@1:9]@1:5, d@1:18: @1:21}@1:1");
    expect_tree("# c\n\n--- # d\na: b # e\n...\n", "{a@4:1: b@4:4}@4:1");
    expect_tree("a", "a@1:1");
    expect_tree("- a", "[a@1:3]@1:1");
    expect_tree("? a\n: b\n? c\n", "{a@1:3: b@2:3, c@3:3: @4:1}@1:1");
}

static void columns_count_characters(void **state)
{
    (void)state;
    expect_tree("\303\244\342\202\254: [\360\237\230\200, a]\n", "{\303\244\342\202\254@1:1: "
                                                                 "[\360\237\230\200@1:6, a@1:9]@1:5}@1:1");
    expect_tree("\357\273\277a: 1", "{a@1:1: 1@1:4}@1:1"); /* a BOM has no width */
    /* in quotes, in a block and in a comment, a no-break space is a character as others */
    expect_tree("a: \"\302\240\" # \302\240\n'\302\240': |\n  \302\240b\n",
                "{a@1:1: '\302\240'@1:4, '\302\240'@2:1: '\302\240b\n'@2:6}@1:1");
    expect_tree("a: 1\r\nb:\r\n  - c\r\n", "{a@1:1: 1@1:4, b@2:1: [c@3:5]@3:3}@1:1");
    expect_tree("a: 1\rb: 2", "{a@1:1: 1@1:4, b@2:1: 2@2:4}@1:1");
}

static void plain_and_quoted_texts_differ(void **state)
{
    (void)state;
    expect_tree("[a, 'a', \"a\", no, 'no', '', \"\"]",
                "[a@1:2, 'a'@1:5, 'a'@1:10, no@1:15, 'no'@1:19, ''@1:25, ''@1:29]@1:1");
    expect_tree("a: |\n  x\n  y\nb: >-\n  x\n  y\n", "{a@1:1: 'x\ny\n'@1:4, b@4:1: 'x y'@4:4}@1:1");
    expect_tree("a: x\n  y\n", "{a@1:1: x y@1:4}@1:1");
    expect_tree("a: !!str 1\n!!str no: \"x\"\nb: !!str\n",
                "{a@1:1: '1'@1:4, 'no'@2:1: 'x'@2:11, b@3:1: ''@3:4}@1:1");
    expect_tree("\"a\\tb\\x41\\u00e9\"", "'a\tbA\303\251'@1:1");
}

static void references_in_values_are_replaced(void **state)
{
    (void)state;
    expect_tree(
        "a: ${A}\nb: 'x ${A}'\nc: [\"${UNSET:-1, 2}\"]\nd: |\n  ${A}\n",
        "{a@1:1: $alpha@1:4, b@2:1: $'x alpha'@2:4, c@3:1: [$'1, 2'@3:5]@3:4, d@4:1: $'alpha\n'@4:4}@1:1");
    expect_tree("a: ${EMPTY}\nb: $${A}\n${A}: $A\n", "{a@1:1: $@1:4, b@2:1: ${A}@2:4, ${A}@3:1: $A@3:7}@1:1");
    expect_tree("${EMPTY}", "$@1:1");
}

static void aliases_are_the_nodes_of_their_anchors(void **state)
{
    struct mistakes mistakes;
    struct yaml_tree tree;
    const char text[] = "a: &x [1]\nb: *x\nc: [*x, &y 2, *y]\n";

    (void)state;
    expect_tree(text, "{a@1:1: [1@1:8]@1:4, b@2:1: [1@1:8]@1:4, c@3:1: [[1@1:8]@1:4, 2@3:9, 2@3:9]@3:4}@1:1");
    mistakes_init(&mistakes, "f");
    assert_true(yaml_tree_read_text(&tree, text, strlen(text), look_up, &mistakes));
    assert_ptr_equal(yaml_node_find(tree.root, "a"), yaml_node_find(tree.root, "b"));
    assert_null(yaml_node_find(tree.root, "d"));
    yaml_tree_deinit(&tree);
    assert_null(tree.root);
}

static void maps_are_merged(void **state)
{
    (void)state;
    /* The map's own entries win, wherever "<<" stands. */
    expect_tree("- &x {p: 1, q: 2}\n- {q: 3, <<: *x}\n- {<<: *x, q: 3}\n",
                "[{p@1:7: 1@1:10, q@1:13: 2@1:16}@1:3, {q@2:4: 3@2:7, p@1:7: 1@1:10}@2:3, "
                "{q@3:12: 3@3:15, p@1:7: 1@1:10}@3:3]@1:1");
    /* An earlier map of a list wins. */
    expect_tree("- &x {p: 1}\n- &y {p: 2, q: 3}\n- <<: [*x, *y]\n- <<: [*y, *x]\n",
                "[{p@1:7: 1@1:10}@1:3, {p@2:7: 2@2:10, q@2:13: 3@2:16}@2:3, "
                "{p@1:7: 1@1:10, q@2:13: 3@2:16}@3:3, {p@2:7: 2@2:10, q@2:13: 3@2:16}@4:3]@1:1");
    /* A merged map may have merged itself. */
    expect_tree("- &x {p: 1}\n- &y {<<: *x, q: 2}\n- <<: *y\n",
                "[{p@1:7: 1@1:10}@1:3, {q@2:15: 2@2:18, p@1:7: 1@1:10}@2:3, "
                "{q@2:15: 2@2:18, p@1:7: 1@1:10}@3:3]@1:1");
    /* Maps inside are not merged into each other. A map without an anchor can be merged. */
    expect_tree("- &x {m: {p: 1}}\n- {<<: *x, m: {q: 2}}\n- {<<: {r: 3}}\n- {<<: []}\n",
                "[{m@1:7: {p@1:11: 1@1:14}@1:10}@1:3, {m@2:12: {q@2:16: 2@2:19}@2:15}@2:3, "
                "{r@3:9: 3@3:12}@3:3, {}@4:3]@1:1");
    /* Only a plain "<<" merges. */
    expect_tree("'<<': 1\n", "{'<<'@1:1: 1@1:7}@1:1");
}

static void kinds_have_names(void **state)
{
    static const struct {
        const char *text, *name;
    } rows[] = {
        { "a", "a text" }, { "[]", "a list" }, { "{}", "a map" }, { "''", "a text" }, { "${EMPTY}", "a text" }
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct mistakes mistakes;
        struct yaml_tree tree;

        mistakes_init(&mistakes, "f");
        assert_true(yaml_tree_read_text(&tree, rows[i].text, strlen(rows[i].text), look_up, &mistakes));
        assert_string_equal(yaml_node_kind_name(tree.root), rows[i].name);
        yaml_tree_deinit(&tree);
    }
}

/* ---- mistakes ------------------------------------------------------------------------------------------ */

static const struct row {
    const char *text;
    size_t length;
    const char *mistakes;
} rows[] = {
#include "yaml_mistakes.inc"
};

static void mistakes_are_said_in_plain_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        /* In a block of its own size, so that a sanitizer finds a read behind its end. */
        char *text = malloc(rows[i].length ? rows[i].length : 1);
        assert_non_null(text);
        memcpy(text, rows[i].text, rows[i].length);
        struct mistakes mistakes;
        struct yaml_tree tree;
        mistakes_init(&mistakes, "f");
        bool read = yaml_tree_read_text(&tree, text, rows[i].length, look_up, &mistakes);
        char *found = print_mistakes(&mistakes);
        if (strcmp(found, rows[i].mistakes) != 0)
            fail_msg("%.200s\nhas the mistakes:\n%sbut expected:\n%s", rows[i].text, found, rows[i].mistakes);
        assert_int_equal(read, tree.root != NULL);
        free(found);
        free(text);
        yaml_tree_deinit(&tree);
        mistakes_deinit(&mistakes);
    }
}

static void expect_tree_with_mistakes(const char *text, const char *tree, const char *mistakes)
{
    expect_read(text, strlen(text), tree, mistakes);
}

static void a_value_with_a_mistake_is_invalid(void **state)
{
    (void)state;
    expect_tree_with_mistakes(
        "a: *x\nb: &y !t [1]\nc: *y\nd: ${UNSET}\ne: {<<: *y, f: 1}\n",
        "{a@1:1: ?@1:4, b@2:1: ?@2:4, c@3:1: ?@2:4, d@4:1: ?@4:4, e@5:1: {f@5:13: 1@5:16}@5:4}@1:1",
        "f:1:4: the alias *x has no anchor above; write a text that begins with \"*\" in quotes\n"
        "f:2:4: the tag \"!t\" cannot stand here; husk takes only !!str, before a text\n"
        "f:4:4: the variable UNSET is not set; ${UNSET:-default} would give it a default\n");
}

static void the_first_of_equal_keys_stays(void **state)
{
    (void)state;
    expect_tree_with_mistakes("a: 1\nb: 2\na: 3\n", "{a@1:1: 1@1:4, b@2:1: 2@2:4}@1:1",
                              "f:3:1: \"a\" is given twice; first on line 1\n");
}

static void an_entry_with_a_wrong_key_is_left_out(void **state)
{
    (void)state;
    expect_tree_with_mistakes("[a]: 1\n~: {b: 2}\nc: 3\n", "{c@3:1: 3@3:4}@1:1",
                              "f:1:1: a key must be a text, not a list\n"
                              "f:2:1: a key cannot be empty or null; write it in quotes if it is text\n");
}

static void an_empty_file_has_no_root(void **state)
{
    static const char *const texts[] = { "", "\n", "# a\n", "---\n", "--- # a\n...\n", "\357\273\277" };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        expect_tree_with_mistakes(texts[i], NULL, "f: the file is empty\n");
}

static void a_second_document_is_not_read(void **state)
{
    (void)state;
    expect_tree_with_mistakes("a: 1\n---\nb: [\n", "{a@1:1: 1@1:4}@1:1",
                              "f:2:1: a second document begins here; husk reads one\n");
}

/* ---- limits -------------------------------------------------------------------------------------------- */

/* "beginning", `count` times "part", "end". */
static char *repeat(const char *beginning, const char *part, size_t count, const char *end)
{
    size_t before = strlen(beginning), bytes = strlen(part);
    char *text = malloc(before + count * bytes + strlen(end) + 1);

    assert_non_null(text);
    memcpy(text, beginning, before);
    for (size_t i = 0; i < count; i++)
        memcpy(text + before + i * bytes, part, bytes);
    strcpy(text + before + count * bytes, end);
    return text;
}

static void expect_mistakes(char *text, const char *expected)
{
    expect_read(text, strlen(text), NULL, expected);
    free(text);
}

static void expect_no_mistake(char *text)
{
    struct mistakes mistakes;
    struct yaml_tree tree;

    mistakes_init(&mistakes, "f");
    assert_true(yaml_tree_read_text(&tree, text, strlen(text), look_up, &mistakes));
    assert_int_equal(mistakes.count, 0);
    yaml_tree_deinit(&tree);
    free(text);
}

static void a_file_has_a_length(void **state)
{
    (void)state;
    expect_no_mistake(repeat("a: 1\n#", "x", YAML_TEXT_BYTES_MAX - 6, ""));
    expect_mistakes(repeat("a: 1\n#", "x", YAML_TEXT_BYTES_MAX - 5, ""),
                    "f: the file is longer than 1048576 bytes\n");
}

static void values_have_a_depth(void **state)
{
    (void)state;
    expect_no_mistake(repeat("", "[", 31, "x]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"));
    expect_mistakes(repeat("", "[", 32, "x"), "f:1:33: values are nested more than 32 levels deep\n");
    expect_mistakes(repeat("", "- ", 100000, "x"), "f:1:65: values are nested more than 32 levels deep\n");
    /* 16 levels of the anchor inside 16 and 17 others, with the map of the file and its list. */
    char *anchor = repeat("- &x ", "[", 15, "x]]]]]]]]]]]]]]]\n- ");
    char *deep = repeat(anchor, "[", 15, "*x]]]]]]]]]]]]]]]\n"), *deeper = repeat(anchor, "[", 16, "*x");
    expect_no_mistake(deep);
    expect_mistakes(deeper, "f:2:19: values are nested more than 32 levels deep\n");
    free(anchor);
}

static void aliases_count_like_copies(void **state)
{
    (void)state;
    expect_no_mistake(repeat("[", "a,", YAML_TREE_NODES_MAX - 1, "]"));
    expect_mistakes(repeat("[", "a,", YAML_TREE_NODES_MAX, "]"),
                    "f:1:200000: more than 100000 keys and values; each alias counts like a copy\n");
    /* 1 + 11 + 111 + 1111 + 11111 nodes, and 9 times 11111 fit; a tenth does not. */
    expect_mistakes(repeat("- &a [x,x,x,x,x,x,x,x,x,x]\n"
                           "- &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
                           "- &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
                           "- &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
                           "- &e [",
                           "*d,", 100, "]\n"),
                    "f:5:28: more than 100000 keys and values; each alias counts like a copy\n");
    expect_mistakes(repeat("- &a {k: 1, l: 2}\n", "- <<: *a\n", 100000, ""),
                    "f:14286:7: more than 100000 keys and values; each alias counts like a copy\n");
}

static void anchors_have_a_number(void **state)
{
    char *text = NULL;
    size_t length;

    (void)state;
    for (unsigned count = YAML_TREE_ANCHORS_MAX; count <= YAML_TREE_ANCHORS_MAX + 1; count++) {
        FILE *out = open_memstream(&text, &length);
        assert_non_null(out);
        for (unsigned i = 0; i < count; i++)
            fprintf(out, "- &a%u x\n", i);
        fclose(out);
        if (count == YAML_TREE_ANCHORS_MAX)
            expect_no_mistake(text);
        else
            expect_mistakes(text, "f:1001:3: more than 1000 anchors\n");
    }
}

static const char *look_up_long(const char *name)
{
    static char value[1 << 15];

    (void)name;
    memset(value, 'x', sizeof value - 1);
    return value;
}

static void replaced_references_have_a_limit(void **state)
{
    char *text = repeat("", "- ${A}\n", 33, "");
    struct mistakes mistakes;
    struct yaml_tree tree;

    (void)state;
    mistakes_init(&mistakes, "f");
    assert_false(yaml_tree_read_text(&tree, text, strlen(text), look_up_long, &mistakes));
    char *found = print_mistakes(&mistakes);
    assert_string_equal(found, "f:33:3: more than 1048576 bytes after references are replaced\n");
    free(found);
    free(text);
    yaml_tree_deinit(&tree);
    mistakes_deinit(&mistakes);
}

/* ---- files --------------------------------------------------------------------------------------------- */

static void expect_file(const char *path, const char *expected)
{
    struct mistakes mistakes;
    struct yaml_tree tree;

    mistakes_init(&mistakes, "f");
    bool read = yaml_tree_read_file(&tree, path, look_up, &mistakes);
    char *found = print_mistakes(&mistakes);
    assert_string_equal(found, expected);
    assert_int_equal(read, !*expected);
    assert_int_equal(read, tree.root != NULL);
    free(found);
    yaml_tree_deinit(&tree);
    mistakes_deinit(&mistakes);
}

static void write_file(const char *path, const char *text, size_t length)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

static void files_are_read(void **state)
{
    char directory[] = "/tmp/husk-yaml-XXXXXX", path[64];
    char *large = repeat("a: 1\n#", "x", YAML_TEXT_BYTES_MAX - 5, "");

    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/file", directory);
    expect_file(path, "f: cannot be read: No such file or directory\n");
    expect_file(directory, "f: cannot be read: it is a directory, not a regular file\n");
    assert_int_equal(mkfifo(path, 0600), 0);
    expect_file(path, "f: cannot be read: it is a device, socket or pipe, not a regular file\n");
    assert_int_equal(unlink(path), 0);
    write_file(path, "", 0);
    expect_file(path, "f: the file is empty\n");
    write_file(path, "a: 1\n", 5);
    expect_file(path, "");
    write_file(path, "a: 1\n\0", 6);
    expect_file(path, "f:2:1: a byte is 0; the file must be a text in UTF-8\n");
    write_file(path, large, YAML_TEXT_BYTES_MAX);
    expect_file(path, "");
    write_file(path, large, YAML_TEXT_BYTES_MAX + 1);
    expect_file(path, "f: the file is longer than 1048576 bytes\n");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(directory), 0);
    free(large);
}

static void lines_are_found(void **state)
{
    static const char text[] = "a\n\nb\302\265c\r\nd\re";
    static const char *const lines[] = { "a", "", "b\302\265c", "d", "e", "", "" };
    const struct yaml_text whole = { text, sizeof text - 1 };

    (void)state;
    for (unsigned i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct yaml_text line = yaml_text_line(&whole, i + 1);
        assert_int_equal(line.length, strlen(lines[i]));
        assert_memory_equal(line.bytes, lines[i], line.length);
        assert_true(line.bytes + line.length <= text + sizeof text - 1);
    }
    struct yaml_text line = yaml_text_line(&whole, 3), rest = yaml_text_from(&line, 3);
    assert_true(rest.length == 1 && *rest.bytes == 'c');
    assert_int_equal(yaml_text_from(&line, 4).length, 0);
    assert_int_equal(yaml_text_from(&line, 9).length, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_have_places),
        cmocka_unit_test(columns_count_characters),
        cmocka_unit_test(plain_and_quoted_texts_differ),
        cmocka_unit_test(references_in_values_are_replaced),
        cmocka_unit_test(aliases_are_the_nodes_of_their_anchors),
        cmocka_unit_test(maps_are_merged),
        cmocka_unit_test(kinds_have_names),
        cmocka_unit_test(mistakes_are_said_in_plain_words),
        cmocka_unit_test(a_value_with_a_mistake_is_invalid),
        cmocka_unit_test(the_first_of_equal_keys_stays),
        cmocka_unit_test(an_entry_with_a_wrong_key_is_left_out),
        cmocka_unit_test(an_empty_file_has_no_root),
        cmocka_unit_test(a_second_document_is_not_read),
        cmocka_unit_test(a_file_has_a_length),
        cmocka_unit_test(values_have_a_depth),
        cmocka_unit_test(aliases_count_like_copies),
        cmocka_unit_test(anchors_have_a_number),
        cmocka_unit_test(replaced_references_have_a_limit),
        cmocka_unit_test(files_are_read),
        cmocka_unit_test(lines_are_found),
    };

    return cmocka_run_group_tests_name("yaml_tree", tests, NULL, NULL);
}
