#include "delivery/link_caller.h"

#include "forward/link.h"

enum { ANSWERS_PER_TIMEOUT = 3 }; /* a late answer must not look like silence */

bool link_caller_begin(struct link_caller *caller, uint64_t ack_timeout_ms, struct buffer *out)
{
    uint64_t every_ms = ack_timeout_ms / ANSWERS_PER_TIMEOUT;
    uint8_t frame[LINK_SHORT_BYTES_MAX];

    caller->is_link = true;
    every_ms = every_ms > UINT32_MAX ? UINT32_MAX : every_ms;
    return buffer_append(out, frame, link_write_waiting_every(frame, every_ms ? (uint32_t)every_ms : 1));
}

bool link_caller_name(struct link_caller *caller, uint64_t sender_number, struct buffer *out)
{
    uint8_t frame[LINK_SHORT_BYTES_MAX];

    if (!caller->is_link || caller->named_sender == sender_number)
        return true;
    caller->named_sender = sender_number;
    return buffer_append(out, frame, link_write_sender(frame, sender_number));
}

bool link_caller_say_gone(struct link_caller *caller, uint64_t sender_number, struct buffer *out)
{
    uint8_t frame[LINK_SHORT_BYTES_MAX];

    if (!caller->is_link)
        return true;
    if (caller->named_sender == sender_number)
        caller->named_sender = 0;
    return buffer_append(out, frame, link_write_gone(frame, sender_number));
}
