/* A hash of bytes, for tables: SipHash-1-3 (https://www.aumasson.jp/siphash/). A peer that does not know the
 * key cannot choose bytes of the same hash. */
#ifndef HUSK_BASE_HASH_H
#define HUSK_BASE_HASH_H

#include "base/fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hash_key {
    uint64_t words[2];
};

/* Makes a random key. False when the system gives no randomness: there is no key then. */
MUST_CHECK bool hash_key_init(struct hash_key *key);
/* The key of the user with this number. Who learns one key knows neither `key` nor the keys of other users.
 * `key` NULL: zeros, for tests. */
struct hash_key hash_key_derive(const struct hash_key *key, uint64_t number);

/* `key` NULL: zeros, for bytes that no peer chooses. */
uint64_t hash_bytes(const struct hash_key *key, const void *bytes, size_t length);

#endif
