#include "delivery/read_proof.h"

enum { DISCARDS_MAX = 16 }; /* in one call */

void read_proof_begin(struct leg *leg)
{
    (void)leg_finish(leg); /* read_proof_check reports a failure */
}

/* After close_notify the end of TCP must follow: a reset would show that bytes are unread. */
static enum read_proof_result end_await(struct leg *leg)
{
    enum leg_status status = LEG_MOVED;

    for (int i = 0; i < DISCARDS_MAX && status == LEG_MOVED; i++)
        status = leg_discard(leg, NULL);
    if (status == LEG_ENDED)
        return READ_PROOF_GIVEN;
    return status == LEG_BROKEN ? READ_PROOF_MISSING : READ_PROOF_OPEN;
}

enum read_proof_result read_proof_check(struct leg *leg)
{
    if (leg->send_error)
        return READ_PROOF_MISSING;
    if (leg->broken != END_NONE) /* TCP has ended in order, although TLS has not */
        return leg->broken == END_TRUNCATED && leg->finished ? READ_PROOF_GIVEN : READ_PROOF_MISSING;
    if (leg_finish(leg) == LEG_BROKEN)
        return READ_PROOF_MISSING;
    return leg->finished && leg->read_over ? end_await(leg) : READ_PROOF_OPEN;
}
