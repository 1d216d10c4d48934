#include "base/hash.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

enum { WORD_BYTES = sizeof(uint64_t), FINAL_ROUNDS = 3 };

struct sip {
    uint64_t a, b, c, d; /* v0 to v3 */
};

/* A signal can interrupt getrandom only while the kernel collects its first randomness. */
bool hash_key_init(struct hash_key *key)
{
    ssize_t got;

    do
        got = getrandom(key, sizeof *key, 0);
    while (got < 0 && errno == EINTR);
    return got == (ssize_t)sizeof *key;
}

struct hash_key hash_key_derive(const struct hash_key *key, uint64_t number)
{
    struct hash_key derived;

    for (uint64_t i = 0; i < sizeof derived.words / sizeof derived.words[0]; i++)
        derived.words[i] = hash_bytes(key, (const uint64_t[]) { number, i }, 2 * sizeof number);
    return derived;
}

static inline uint64_t rotate(uint64_t word, unsigned bits)
{
    return word << bits | word >> (64 - bits);
}

static inline void sip_round(struct sip *sip)
{
    sip->a += sip->b;
    sip->c += sip->d;
    sip->b = rotate(sip->b, 13) ^ sip->a;
    sip->d = rotate(sip->d, 16) ^ sip->c;
    sip->a = rotate(sip->a, 32) + sip->d;
    sip->c += sip->b;
    sip->d = rotate(sip->d, 21) ^ sip->a;
    sip->b = rotate(sip->b, 17) ^ sip->c;
    sip->c = rotate(sip->c, 32);
}

static inline void sip_add(struct sip *sip, uint64_t word)
{
    sip->d ^= word;
    sip_round(sip);
    sip->a ^= word;
}

/* The bytes after the last whole word, and the length. */
static inline uint64_t last_word(const uint8_t *bytes, size_t length)
{
    uint64_t word = (uint64_t)length << 56;

    for (size_t i = 0; i < length % WORD_BYTES; i++)
        word |= (uint64_t)bytes[i] << (8 * i);
    return word;
}

uint64_t hash_bytes(const struct hash_key *key, const void *bytes, size_t length)
{
    const uint64_t first = key ? key->words[0] : 0, second = key ? key->words[1] : 0;
    const uint8_t *at = bytes;
    struct sip sip = { first ^ UINT64_C(0x736f6d6570736575), second ^ UINT64_C(0x646f72616e646f6d),
                       first ^ UINT64_C(0x6c7967656e657261), second ^ UINT64_C(0x7465646279746573) };

    for (size_t left = length; left >= WORD_BYTES; left -= WORD_BYTES, at += WORD_BYTES) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        sip_add(&sip, le64toh(word));
    }
    sip_add(&sip, last_word(at, length));
    sip.c ^= 0xff;
    for (unsigned i = 0; i < FINAL_ROUNDS; i++)
        sip_round(&sip);
    return sip.a ^ sip.b ^ sip.c ^ sip.d;
}
