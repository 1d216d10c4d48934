/* Limits how often each source of datagrams, an address with its port, is answered.
 *
 * Pure: the caller passes the time. Remembers a bounded number of sources and forgets the sources that have
 * been silent longest. A source that is forgotten too early gets more answers, never fewer. */
#ifndef HUSK_CONTROL_SOURCE_LIMIT_H
#define HUSK_CONTROL_SOURCE_LIMIT_H

#include "wire/address.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    SOURCE_LIMIT_SOURCES = 4096, /* most sources that are remembered, about 250 KiB */
    SOURCE_LIMIT_BURST_MS = 2000,
};

struct source_limit_entry;

struct source_limit {
    uint32_t per_second;
    struct source_limit_entry *entries; /* owned; NULL until the first datagram */
};

/* `per_second`: answers per source; 0: no limit. A source that was silent may have the answers of
 * SOURCE_LIMIT_BURST_MS at once. */
void source_limit_init(struct source_limit *limit, uint32_t per_second);
void source_limit_deinit(struct source_limit *limit);

/* Counts a datagram of `source`, an IP address. True if the limit allows an answer. False also if
 * there is no memory for sources. `now_ms`: clock_monotonic_ms. */
bool source_limit_admit(struct source_limit *limit, const struct socket_address *source, uint64_t now_ms);

#endif
