/* Memory for c-ares. Blocks of some pages come from the system and go back to it at once: a channel of c-ares
 * 1.18 has 73 KiB, and lives for one look-up. From the heap, the channels of many upstreams that look up at
 * the same time would stay resident. */
#ifndef HUSK_WIRE_RESOLVER_MEMORY_H
#define HUSK_WIRE_RESOLVER_MEMORY_H

#include <stddef.h>

enum { RESOLVER_MEMORY_MAPPED_BYTES = 1 << 14 }; /* blocks of this size and longer ones are mapped */

/* As malloc, free and realloc. */
void *resolver_memory_get(size_t bytes);
void resolver_memory_free(void *bytes);
void *resolver_memory_resize(void *old, size_t bytes);

#endif
