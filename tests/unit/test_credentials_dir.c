/* proxy/trust/credentials_dir.c, proxy/trust/credentials_files.c and proxy/trust/system_cas.c: which files a
 * set is loaded from. */
#include "support/pki.h"
#include "trust/credentials_files.h"
#include "trust/system_cas.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAMES(...) ((const char *const[]) { __VA_ARGS__, NULL })
#define NONE                                                                                                 \
    "holds no certificate under a known name: expected tls.crt and tls.key, or svid.pem and svid_key.pem, "  \
    "or "
#define NONE_CLIENT                                                                                          \
    NONE "client.crt.pem and client.key.pem, or certs/client.crt.pem and private/client.key.pem; the "       \
         "directory has: "

struct fixture {
    char path[PKI_PATH_BYTES], certs[PKI_PATH_BYTES], keys[PKI_PATH_BYTES];
    struct credentials_dir dir;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    pki_directory_make(fixture->path);
    snprintf(fixture->certs, PKI_PATH_BYTES, "%.100s/certs", fixture->path);
    snprintf(fixture->keys, PKI_PATH_BYTES, "%.100s/private", fixture->path);
    *state = fixture;
    return 0;
}

static void clear(const struct fixture *fixture)
{
    if (access(fixture->certs, F_OK) == 0)
        pki_directory_remove(fixture->certs);
    if (access(fixture->keys, F_OK) == 0)
        pki_directory_remove(fixture->keys);
    pki_directory_remove(fixture->path);
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    clear(fixture);
    free(fixture);
    return 0;
}

/* The directory has these files and no others. */
static void fill(const struct fixture *fixture, const char *const *names)
{
    char path[PKI_PATH_BYTES];

    clear(fixture);
    assert_int_equal(mkdir(fixture->path, 0700), 0);
    for (size_t i = 0; names[i]; i++) {
        if (strncmp(names[i], "certs/", 6) == 0)
            (void)mkdir(fixture->certs, 0700);
        if (strncmp(names[i], "private/", 8) == 0)
            (void)mkdir(fixture->keys, 0700);
        pki_write(fixture->path, names[i], "", path);
    }
}

/* `name` NULL: no file. */
static void assert_name(const struct fixture *fixture, const char *path, const char *name)
{
    char expected[PATH_MAX] = "";

    if (name)
        snprintf(expected, sizeof expected, "%s/%s", fixture->path, name);
    assert_string_equal(path, expected);
}

static const char *refused(struct fixture *fixture, enum tls_role role, const char *const *names)
{
    static struct fault fault;

    fill(fixture, names);
    assert_false(credentials_dir_find(&fixture->dir, fixture->path, role, CREDENTIALS_DIR_CA_NEEDED, &fault));
    assert_memory_equal(fault.text, fixture->path, strlen(fixture->path));
    return fault.text + strlen(fixture->path) + 2;
}

static void each_layout_is_known_for_both_roles(void **state)
{
    const struct row {
        enum tls_role role;
        const char *const *names; /* certificate, key, CAs */
        const char *layout;
    } rows[] = {
        { TLS_CLIENT, NAMES("tls.crt", "tls.key", "ca.crt"), "kubernetes.io/tls" },
        { TLS_SERVER, NAMES("tls.crt", "tls.key", "ca.crt"), "kubernetes.io/tls" },
        { TLS_SERVER, NAMES("tls.crt", "tls.key", "ca.pem"), "kubernetes.io/tls" },
        { TLS_CLIENT, NAMES("svid.pem", "svid_key.pem", "svid_bundle.pem"), "spiffe-helper" },
        { TLS_SERVER, NAMES("svid.pem", "svid_key.pem", "svid_bundle.pem"), "spiffe-helper" },
        { TLS_CLIENT, NAMES("client.crt.pem", "client.key.pem", "ca.crt.pem"), "husk pki" },
        { TLS_SERVER, NAMES("server.crt.pem", "server.key.pem", "ca.crt.pem"), "husk pki" },
        { TLS_CLIENT, NAMES("certs/client.crt.pem", "private/client.key.pem", "certs/ca.crt.pem"),
          "husk pki --profile seed" },
        { TLS_SERVER, NAMES("certs/server.crt.pem", "private/server.key.pem", "certs/ca.crt.pem"),
          "husk pki --profile seed" },
    };
    struct fixture *fixture = *state;
    struct fault fault;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fill(fixture, rows[i].names);
        assert_true(credentials_dir_find(&fixture->dir, fixture->path, rows[i].role,
                                         CREDENTIALS_DIR_CA_NEEDED, &fault));
        assert_string_equal(fixture->dir.layout, rows[i].layout);
        assert_name(fixture, fixture->dir.cert, rows[i].names[0]);
        assert_name(fixture, fixture->dir.key, rows[i].names[1]);
        assert_name(fixture, fixture->dir.ca, rows[i].names[2]);
        assert_name(fixture, fixture->dir.passphrase, NULL);
        assert_name(fixture, fixture->dir.shared_key, NULL);
    }
}

static void one_directory_serves_both_roles(void **state)
{
    struct fixture *fixture = *state;
    struct fault fault;

    fill(fixture, NAMES("client.crt.pem", "client.key.pem", "server.crt.pem", "server.key.pem", "ca.crt.pem",
                        "ca.key.pem", "intermediate.crt.pem", "index.txt"));
    assert_true(
        credentials_dir_find(&fixture->dir, fixture->path, TLS_CLIENT, CREDENTIALS_DIR_CA_NEEDED, &fault));
    assert_name(fixture, fixture->dir.cert, "client.crt.pem");
    assert_true(
        credentials_dir_find(&fixture->dir, fixture->path, TLS_SERVER, CREDENTIALS_DIR_CA_NEEDED, &fault));
    assert_name(fixture, fixture->dir.cert, "server.crt.pem");
}

static void the_passphrase_of_the_role_comes_first(void **state)
{
    struct fixture *fixture = *state;
    struct fault fault;

    fill(fixture, NAMES("client.crt.pem", "client.key.pem", "ca.crt.pem", "server.key.passphrase",
                        "fluent.shared.key"));
    assert_true(
        credentials_dir_find(&fixture->dir, fixture->path, TLS_CLIENT, CREDENTIALS_DIR_CA_NEEDED, &fault));
    assert_name(fixture, fixture->dir.passphrase, "server.key.passphrase");
    assert_name(fixture, fixture->dir.shared_key, "fluent.shared.key");
    fill(fixture, NAMES("client.crt.pem", "client.key.pem", "ca.crt.pem", "server.key.passphrase",
                        "client.key.passphrase"));
    assert_true(
        credentials_dir_find(&fixture->dir, fixture->path, TLS_CLIENT, CREDENTIALS_DIR_CA_NEEDED, &fault));
    assert_name(fixture, fixture->dir.passphrase, "client.key.passphrase");
}

static void what_is_missing_is_named_with_what_is_there(void **state)
{
    const struct row {
        enum tls_role role;
        const char *const *names;
        const char *fault;
    } rows[] = {
        { TLS_CLIENT, NAMES(NULL), NONE_CLIENT "nothing" },
        { TLS_CLIENT, NAMES("server.crt.pem", "server.key.pem", "ca.crt.pem"),
          NONE_CLIENT "ca.crt.pem, server.crt.pem, server.key.pem" },
        { TLS_CLIENT, NAMES("ca.crt", ".hidden"), NONE_CLIENT "ca.crt" },
        { TLS_CLIENT, NAMES("1", "2", "3", "4", "5", "6", "7", "8", "9", "a"),
          NONE_CLIENT "1, 2, 3, 4, 5, 6, 7, 8 and 2 more" },
        { TLS_CLIENT, NAMES("tls.crt"),
          "lacks tls.key of the layout kubernetes.io/tls; the directory has: tls.crt" },
        { TLS_CLIENT, NAMES("tls.key", "ca.crt"),
          "lacks tls.crt of the layout kubernetes.io/tls; the directory has: ca.crt, tls.key" },
        { TLS_SERVER, NAMES("tls.key", "tls.crt"),
          "lacks ca.crt of the layout kubernetes.io/tls (--ca can name another file); the directory has: "
          "tls.crt, "
          "tls.key" },
        { TLS_SERVER, NAMES("server.crt.pem", "ca.crt.pem"),
          "lacks server.key.pem of the layout husk pki; the directory has: ca.crt.pem, server.crt.pem" },
        { TLS_SERVER, NAMES("svid.pem", "svid_key.pem"),
          "lacks svid_bundle.pem of the layout spiffe-helper (--ca can name another file); the directory "
          "has: "
          "svid.pem, svid_key.pem" },
        { TLS_SERVER, NAMES("tls.crt", "tls.key", "ca.crt", "server.key.pem"),
          "has files of two kinds, tls.crt and server.key.pem: leave one of them" },
        { TLS_SERVER, NAMES("tls.crt", "tls.key", "ca.crt", "ca.pem"),
          "has files of two kinds, ca.crt and ca.pem: leave one of them" },
        { TLS_SERVER, NAMES("server.crt.pem", "server.key.pem", "ca.crt.pem", "certs/server.crt.pem"),
          "has files of two kinds, server.crt.pem and certs/server.crt.pem: leave one of them" },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(refused(*state, rows[i].role, rows[i].names), rows[i].fault);
}

static void the_cas_may_be_elsewhere(void **state)
{
    struct fixture *fixture = *state;
    struct fault fault;

    fill(fixture, NAMES("tls.crt", "tls.key"));
    assert_true(
        credentials_dir_find(&fixture->dir, fixture->path, TLS_CLIENT, CREDENTIALS_DIR_CA_ELSEWHERE, &fault));
    assert_string_equal(fixture->dir.ca, "");
    fill(fixture, NAMES("tls.crt", "tls.key", "ca.crt", "ca.pem"));
    assert_true(
        credentials_dir_find(&fixture->dir, fixture->path, TLS_CLIENT, CREDENTIALS_DIR_CA_ELSEWHERE, &fault));
    assert_string_equal(fixture->dir.ca, "");
}

static void a_path_that_is_no_directory_is_named(void **state)
{
    struct fixture *fixture = *state;
    char path[PKI_PATH_BYTES], expected[FAULT_TEXT_BYTES];
    struct fault fault;

    pki_write(fixture->path, "file", "", path);
    assert_false(credentials_dir_find(&fixture->dir, path, TLS_CLIENT, CREDENTIALS_DIR_CA_NEEDED, &fault));
    snprintf(expected, sizeof expected, "%s: is no directory", path);
    assert_string_equal(fault.text, expected);
    assert_false(credentials_dir_find(&fixture->dir, "/none", TLS_CLIENT, CREDENTIALS_DIR_CA_NEEDED, &fault));
    assert_string_equal(fault.text, "/none: No such file or directory");
}

/* ---- the files of a set ---- */

static void settings_replace_files_of_the_directory(void **state)
{
    struct fixture *fixture = *state;
    struct credentials_options options = { .role = TLS_CLIENT, .directory = fixture->path };
    struct credentials_files files;
    struct fault fault;

    fill(fixture, NAMES("client.crt.pem", "client.key.pem", "ca.crt.pem", "client.key.passphrase"));
    assert_true(credentials_files_find(&files, &options, &fault));
    assert_name(fixture, files.options.cert_file, "client.crt.pem");
    assert_name(fixture, files.options.key_file, "client.key.pem");
    assert_name(fixture, files.options.ca_file, "ca.crt.pem");
    assert_name(fixture, files.options.passphrase_file, "client.key.passphrase");
    assert_string_equal(files.ca_option, "credentials");
    assert_string_equal(files.passphrase_option, "credentials");
    options.ca_file = "others.pem";
    options.passphrase_env = "VARIABLE";
    assert_true(credentials_files_find(&files, &options, &fault));
    assert_string_equal(files.options.ca_file, "others.pem");
    assert_null(files.options.passphrase_file);
    assert_string_equal(files.cert_option, "credentials");
    assert_string_equal(files.ca_option, "ca");
}

static void a_keystore_is_certificate_and_key(void **state)
{
    static const struct credentials_options options = { .keystore = "store.p12", .ca_file = "ca.pem" };
    struct credentials_files files;
    struct fault fault;

    (void)state;
    assert_true(credentials_files_find(&files, &options, &fault));
    assert_string_equal(files.options.cert_file, "store.p12");
    assert_string_equal(files.options.key_file, "store.p12");
    assert_string_equal(files.options.ca_file, "ca.pem");
    assert_string_equal(files.key_option, "keystore");
    assert_null(files.dir.layout);
}

static void the_word_system_becomes_a_file(void **state)
{
    static const struct credentials_options options = { .cert_file = "c",
                                                        .key_file = "k",
                                                        .ca_file = "system" };
    struct credentials_files files;
    struct fault fault;

    (void)state;
    setenv("SSL_CERT_FILE", "/dev/null", 1);
    assert_true(credentials_files_find(&files, &options, &fault));
    assert_string_equal(files.options.ca_file, "/dev/null");
    assert_true(files.uses_system_cas);
    setenv("SSL_CERT_FILE", "/some/where.pem", 1);
    assert_false(credentials_files_find(&files, &options, &fault));
    assert_string_equal(fault.text, "--ca system: the environment variable SSL_CERT_FILE names "
                                    "/some/where.pem: No such file or directory");
    setenv("SSL_CERT_FILE", "", 1);
    const char *found = system_cas_find(&fault);
    assert_true(found ? access(found, F_OK) == 0 : strstr(fault.text, "SSL_CERT_FILE") != NULL);
    unsetenv("SSL_CERT_FILE");
}

static void the_stamp_follows_each_file_of_the_directory(void **state)
{
    static const char *const names[] = { "tls.crt", "tls.key", "ca.crt", "svid.pem",
                                         "client.key.passphrase" };
    struct fixture *fixture = *state;
    const struct credentials_options options = { .role = TLS_CLIENT, .directory = fixture->path };
    char path[PKI_PATH_BYTES];

    fill(fixture, NAMES(NULL));
    uint64_t before = credentials_files_stamp(&options);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        pki_write(fixture->path, names[i], "", path);
        uint64_t after = credentials_files_stamp(&options);
        assert_int_not_equal(before, after);
        before = after;
    }
    pki_write(fixture->path, "README", "", path);
    assert_int_equal(credentials_files_stamp(&options), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_layout_is_known_for_both_roles, setup, teardown),
        cmocka_unit_test_setup_teardown(one_directory_serves_both_roles, setup, teardown),
        cmocka_unit_test_setup_teardown(the_passphrase_of_the_role_comes_first, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_missing_is_named_with_what_is_there, setup, teardown),
        cmocka_unit_test_setup_teardown(the_cas_may_be_elsewhere, setup, teardown),
        cmocka_unit_test_setup_teardown(a_path_that_is_no_directory_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(settings_replace_files_of_the_directory, setup, teardown),
        cmocka_unit_test(a_keystore_is_certificate_and_key),
        cmocka_unit_test(the_word_system_becomes_a_file),
        cmocka_unit_test_setup_teardown(the_stamp_follows_each_file_of_the_directory, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
