/* proxy/base/hash.c */
#include "base/hash.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

/* What the system call answers. All zeros: as the kernel does. */
static struct randomness {
    int error;         /* of the failures */
    unsigned failures; /* that are left */
    size_t cut;        /* bytes that are missing in an answer */
} randomness;

/* In place of the C library's. */
ssize_t getrandom(void *bytes, size_t size, unsigned flags)
{
    if (!randomness.failures)
        return (ssize_t)syscall(SYS_getrandom, bytes, size - randomness.cut, flags);
    randomness.failures--;
    errno = randomness.error;
    return -1;
}

/* The key and the bytes of the authors' test vectors: 0, 1, 2 … */
static const struct hash_key key = { { UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908) } };

static void it_is_siphash_1_3(void **state)
{
    static const struct {
        size_t length;
        uint64_t hash;
    } vectors[] = {
        { 0, UINT64_C(0xabac0158050fc4dc) },  { 1, UINT64_C(0xc9f49bf37d57ca93) },
        { 7, UINT64_C(0xd3927d989bb11140) },  { 8, UINT64_C(0x369095118d299a8e) },
        { 15, UINT64_C(0xd320d86d2a519956) }, { 24, UINT64_C(0xf464aeb267349c8c) },
    };
    uint8_t bytes[32];

    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++)
        assert_true(hash_bytes(&key, bytes, vectors[i].length) == vectors[i].hash);
}

/* As Python hashes bytes with PYTHONHASHSEED=0. */
static void without_a_key_it_has_zeros(void **state)
{
    static const struct hash_key zeros;

    (void)state;
    assert_true(hash_bytes(NULL, "abcdefgh", 8) == UINT64_C(0x3f7b849c0b8e35ea));
    assert_true(hash_bytes(&zeros, "abcdefgh", 8) == UINT64_C(0x3f7b849c0b8e35ea));
}

static void keys_differ(void **state)
{
    struct hash_key first, second;

    (void)state;
    assert_true(hash_key_init(&first));
    assert_true(hash_key_init(&second));
    assert_memory_not_equal(&first, &second, sizeof first);
    assert_true(hash_bytes(&first, "a", 1) != hash_bytes(&second, "a", 1));
}

/* Agents choose chunk ids: what they learn about one connection must not help on another. */
static void derived_keys_differ(void **state)
{
    const struct hash_key other = { { key.words[0] ^ 1, key.words[1] } };
    const struct hash_key derived[] = { key, hash_key_derive(&key, 0), hash_key_derive(&key, 1),
                                        hash_key_derive(&other, 0), hash_key_derive(NULL, 0) };

    (void)state;
    for (size_t i = 0; i < sizeof derived / sizeof derived[0]; i++) {
        assert_true(derived[i].words[0] != derived[i].words[1]);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(&derived[i], &derived[k], sizeof key);
    }
}

static void a_key_is_made_again_after_a_signal(void **state)
{
    struct hash_key made;

    (void)state;
    randomness = (struct randomness) { .error = EINTR, .failures = 2 };
    assert_true(hash_key_init(&made));
    assert_int_equal(randomness.failures, 0);
}

static void without_randomness_there_is_no_key(void **state)
{
    struct hash_key made;

    (void)state;
    randomness = (struct randomness) { .error = ENOSYS, .failures = 1 };
    assert_false(hash_key_init(&made));
    randomness = (struct randomness) { .cut = 1 };
    assert_false(hash_key_init(&made));
    randomness = (struct randomness) { 0 };
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_siphash_1_3),
        cmocka_unit_test(without_a_key_it_has_zeros),
        cmocka_unit_test(keys_differ),
        cmocka_unit_test(derived_keys_differ),
        cmocka_unit_test(a_key_is_made_again_after_a_signal),
        cmocka_unit_test(without_randomness_there_is_no_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
