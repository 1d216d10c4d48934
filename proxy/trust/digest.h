/* SHA-512 for units that must not know a crypto library. */
#ifndef HUSK_TRUST_DIGEST_H
#define HUSK_TRUST_DIGEST_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum { DIGEST_SHA512_BYTES = 64 };

/* The digest of the concatenation of `count` pieces. */
void digest_sha512(const struct iovec *pieces, size_t count, uint8_t digest[DIGEST_SHA512_BYTES]);

#endif
