/* Parses the reply to a query for SRV records (RFC 2782). Pure: sends no query. */
#ifndef HUSK_WIRE_SRV_REPLY_H
#define HUSK_WIRE_SRV_REPLY_H

#include "base/fault.h"
#include "wire/address.h"

#include <stddef.h>
#include <stdint.h>

enum { SRV_TARGETS_MAX = 64 };

struct srv_target {
    struct address address; /* never an IP address: RFC 2782 requires names */
    uint16_t priority;      /* lower priorities are used first */
    uint16_t weight;        /* share among targets of the same priority; 0: almost none beside others */
};

struct srv_reply {
    uint32_t ttl_seconds; /* the smallest TTL of all answer records */
    size_t count;
    struct srv_target targets[SRV_TARGETS_MAX]; /* ordered by priority; targets beyond the maximum are left
                                                   out, lowest priority first */
};

/* Parses a whole DNS message of `length` bytes. Returns NULL and at least one target, or static text that
 * says why there is none. Targets that are not host names are left out. */
MUST_CHECK const char *srv_reply_parse(struct srv_reply *reply, const uint8_t *bytes, size_t length);

#endif
