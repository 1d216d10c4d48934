/* Finds the messages in an agent's bytes, decides about them, and hands them over: whole ones to the
 * exchange, several at a time where they come together; a large one as a stream.
 *
 * The part of an intake that knows the scanner. The state of a scan is there only while a message is under
 * way. */
#ifndef HUSK_DELIVERY_FRAMER_H
#define HUSK_DELIVERY_FRAMER_H

#include "base/end_reason.h"
#include "forward/scanner.h"

#include <stdbool.h>

struct intake;

/* There are two scanners, so that one still tells of the last whole message while the other is in the next
 * one. */
struct reading {
    struct scanner scanners[2];
    unsigned at; /* the one that scans */
};

/* Scans what the intake has read and hands over what is whole; END_NONE or why its bytes cannot go on. */
enum end_reason reading_advance(struct intake *intake);

/* The agent has sent a part of a message, and the rest is still to come. */
bool reading_is_amid(const struct intake *intake);

/* A rate limit lets the agent's next message wait: that is not scanned, and no more is to be read. An agent
 * that has said nothing more is read all the same, so that its end is seen. */
bool reading_is_paused(struct intake *intake);

/* How many bytes may be held of what is not whole. */
size_t reading_window(const struct intake *intake);

/* What an idle agent does not need goes back. */
void reading_rest(struct intake *intake);

#endif
