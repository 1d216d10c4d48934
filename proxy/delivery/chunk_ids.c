#include "delivery/chunk_ids.h"

#include <string.h>
#include <sys/random.h>

bool chunk_ids_init(struct chunk_ids *ids)
{
    ids->count = 0;
    return getrandom(&ids->seed, sizeof ids->seed, 0) == (ssize_t)sizeof ids->seed;
}

void chunk_ids_next(struct chunk_ids *ids, uint8_t value[CHUNK_ID_VALUE_BYTES])
{
    uint8_t id[16];

    ids->count++;
    memcpy(id, &ids->seed, 8);
    memcpy(id + 8, &ids->count, 8);
    chunk_id_write(value, id);
}
