#include "delivery/address_records.h"

#include <stdlib.h>

void address_records_deinit(struct address_records *records)
{
    endpoint_list_release(records->list);
    free(records->records);
    records->list = NULL;
    records->records = NULL;
}

struct address_record *address_records_at(struct address_records *records, size_t at)
{
    return records->records && at < records->list->count ? &records->records[at] : &records->unknown;
}

void address_record_note_ack(struct address_record *record, uint64_t now_us)
{
    record->acked_us = now_us;
    record->failed_sender = record->failed_ordinal = 0;
    record->have_several_failed = false;
}

static bool is_other(const struct address_record *record, const struct message *message)
{
    return record->failed_sender &&
           (record->failed_sender != message->entry.sender || record->failed_ordinal != message->ordinal);
}

void address_record_note_failure(struct address_record *record, const struct message *message)
{
    record->have_several_failed = address_record_others_fail(record, message);
    record->failed_sender = message->entry.sender;
    record->failed_ordinal = message->ordinal;
}

bool address_record_others_fail(const struct address_record *record, const struct message *message)
{
    return record->have_several_failed || is_other(record, message);
}

void address_records_move(struct address_records *records, struct endpoint_list *list)
{
    struct address_record *moved = list->count ? calloc(list->count, sizeof *moved) : NULL;
    struct endpoint_list *old = records->list;

    for (size_t i = 0; moved && records->records && i < list->count; i++) {
        size_t at = endpoint_list_find(old, &list->endpoints[i]);
        if (at < old->count)
            moved[i] = records->records[at];
    }
    free(records->records);
    records->records = moved;
    records->list = endpoint_list_share(list);
    endpoint_list_release(old);
}
