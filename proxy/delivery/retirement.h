/* How a downstream connection retires: it ends between two messages.
 *
 * husk reads what has arrived and the rest of the current message, and takes nothing after it. The connection
 * ends when its messages are settled and their answers are written, at the latest after --drain-timeout.
 *
 * A calling husk is told first (`goaway` in docs/link.md), so that it sends its next messages on another
 * connection. If the calling husk is still trusted, husk continues to read for --linger-timeout. In this time
 * the calling husk waits until its messages are settled, and ends the connection itself.
 *
 * Owns the reason, and the age of --max-downstream-age. Decides by the access, the receiver and the leg, and
 * stops the framer. Belongs to its worker's thread. */
#ifndef HUSK_DELIVERY_RETIREMENT_H
#define HUSK_DELIVERY_RETIREMENT_H

#include "delivery/agent_access.h"
#include "delivery/receiver.h"
#include "wire/leg.h"

/* After retirement_init the connection does not retire. */
struct retirement {
    enum end_reason reason;  /* END_NONE: the connection does not retire */
    uint32_t left_bytes;     /* husk reads at most so many bytes before the framer stops */
    uint64_t reads_until_ms; /* when husk stops reading a calling husk; 0: as with other peers */
    uint64_t end_at_ms;      /* the latest end, on the reactor's clock; 0: the connection does not retire */
    bool is_shed;            /* unsettled messages are left if the peer sends them again */
    uint32_t age_draw;       /* random: chooses the age of this connection */
};

void retirement_init(struct retirement *retirement);

/* Whether the connection has reached --max-downstream-age, a tenth earlier or later, so that connections
 * opened together do not retire together. */
bool retirement_is_due(const struct retirement *retirement, const struct inlet *inlet);
/* The next deadline: of the certificates and of the age, or of the retirement that has begun. 0: none. */
uint64_t retirement_deadline(const struct retirement *retirement, const struct agent_access *access);

/* The connection retires if its peer is no longer trusted, if a certificate of either side ends, if it is
 * old, or for `wanted`; END_NONE: no other cause. To be called before each step, and when the connection is
 * secured. The connection does not retire earlier. */
void retirement_update(struct retirement *retirement, struct agent_access *access, struct receiver *receiver,
                       enum end_reason wanted);
/* The connection retires for `reason`. If the connection retires already, only a loss of trust has an effect:
 * husk does not continue to read. */
void retirement_begin(struct retirement *retirement, enum end_reason reason, struct receiver *receiver,
                      const struct leg *leg);
/* The connection retires: husk cannot deliver its messages, and the peer sends them again elsewhere. husk
 * reads only the rest of the current message. */
void retirement_shed(struct retirement *retirement, struct receiver *receiver, const struct leg *leg);
/* Call it after each read of so many bytes, when the framer has advanced: stops the framer when husk has read
 * everything that had arrived before the retirement. */
void retirement_note_read(struct retirement *retirement, struct receiver *receiver, const struct leg *leg,
                          size_t bytes);

/* Whether husk takes nothing more, and the answers to all messages have left `outgoing` and the leg. After
 * retirement_shed, messages that the peer sends again may have no answer. */
bool retirement_is_over(const struct retirement *retirement, const struct receiver *receiver,
                        const struct leg *leg, const struct buffer *outgoing);
/* Whether --drain-timeout is over. */
bool retirement_is_late(const struct retirement *retirement, uint64_t now_ms);

#endif
