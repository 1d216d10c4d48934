/* How much of agents' bytes a worker holds, and whose turn it is to be read when that is too much: the
 * back-pressure of `protocol: forward`.
 *
 * Three things make it full: messages held until they are settled (--retain-bytes); parts of messages that
 * are not whole yet, in excess of an intake's own buffer, counted with them; and whole messages that wait
 * although carriers are there, for what is read then would only wait too. Intakes that find it full wait in a
 * line, and go on in the order they came. One at a time may overdraw it to the end of its message, so that
 * halves of messages cannot hold each other up. Knows intakes by their place in the line, and nothing of
 * carriers. */
#ifndef HUSK_DELIVERY_READ_BUDGET_H
#define HUSK_DELIVERY_READ_BUDGET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct intake;

/* An intake's place; zero-initialise. */
struct room_place {
    TAILQ_ENTRY(room_place) line;
    struct intake *intake; /* borrowed, while it is in the line */
    uint64_t excess_bytes; /* counted for it */
};

TAILQ_HEAD(room_line, room_place);

struct room {
    uint64_t limit_bytes;
    uint64_t held_bytes, excess_bytes;
    bool is_congested; /* whole messages wait, though carriers are there */
    struct room_line line;
    struct room_place *overdrawn; /* NULL: nobody */
};

void room_init(struct room *room, uint64_t limit_bytes);

/* What is held is within the limit, excess apart. */
bool room_can_hold(const struct room *room);

/* Whether an intake may read on now. */
bool room_admits(const struct room *room, const struct room_place *place);

/* It may not: it waits in the line, and is run (intake_wake) when its turn has come. Harmless if it waits
 * already. */
void room_wait(struct room *room, struct room_place *place, struct intake *intake);
/* It waits no more: it has been read, or is gone. Harmless if it does not wait. */
void room_leave(struct room *room, struct room_place *place);

/* Counts what an intake has read of a message that is not whole, beyond its own buffer. */
void room_count_excess(struct room *room, struct room_place *place, uint64_t excess_bytes);
/* Its message has come to its end, or needs no room any more: so has its leave to overdraw. */
void room_end_overdraft(struct room *room, struct room_place *place);

bool room_is_waited_for(const struct room *room);

/* Runs whoever's turn it is; for whoever has made room. */
void room_pass(struct room *room);

#endif
