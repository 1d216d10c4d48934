/* The shared-key handshake of one connection, in either role.
 *
 * Owns the state of the handshake, and a reference to its key, until the handshake is over. Uses buffers and
 * knows no socket. Belongs to its worker's thread. */
#ifndef HUSK_LINK_AUTHENTICATION_H
#define HUSK_LINK_AUTHENTICATION_H

#include "base/buffer.h"
#include "base/end_reason.h"
#include "base/fault.h"
#include "forward/handshake.h"
#include "link/shared_key.h"

struct authentication_run;

/* All zeros: not begun, or over. */
struct authentication {
    struct authentication_run *run;
};

/* Begins a handshake with the key in use in `slot`, and the deadline `deadline_ms` (on the reactor's clock).
 * The accepting role appends its HELO to `out`. END_NONE, or why it failed. */
enum end_reason authentication_begin(struct authentication *authentication, enum handshake_role role,
                                     struct shared_key_slot *slot, uint64_t deadline_ms, struct buffer *out);

/* 0: no handshake is running. */
uint64_t authentication_deadline_ms(const struct authentication *authentication);
bool authentication_is_running(const struct authentication *authentication);

/* Removes handshake messages from the front of `in` and appends the answers to `out`. END_NONE while the
 * handshake goes on and when it has succeeded; else why it failed. Send `out` also after a failure. */
enum end_reason authentication_advance(struct authentication *authentication, struct buffer *in,
                                       struct buffer *out);

/* Describes a failed handshake for the log; empty: no details. Never contains a secret. */
const char *authentication_detail(const struct authentication *authentication);

/* Frees the state. Harmless if no handshake is running. */
void authentication_end(struct authentication *authentication);

#endif
