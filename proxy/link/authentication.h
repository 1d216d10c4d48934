/* The shared-key handshake on one connection, in either role, while it lasts.
 *
 * Owns its state, which is freed once the handshake is over. Knows buffers, not sockets: what it sends is put
 * into `out`. Belongs to its worker's thread. */
#ifndef HUSK_LINK_AUTHENTICATION_H
#define HUSK_LINK_AUTHENTICATION_H

#include "base/buffer.h"
#include "base/end_reason.h"
#include "base/fault.h"
#include "forward/handshake.h"

struct authentication_run;

/* All zeros: there is none, or it is over. */
struct authentication {
    struct authentication_run *run;
};

/* Begins a handshake that must be over at `deadline_ms` (in the reactor's now_ms). The accepting side's HELO
 * is put into `out`. END_NONE, or why not. */
enum end_reason authentication_begin(struct authentication *authentication, enum handshake_role role,
                                     const struct handshake_options *options, uint64_t deadline_ms,
                                     struct buffer *out);

/* 0: it is not running. */
uint64_t authentication_deadline_ms(const struct authentication *authentication);
bool authentication_is_running(const struct authentication *authentication);

/* Takes the bytes of the handshake off the front of `in`. END_NONE while it goes on, or once it has
 * succeeded; else why it failed: `out` should still be sent. */
enum end_reason authentication_advance(struct authentication *authentication, struct buffer *in,
                                       struct buffer *out);

/* For the log, once it has failed. Never contains a secret; empty when there is nothing to say. */
const char *authentication_detail(const struct authentication *authentication);

void authentication_end(struct authentication *authentication);

#endif
