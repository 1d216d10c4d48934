#include "trust/digest.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

/* The example "abc" of FIPS 180-4, in any pieces. */
static void the_digest_covers_all_pieces_in_order(void **state)
{
    static const uint8_t expected[8] = { 0xdd, 0xaf, 0x35, 0xa1, 0x93, 0x61, 0x7a, 0xba };
    char text[] = "abc";
    const struct iovec whole = { text, 3 };
    const struct iovec pieces[] = { { text, 1 }, { text, 0 }, { text + 1, 2 } };
    uint8_t digest[DIGEST_SHA512_BYTES];

    (void)state;
    digest_sha512(&whole, 1, digest);
    assert_memory_equal(digest, expected, sizeof expected);
    memset(digest, 0, sizeof digest);
    digest_sha512(pieces, 3, digest);
    assert_memory_equal(digest, expected, sizeof expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_digest_covers_all_pieces_in_order) };

    return cmocka_run_group_tests_name("digest", tests, NULL, NULL);
}
