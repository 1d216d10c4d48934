#include "trust/digest.h"

#include <openssl/sha.h>

void digest_sha512(const struct iovec *pieces, size_t count, uint8_t digest[DIGEST_SHA512_BYTES])
{
    SHA512_CTX state;

    SHA512_Init(&state);
    for (size_t i = 0; i < count; i++)
        SHA512_Update(&state, pieces[i].iov_base, pieces[i].iov_len);
    SHA512_Final(digest, &state);
}
