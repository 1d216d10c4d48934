/* proxy/trust/token_uri.c */
#include "trust/token_uri.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#define LIBRARY "module-path=/usr/lib/softhsm/libsofthsm2.so"

static void a_uri_is_told_from_a_file(void **state)
{
    (void)state;
    assert_true(token_uri_is("pkcs11:object=key"));
    assert_true(token_uri_is("PKCS11:object=key"));
    assert_false(token_uri_is("/etc/pkcs11:/key.pem"));
    assert_false(token_uri_is("pkcs11"));
    assert_false(token_uri_is(""));
    assert_false(token_uri_is(NULL));
}

#ifdef HUSK_PKCS11

static void good_uris_are_accepted(void **state)
{
    static const char *const good[] = {
        "pkcs11:?" LIBRARY,
        "pkcs11:object=key?" LIBRARY,
        "PKCS11:token=a%20b;serial=12;id=%01%ff;type=private?" LIBRARY,
        "pkcs11:slot-id=7;manufacturer=x;model=y?" LIBRARY,
        "pkcs11:object=key?pin-source=file:/run/pin&" LIBRARY,
    };
    struct fault fault;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(token_uri_check(good[i], &fault));
}

static void each_wrong_uri_is_explained(void **state)
{
    static const struct {
        const char *uri, *fault;
    } wrong[] = {
        { "pkcs11:object=%zz?" LIBRARY, "is malformed" },
        { "pkcs11:object?" LIBRARY, "is malformed" },
        { "pkcs11:object=key", "does not name the module" },
        { "pkcs11:object=key?module-path=libsofthsm2.so", "does not name the module" },
        { "pkcs11:object=key?module-name=softhsm2", "does not name the module" },
        { "pkcs11:object=key;type=cert?" LIBRARY, "does not name a private key" },
        { "pkcs11:object=key;type=public?" LIBRARY, "does not name a private key" },
        { "pkcs11:object=key;colour=red?" LIBRARY, "an attribute that husk does not know" },
        { "pkcs11:object=key?pin-value=hunter2&" LIBRARY, "a PIN does not stand" },
        { "pkcs11:object=key?pin-value=hunter2", "a PIN does not stand" },
        { "pkcs11:object=key?pin-source=|cat%20/run/pin&" LIBRARY, "is not a file" },
        { "pkcs11:object=key?pin-source=pin&" LIBRARY, "is not a file" },
        { "pkcs11:object=key?pin-source=file:pin&" LIBRARY, "is not a file" },
        { "pkcs11:object=key?pin-source=file://host/pin&" LIBRARY, "is not a file" },
    };
    struct fault fault;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(token_uri_check(wrong[i].uri, &fault));
        if (!strstr(fault.text, wrong[i].fault))
            fail_msg("%s: %s", wrong[i].uri, fault.text);
        assert_null(strstr(fault.text, "hunter2"));
    }
}

static void the_files_of_a_uri_are_found(void **state)
{
    char path[TOKEN_PIN_PATH_BYTES];

    (void)state;
    assert_true(token_uri_module("pkcs11:object=key?" LIBRARY, path));
    assert_string_equal(path, "/usr/lib/softhsm/libsofthsm2.so");
    assert_false(token_uri_pin_file("pkcs11:object=key?" LIBRARY, path));
    assert_true(token_uri_pin_file("pkcs11:?pin-source=file:/run/a%20pin&" LIBRARY, path));
    assert_string_equal(path, "/run/a pin");
    assert_true(token_uri_pin_file("pkcs11:?pin-source=file:///run/pin&" LIBRARY, path));
    assert_string_equal(path, "/run/pin");
    assert_true(token_uri_pin_file("pkcs11:?pin-source=/run/pin&" LIBRARY, path));
    assert_string_equal(path, "/run/pin");
}

#else

static void a_build_without_pkcs11_says_so(void **state)
{
    char path[TOKEN_PIN_PATH_BYTES];
    struct fault fault;

    (void)state;
    assert_false(token_uri_check("pkcs11:object=key?" LIBRARY, &fault));
    assert_non_null(strstr(fault.text, "built without PKCS#11"));
    assert_false(token_uri_pin_file("pkcs11:?pin-source=/run/pin&" LIBRARY, path));
    assert_false(token_uri_module("pkcs11:?" LIBRARY, path));
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_uri_is_told_from_a_file),
#ifdef HUSK_PKCS11
        cmocka_unit_test(good_uris_are_accepted),
        cmocka_unit_test(each_wrong_uri_is_explained),
        cmocka_unit_test(the_files_of_a_uri_are_found),
#else
        cmocka_unit_test(a_build_without_pkcs11_says_so),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
