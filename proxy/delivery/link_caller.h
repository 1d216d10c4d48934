/* Our side of a link to a husk upstream (docs/link.md): which frames stand between the messages on one
 * connection. Pure: frames are appended to a buffer; each function returns their length. */
#ifndef HUSK_DELIVERY_LINK_CALLER_H
#define HUSK_DELIVERY_LINK_CALLER_H

#include "base/buffer.h"
#include "base/fault.h"

#include <stdint.h>

/* All zeros: the connection is no link, and no frame is written. */
struct link_caller {
    bool is_link;
    uint64_t named_sender; /* number of the sender that the peer was told last; 0: none */
};

/* The connection is a link: asks the peer to answer often enough for `ack_timeout_ms`. False when out of
 * memory, here and below: the connection must end. */
MUST_CHECK bool link_caller_begin(struct link_caller *caller, uint64_t ack_timeout_ms, struct buffer *out);
/* The next message is of the sender with this number. */
MUST_CHECK bool link_caller_name(struct link_caller *caller, uint64_t sender_number, struct buffer *out);
/* The sender has ended. */
MUST_CHECK bool link_caller_say_gone(struct link_caller *caller, uint64_t sender_number, struct buffer *out);

#endif
