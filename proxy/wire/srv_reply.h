/* The answer to a question for SRV records (RFC 2782), read. Pure: asks nobody. */
#ifndef HUSK_WIRE_SRV_REPLY_H
#define HUSK_WIRE_SRV_REPLY_H

#include "base/fault.h"
#include "wire/address.h"

#include <stddef.h>
#include <stdint.h>

enum { SRV_TARGETS_MAX = 64 };

struct srv_target {
    struct address address; /* never an IP address: RFC 2782 wants names */
    uint16_t priority;      /* lower ones are to be used first */
    uint16_t weight;        /* share among those of the same priority; 0: as good as none beside others */
};

struct srv_reply {
    uint32_t ttl_seconds; /* the smallest of the answer's records */
    size_t count;
    struct srv_target targets[SRV_TARGETS_MAX]; /* by priority; further ones are left out, the last first */
};

/* Reads the whole message of `length` bytes. NULL and at least one target, or static text that says in a few
 * words why there is none. Targets that are no host names are left out. */
MUST_CHECK const char *srv_reply_parse(struct srv_reply *reply, const uint8_t *bytes, size_t length);

#endif
