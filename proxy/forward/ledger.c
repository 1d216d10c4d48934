#include "forward/ledger.h"

#include "forward/ack.h"

#include <assert.h>
#include <stdlib.h>

enum {
    SEARCHED_MAX = 16, /* up to this number of entries a search needs no tables */
    SLOT_ENTRIES = 4   /* entries for each slot of a table, on average, before the table grows */
};

/* The length of the ack that an entry expects; 0: none. */
static uint64_t ack_bytes_of(const struct ledger_entry *entry)
{
    return entry->id_length ? ACK_FRONT_BYTES + entry->id_length : 0;
}

/* ---- the slots ---- */

/* Ids with the same bytes are in the same slot, whatever their types are. */
static struct ledger_slot *slot_of_id(const struct ledger *ledger, const uint8_t *id, size_t id_length)
{
    size_t body = ack_id_body(id, id_length);

    return &ledger->of_ids[hash_bytes(&ledger->key, id + body, id_length - body) & (ledger->slot_count - 1)];
}

/* Numbers are given in sequence. */
static struct ledger_slot *slot_of_sender(const struct ledger *ledger, uint64_t sender)
{
    return &ledger->of_senders[sender & (ledger->slot_count - 1)];
}

static void id_append(struct ledger_slot *slot, struct ledger_entry *entry)
{
    entry->next_of_id = NULL;
    if (slot->last)
        slot->last->next_of_id = entry;
    else
        slot->first = entry;
    slot->last = entry;
}

/* The entry is near the front: a slot has few entries, or the entries of one id, which settle in their order.
 */
static void id_remove(struct ledger_slot *slot, struct ledger_entry *entry)
{
    struct ledger_entry *before = NULL, *other;

    for (other = slot->first; other != entry; other = other->next_of_id)
        before = other;
    if (before)
        before->next_of_id = entry->next_of_id;
    else
        slot->first = entry->next_of_id;
    if (slot->last == entry)
        slot->last = before;
}

static void sender_append(struct ledger_slot *slot, struct ledger_entry *entry)
{
    entry->next_of_sender = NULL;
    entry->previous_of_sender = slot->last;
    if (slot->last)
        slot->last->next_of_sender = entry;
    else
        slot->first = entry;
    slot->last = entry;
}

static void sender_remove(struct ledger_slot *slot, struct ledger_entry *entry)
{
    if (entry->previous_of_sender)
        entry->previous_of_sender->next_of_sender = entry->next_of_sender;
    else
        slot->first = entry->next_of_sender;
    if (entry->next_of_sender)
        entry->next_of_sender->previous_of_sender = entry->previous_of_sender;
    else
        slot->last = entry->previous_of_sender;
}

static void tables_add(struct ledger *ledger, struct ledger_entry *entry)
{
    if (entry->id_length)
        id_append(slot_of_id(ledger, entry->id, entry->id_length), entry);
    sender_append(slot_of_sender(ledger, entry->sender), entry);
}

static void tables_remove(struct ledger *ledger, struct ledger_entry *entry)
{
    if (entry->id_length)
        id_remove(slot_of_id(ledger, entry->id, entry->id_length), entry);
    sender_remove(slot_of_sender(ledger, entry->sender), entry);
}

static void tables_free(struct ledger *ledger)
{
    free(ledger->of_ids);
    ledger->of_ids = ledger->of_senders = NULL;
    ledger->slot_count = 0;
}

/* Makes larger tables. Without memory the tables stay as they are. */
static void tables_grow(struct ledger *ledger)
{
    size_t count = ledger->slot_count ? 2 * ledger->slot_count : SEARCHED_MAX;
    struct ledger_slot *slots = calloc(2 * count, sizeof *slots);
    if (!slots)
        return;
    tables_free(ledger);
    ledger->slot_count = count;
    ledger->of_ids = slots;
    ledger->of_senders = slots + count;
    for (struct ledger_entry *entry = ledger->first; entry; entry = entry->next)
        tables_add(ledger, entry);
}

/* ---- entries ---- */

void ledger_init(struct ledger *ledger, const struct hash_key *key)
{
    *ledger = (struct ledger) { .key = *key };
}

static void entry_append(struct ledger *ledger, struct ledger_entry *entry)
{
    entry->next = NULL;
    entry->previous = ledger->last;
    if (ledger->last)
        ledger->last->next = entry;
    else
        ledger->first = entry;
    ledger->last = entry;
}

void ledger_file(struct ledger *ledger, struct ledger_entry *entry, uint64_t end, uint64_t filed_us)
{
    if (ledger->count >= (ledger->slot_count ? SLOT_ENTRIES * ledger->slot_count : SEARCHED_MAX))
        tables_grow(ledger);
    entry->end = end;
    entry->filed_us = filed_us;
    entry_append(ledger, entry);
    if (!entry->id_length)
        id_append(&ledger->without_ack, entry);
    if (ledger->slot_count)
        tables_add(ledger, entry);
    ledger->count++;
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
    if (!entry->id_length)
        id_remove(&ledger->without_ack, entry);
    if (ledger->slot_count)
        tables_remove(ledger, entry);
    entry->next = entry->previous = NULL;
    ledger->count--;
    ledger->bytes -= entry->size;
    ledger->ack_bytes -= ack_bytes_of(entry);
    if (!ledger->count)
        tables_free(ledger);
}

/* The oldest entry with this id; if none has it, the oldest one whose id has the same bytes and the other
 * type. */
static struct ledger_entry *entry_of_id(const struct ledger *ledger, const uint8_t *id, size_t id_length,
                                        uint64_t sender)
{
    bool has_tables = ledger->slot_count;
    struct ledger_entry *entry = has_tables ? slot_of_id(ledger, id, id_length)->first : ledger->first;
    struct ledger_entry *similar = NULL;

    for (; entry; entry = has_tables ? entry->next_of_id : entry->next) {
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
    struct ledger_entry *entry = ledger->without_ack.first;

    if (!entry || entry->end > taken)
        return NULL;
    ledger_remove(ledger, entry);
    return entry;
}

struct ledger_entry *ledger_oldest_awaiting(const struct ledger *ledger)
{
    struct ledger_entry *entry = ledger->ack_bytes ? ledger->first : NULL;

    while (entry && !entry->id_length)
        entry = entry->next;
    return entry;
}

struct ledger_entry *ledger_oldest_of(const struct ledger *ledger, uint64_t sender)
{
    bool has_tables = ledger->slot_count;
    struct ledger_entry *entry = has_tables ? slot_of_sender(ledger, sender)->first : ledger->first;

    while (entry && entry->sender != sender)
        entry = has_tables ? entry->next_of_sender : entry->next;
    return entry;
}
