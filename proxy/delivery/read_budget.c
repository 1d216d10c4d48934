#include "delivery/read_budget.h"

#include "delivery/downstream.h"

void room_init(struct room *room, uint64_t limit_bytes)
{
    *room = (struct room) { .limit_bytes = limit_bytes };
    TAILQ_INIT(&room->line);
}

bool room_can_hold(const struct room *room)
{
    return room->held_bytes < room->limit_bytes;
}

static bool has_space(const struct room *room)
{
    return room->held_bytes + room->excess_bytes < room->limit_bytes && !room->is_congested;
}

bool room_admits(const struct room *room, const struct room_place *place)
{
    if (place == room->overdrawn)
        return true;
    return has_space(room) && (TAILQ_EMPTY(&room->line) || TAILQ_FIRST(&room->line) == place);
}

void room_wait(struct room *room, struct room_place *place, struct intake *intake)
{
    if (place->intake)
        return;
    place->intake = intake;
    TAILQ_INSERT_TAIL(&room->line, place, line);
}

void room_leave(struct room *room, struct room_place *place)
{
    if (!place->intake)
        return;
    TAILQ_REMOVE(&room->line, place, line);
    place->intake = NULL;
}

void room_count_excess(struct room *room, struct room_place *place, uint64_t excess_bytes)
{
    room->excess_bytes += excess_bytes - place->excess_bytes;
    place->excess_bytes = excess_bytes;
}

void room_end_overdraft(struct room *room, struct room_place *place)
{
    if (room->overdrawn == place)
        room->overdrawn = NULL;
}

bool room_is_waited_for(const struct room *room)
{
    return !TAILQ_EMPTY(&room->line);
}

/* Only parts of messages are in the way: the first that waits in the middle of one may go on with it. */
static void overdraft_pass(struct room *room)
{
    struct room_place *place;

    if (room->overdrawn || room->is_congested || !room_can_hold(room))
        return;
    TAILQ_FOREACH (place, &room->line, line) {
        if (reading_is_amid(place->intake)) {
            room->overdrawn = place;
            intake_wake(place->intake);
            return;
        }
    }
}

void room_pass(struct room *room)
{
    if (TAILQ_EMPTY(&room->line))
        return;
    if (has_space(room))
        intake_wake(TAILQ_FIRST(&room->line)->intake);
    else
        overdraft_pass(room);
}
