/* proxy/pki/file_writer.c: whole files, mode 0600, no remains. */
#include "pki/file_writer.h"
#include "support/pki.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <dirent.h>
#include <openssl/bio.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
    char directory[PKI_PATH_BYTES], path[PKI_PATH_BYTES];
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    pki_directory_make(fixture->directory);
    snprintf(fixture->path, sizeof fixture->path, "%.100s/file", fixture->directory);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    pki_directory_remove(fixture->directory);
    free(fixture);
    return 0;
}

static bool create(const char *path, const char *text, struct fault *fault)
{
    BIO *content = BIO_new_mem_buf(text, -1);
    bool is_written = file_writer_create(path, content, fault);

    BIO_free(content);
    return is_written;
}

static bool replace(const char *path, const char *like, const char *text, struct fault *fault)
{
    BIO *content = BIO_new_mem_buf(text, -1);
    bool is_written = file_writer_replace(path, like, content, fault);

    BIO_free(content);
    return is_written;
}

static void assert_alone(const struct fixture *fixture, const char *expected)
{
    char text[64] = "";
    struct stat status;
    struct dirent **entries;

    FILE *file = fopen(fixture->path, "r");
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    assert_string_equal(text, expected);
    assert_int_equal(stat(fixture->path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(status.st_nlink, 1);
    int count = scandir(fixture->directory, &entries, NULL, NULL);
    assert_int_equal(count, 3); /* . and .. too */
    while (count)
        free(entries[--count]);
    free(entries);
}

static void test_a_file_is_created_once(void **state)
{
    struct fixture *fixture = *state;
    struct fault fault;

    umask(0);
    assert_true(create(fixture->path, "first", &fault));
    assert_alone(fixture, "first");
    assert_false(create(fixture->path, "second", &fault));
    assert_non_null(strstr(fault.text, "/file: File exists"));
    assert_alone(fixture, "first");
}

static void test_a_file_is_replaced(void **state)
{
    struct fixture *fixture = *state;
    struct fault fault;

    assert_true(replace(fixture->path, fixture->path, "first", &fault));
    assert_true(replace(fixture->path, fixture->path, "second", &fault));
    assert_alone(fixture, "second");
}

static void test_a_file_keeps_the_rights_of_the_file_it_replaces(void **state)
{
    struct fixture *fixture = *state;
    struct stat status;
    struct fault fault;

    assert_true(create(fixture->path, "first", &fault));
    assert_int_equal(chmod(fixture->path, 0640), 0);
    assert_true(replace(fixture->path, fixture->path, "second", &fault));
    assert_int_equal(stat(fixture->path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0640);
}

static void test_a_folder_that_is_missing_is_named(void **state)
{
    struct fixture *fixture = *state;
    struct fault fault;
    char path[2 * PKI_PATH_BYTES];

    snprintf(path, sizeof path, "%s/none/file", fixture->directory);
    assert_false(create(path, "text", &fault));
    assert_non_null(strstr(fault.text, "/none/file: No such file or directory"));
}

static void test_remains_are_swept(void **state)
{
    struct fixture *fixture = *state;
    struct fault fault;
    char path[PKI_PATH_BYTES];

    assert_true(create(fixture->path, "text", &fault));
    pki_write(fixture->directory, ".husk-fileAbCdEf.tmp", "half", path);
    file_writer_sweep(fixture->directory);
    assert_alone(fixture, "text");
}

#define WITH_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIRECTORY(test_a_file_is_created_once),
        WITH_DIRECTORY(test_a_file_is_replaced),
        WITH_DIRECTORY(test_a_file_keeps_the_rights_of_the_file_it_replaces),
        WITH_DIRECTORY(test_a_folder_that_is_missing_is_named),
        WITH_DIRECTORY(test_remains_are_swept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
