#include "forward/ledger.h"

#include "forward/ack.h"

#include <assert.h>

/* The length of the ack that an entry expects; 0: none. */
static uint64_t ack_bytes_of(const struct ledger_entry *entry)
{
    return entry->id_length ? ACK_FRONT_BYTES + entry->id_length : 0;
}

void ledger_file(struct ledger *ledger, struct ledger_entry *entry, uint64_t end, uint64_t filed_us)
{
    entry->end = end;
    entry->filed_us = filed_us;
    entry->next = NULL;
    entry->previous = ledger->last;
    if (ledger->last)
        ledger->last->next = entry;
    else
        ledger->first = entry;
    ledger->last = entry;
    ledger->count++;
    ledger->without_ack += !entry->id_length;
    ledger->bytes += entry->size;
    ledger->ack_bytes += ack_bytes_of(entry);
}

void ledger_remove(struct ledger *ledger, struct ledger_entry *entry)
{
    assert(ledger->count);
    if (entry->previous)
        entry->previous->next = entry->next;
    else
        ledger->first = entry->next;
    if (entry->next)
        entry->next->previous = entry->previous;
    else
        ledger->last = entry->previous;
    entry->next = entry->previous = NULL;
    ledger->count--;
    ledger->without_ack -= !entry->id_length;
    ledger->bytes -= entry->size;
    ledger->ack_bytes -= ack_bytes_of(entry);
}

/* The oldest entry with this id; if none has it, the oldest one whose id has the same bytes and the other
 * type. */
static struct ledger_entry *entry_of_id(const struct ledger *ledger, const uint8_t *id, size_t id_length,
                                        uint64_t sender)
{
    struct ledger_entry *similar = NULL;

    for (struct ledger_entry *entry = ledger->first; entry; entry = entry->next) {
        if (!entry->id_length || (sender && entry->sender != sender))
            continue;
        enum ack_id_match match = ack_id_compare(entry->id, entry->id_length, id, id_length);
        if (match == ACK_IDS_EQUAL)
            return entry;
        if (match == ACK_IDS_SAME_BYTES && !similar)
            similar = entry;
    }
    return similar;
}

struct ledger_entry *ledger_settle_ack(struct ledger *ledger, const uint8_t *id, size_t id_length,
                                       uint64_t sender)
{
    struct ledger_entry *entry = entry_of_id(ledger, id, id_length, sender);

    if (entry)
        ledger_remove(ledger, entry);
    return entry;
}

struct ledger_entry *ledger_settle_taken(struct ledger *ledger, uint64_t taken)
{
    struct ledger_entry *entry = ledger->without_ack ? ledger->first : NULL;

    for (; entry && entry->end <= taken; entry = entry->next) {
        if (!entry->id_length) {
            ledger_remove(ledger, entry);
            return entry;
        }
    }
    return NULL;
}

struct ledger_entry *ledger_oldest_awaiting(const struct ledger *ledger)
{
    struct ledger_entry *entry = ledger->first;

    while (entry && !entry->id_length)
        entry = entry->next;
    return entry;
}
