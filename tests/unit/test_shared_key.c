/* proxy/link/shared_key.c: what a set contains, what is wrong with its sources, and how a set is replaced. */
#include "link/shared_key.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 2000 };

static int set_environment(void **state)
{
    (void)state;
    setenv("TEST_KEY", "secret", 1);
    setenv("TEST_PASSWORD", "hush", 1);
    setenv("TEST_EMPTY", "", 1);
    unsetenv("TEST_NONE");
    return 0;
}

static struct shared_key *load(const struct shared_key_options *options)
{
    struct fault fault;
    struct shared_key *key = shared_key_load(options, &fault);

    if (!key)
        fail_msg("%s", fault.text);
    return key;
}

static void a_set_has_the_key_and_the_names_and_passwords_of_its_side(void **state)
{
    struct shared_key_user users[] = { { "you", "TEST_PASSWORD" }, { "they", "TEST_KEY" } };

    (void)state;
    struct shared_key *key = load(&(struct shared_key_options) { .setting = "shared-key",
                                                                 .env = "TEST_KEY",
                                                                 .hostname = "husk",
                                                                 .username = "me",
                                                                 .password_env = "TEST_PASSWORD" });
    const struct handshake_options *dialling = shared_key_handshake(key);
    assert_string_equal(dialling->shared_key, "secret");
    assert_string_equal(dialling->hostname, "husk");
    assert_string_equal(dialling->username, "me");
    assert_string_equal(dialling->password, "hush");
    assert_int_equal(dialling->user_count, 0);
    shared_key_release(key);

    key = load(&(struct shared_key_options) {
        .setting = "accept-key", .is_empty = true, .hostname = "husk", .users = users, .user_count = 2 });
    const struct handshake_options *accepting = shared_key_handshake(key);
    assert_string_equal(accepting->shared_key, "");
    assert_int_equal(accepting->user_count, 2);
    assert_string_equal(accepting->users[0].name, "you");
    assert_string_equal(accepting->users[0].password, "hush");
    assert_string_equal(accepting->users[1].password, "secret");
    shared_key_release(key);
    shared_key_release(NULL);
}

static void a_fault_names_the_setting(void **state)
{
    struct shared_key_user bad[] = { { "you", "TEST_PASSWORD" }, { "they", "TEST_NONE" } };
    const struct {
        struct shared_key_options options;
        const char *text;
    } cases[] = {
        { { .setting = "accept-key", .env = "TEST_EMPTY" },
          "--accept-key-env: environment variable TEST_EMPTY is empty: for an empty shared key set "
          "--accept-key-empty" },
        { { .setting = "shared-key", .env = "TEST_EMPTY" },
          "--shared-key-env: environment variable TEST_EMPTY is empty: for an empty shared key set "
          "--shared-key-empty" },
        { { .setting = "shared-key", .env = "TEST_NONE" }, "--shared-key-env: " },
        { { .setting = "shared-key", .file = "/nowhere" }, "--shared-key-file: " },
        { { .setting = "shared-key", .env = "TEST_KEY", .file = "/nowhere" }, "--shared-key-env: " },
        { { .setting = "shared-key", .env = "TEST_KEY", .username = "me", .password_env = "TEST_NONE" },
          "--password-env: " },
        { { .setting = "accept-key", .env = "TEST_KEY", .users = bad, .user_count = 2 },
          "--accept-user: the password of they: environment variable TEST_NONE is not set" },
        /* perhaps the secret itself */
        { { .setting = "shared-key", .env = "hunter2" },
          "--shared-key-env: no environment variable has this name: write the name of a variable, not its "
          "value" },
        { { .setting = "shared-key", .env = "HUNTER2" },
          "--shared-key-env: no environment variable has this name: write the name of a variable, not its "
          "value" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fault fault;
        assert_null(shared_key_load(&cases[i].options, &fault));
        if (strncmp(fault.text, cases[i].text, strlen(cases[i].text)) != 0)
            fail_msg("\"%s\" does not begin with \"%s\"", fault.text, cases[i].text);
        assert_null(strstr(fault.text, "secret"));
    }
}

static const struct shared_key_options any_key = { .setting = "shared-key", .env = "TEST_KEY" };

static void *take_often(void *slot)
{
    for (int i = 0; i < ROUNDS; i++) {
        struct shared_key *key = shared_key_slot_take(slot);
        if (strcmp(shared_key_handshake(key)->shared_key, "secret") != 0)
            abort();
        shared_key_release(key);
    }
    return NULL;
}

static void a_set_is_replaced_while_others_take_it(void **state)
{
    struct shared_key_slot slot;
    pthread_t taker;

    (void)state;
    shared_key_slot_init(&slot);
    shared_key_slot_replace(&slot, load(&any_key));
    struct shared_key *held = shared_key_slot_take(&slot);
    assert_int_equal(pthread_create(&taker, NULL, take_often, &slot), 0);
    for (int i = 0; i < ROUNDS; i++)
        shared_key_slot_replace(&slot, load(&any_key));
    pthread_join(taker, NULL);
    assert_string_equal(shared_key_handshake(held)->shared_key, "secret");
    shared_key_release(held);
    shared_key_slot_clear(&slot);
    assert_null(slot.in_use);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_has_the_key_and_the_names_and_passwords_of_its_side),
        cmocka_unit_test(a_fault_names_the_setting),
        cmocka_unit_test(a_set_is_replaced_while_others_take_it),
    };

    return cmocka_run_group_tests_name("shared_key", tests, set_environment, NULL);
}
