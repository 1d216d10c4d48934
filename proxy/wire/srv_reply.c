#define CARES_NO_DEPRECATED /* newer c-ares has another parser; this one is in all versions */
#include "wire/srv_reply.h"

#include <ares.h>
#include <limits.h>
#include <string.h>

enum { HEADER_BYTES = 12, QUESTION_TAIL_BYTES = 4, RECORD_TAIL_BYTES = 10, POINTER_BITS = 0xc0 };

static unsigned read16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

/* The position `tail` bytes behind the name at `at` (RFC 1035, 4.1.4); NULL when the message ends before. */
static const uint8_t *name_skip(const uint8_t *at, const uint8_t *end, size_t tail)
{
    while (at < end && *at && (*at & POINTER_BITS) != POINTER_BITS)
        at += (size_t)*at + 1 <= (size_t)(end - at) ? (size_t)*at + 1 : (size_t)(end - at);
    if (at == end)
        return NULL;
    tail += *at ? 2 : 1;
    return tail <= (size_t)(end - at) ? at + tail : NULL;
}

/* The smallest TTL of all answer records, aliases included. c-ares does not report the TTL of SRV records. */
static uint32_t smallest_ttl(const uint8_t *bytes, size_t length)
{
    const uint8_t *end = bytes + length, *at = bytes + HEADER_BYTES;
    uint32_t smallest = INT32_MAX;

    if (length < HEADER_BYTES)
        return 0;
    for (unsigned questions = read16(bytes + 4); at && questions; questions--)
        at = name_skip(at, end, QUESTION_TAIL_BYTES);
    for (unsigned answers = read16(bytes + 6); at && answers; answers--) {
        at = name_skip(at, end, RECORD_TAIL_BYTES);
        if (!at)
            break;
        uint32_t ttl = (uint32_t)read16(at - 6) << 16 | read16(at - 4);
        size_t data = read16(at - 2);
        if (ttl > INT32_MAX)
            ttl = 0; /* RFC 2181, 8 */
        smallest = ttl < smallest ? ttl : smallest;
        at = data <= (size_t)(end - at) ? at + data : NULL;
    }
    return smallest;
}

static void target_add(struct srv_reply *reply, const struct srv_target *target)
{
    size_t at = reply->count;

    if (at == SRV_TARGETS_MAX) {
        if (reply->targets[--at].priority <= target->priority)
            return;
    } else {
        reply->count++;
    }
    for (; at && reply->targets[at - 1].priority > target->priority; at--)
        reply->targets[at] = reply->targets[at - 1];
    reply->targets[at] = *target;
}

const char *srv_reply_parse(struct srv_reply *reply, const uint8_t *bytes, size_t length)
{
    struct ares_srv_reply *records = NULL;
    bool is_refused = false;
    int status = length > INT_MAX ? ARES_EBADRESP : ares_parse_srv_reply(bytes, (int)length, &records);

    *reply = (struct srv_reply) { 0 };
    if (status != ARES_SUCCESS)
        return ares_strerror(status);
    for (const struct ares_srv_reply *record = records; record; record = record->next) {
        struct srv_target target = { .priority = record->priority, .weight = record->weight };
        if (record->host[0] == '\0' || strcmp(record->host, ".") == 0)
            is_refused = true;
        else if (record->port && address_from_name(&target.address, record->host, record->port))
            target_add(reply, &target);
    }
    ares_free_data(records);
    reply->ttl_seconds = smallest_ttl(bytes, length);
    if (reply->count)
        return NULL;
    return is_refused ? "the service is not offered (SRV target \".\")" : "no SRV record has a usable target";
}
