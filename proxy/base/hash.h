/* A hash of bytes, for tables: FNV-1a with 64 bits. Pure. A peer can find bytes of the same hash: whoever
 * uses it bounds what equal hashes cost. */
#ifndef HUSK_BASE_HASH_H
#define HUSK_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t hash_bytes(const void *bytes, size_t length);

#endif
