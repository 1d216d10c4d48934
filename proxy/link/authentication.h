/* The shared-key handshake on one connection, in either role, while it lasts.
 *
 * Owns its state, which is gone once it is over. Knows buffers, not sockets: what it wants to say is put into
 * `out`. Belongs to its worker's thread. */
#ifndef HUSK_LINK_AUTHENTICATION_H
#define HUSK_LINK_AUTHENTICATION_H

#include "base/buffer.h"
#include "base/end_reason.h"
#include "base/fault.h"
#include "forward/handshake.h"

/* All zeros: there is none, or it is over. */
struct greeting {
    struct handshake *handshake;
};

/* Begins; the accepting side's HELO is put into `out`. END_NONE, or why not. */
enum end_reason greeting_begin(struct greeting *greeting, enum handshake_role role,
                               const struct handshake_options *options, struct buffer *out);

bool greeting_lasts(const struct greeting *greeting);

/* Takes what it understands off the front of `in`. END_NONE while it goes on or once it is over well; else
 * why it failed: what is in `out` should still be sent. */
enum end_reason greeting_advance(struct greeting *greeting, struct buffer *in, struct buffer *out);

/* For the log, once it has failed: never a secret; empty when there is nothing to say. */
const char *greeting_detail(const struct greeting *greeting);

void greeting_end(struct greeting *greeting);

#endif
