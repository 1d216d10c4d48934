#include "control/source_limit.h"

#include "base/hash.h"
#include "base/token_bucket.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

/* The hash of a source selects its set. A new source replaces the entry of the set that was silent longest.
 */
enum { WAYS = 8, SETS = SOURCE_LIMIT_SOURCES / WAYS };

struct key {
    uint8_t address[sizeof(struct in6_addr)]; /* an IPv4 address takes the first bytes */
    uint16_t port, family;
};

struct source_limit_entry {
    struct key key;
    struct token_bucket bucket; /* its time is that of the source's last datagram */
};

static struct key key_of(const struct socket_address *source)
{
    struct key key = { .port = socket_address_port(source), .family = source->storage.ss_family };

    if (key.family == AF_INET6)
        memcpy(key.address, &((const struct sockaddr_in6 *)&source->storage)->sin6_addr,
               sizeof(struct in6_addr));
    else
        memcpy(key.address, &((const struct sockaddr_in *)&source->storage)->sin_addr,
               sizeof(struct in_addr));
    return key;
}

/* Colliding sources give an attacker no more answers than other sources do. */
static struct source_limit_entry *set_of(const struct source_limit *limit, const struct key *key)
{
    return &limit->entries[hash_bytes(NULL, key, sizeof *key) % SETS * WAYS];
}

void source_limit_init(struct source_limit *limit, uint32_t per_second)
{
    *limit = (struct source_limit) { .per_second = per_second };
}

void source_limit_deinit(struct source_limit *limit)
{
    free(limit->entries);
    *limit = (struct source_limit) { 0 };
}

/* The entry of the key; a new one has a full bucket. */
static struct source_limit_entry *entry_of(struct source_limit *limit, const struct key *key, uint64_t now_ms)
{
    struct source_limit_entry *set = set_of(limit, key), *oldest = set;

    for (struct source_limit_entry *entry = set; entry < set + WAYS; entry++) {
        if (memcmp(&entry->key, key, sizeof *key) == 0)
            return entry;
        if (entry->bucket.as_of_ms < oldest->bucket.as_of_ms)
            oldest = entry;
    }
    oldest->key = *key;
    token_bucket_init(&oldest->bucket, limit->per_second, SOURCE_LIMIT_BURST_MS, now_ms);
    return oldest;
}

bool source_limit_admit(struct source_limit *limit, const struct socket_address *source, uint64_t now_ms)
{
    if (!limit->per_second)
        return true;
    /* Most routes never get a datagram. */
    if (!limit->entries)
        limit->entries = calloc((size_t)SETS * WAYS, sizeof *limit->entries);
    if (!limit->entries)
        return false;
    const struct key key = key_of(source);
    struct token_bucket *bucket = &entry_of(limit, &key, now_ms)->bucket;

    if (token_bucket_wait_ms(bucket, now_ms))
        return false;
    token_bucket_take(bucket, 1, now_ms);
    return true;
}
