/* config/key_path.c: the way to a value. */
#include "config/key_path.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

static void keys_and_indices_are_added_and_cut(void **state)
{
    struct key_path path = { 0 };

    (void)state;
    assert_int_equal(key_path_add_key(&path, "routes"), 0);
    assert_string_equal(path.text, "routes");
    size_t list = key_path_add_index(&path, 0);
    assert_string_equal(path.text, "routes[0]");
    key_path_add_key(&path, "tls");
    size_t before = key_path_add_key(&path, "cert_file-2");
    assert_string_equal(path.text, "routes[0].tls.cert_file-2");
    key_path_cut(&path, before);
    assert_string_equal(path.text, "routes[0].tls");
    key_path_cut(&path, list);
    key_path_add_index(&path, 12);
    assert_string_equal(path.text, "routes[12]");
    key_path_cut(&path, 0);
    assert_string_equal(path.text, "");
    key_path_add_index(&path, 3);
    assert_string_equal(path.text, "[3]");
}

static void a_key_with_other_characters_is_quoted(void **state)
{
    struct key_path path = { 0 };

    (void)state;
    key_path_add_key(&path, "a.b");
    key_path_add_key(&path, "");
    key_path_add_key(&path, "c\nd");
    key_path_add_key(&path, "e");
    assert_string_equal(path.text, "[\"a.b\"][\"\"][\"c\\x0ad\"].e");
}

static void a_long_path_ends_with_an_ellipsis_once(void **state)
{
    struct key_path path = { 0 };
    size_t lengths[40];

    (void)state;
    for (size_t i = 0; i < 40; i++)
        lengths[i] = key_path_add_key(&path, "abcdefghi");
    assert_int_equal(path.length, strlen(path.text));
    assert_string_equal(path.text + path.length - 12, "abcdefghi…");
    assert_ptr_equal(strstr(path.text, "…"), path.text + path.length - 3);
    for (size_t i = 40; i-- > 0;)
        key_path_cut(&path, lengths[i]);
    key_path_add_key(&path, "a");
    assert_string_equal(path.text, "a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_and_indices_are_added_and_cut),
        cmocka_unit_test(a_key_with_other_characters_is_quoted),
        cmocka_unit_test(a_long_path_ends_with_an_ellipsis_once),
    };

    return cmocka_run_group_tests_name("key_path", tests, NULL, NULL);
}
