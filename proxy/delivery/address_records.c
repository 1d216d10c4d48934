#include "delivery/address_records.h"

#include <string.h>

void address_records_deinit(struct address_records *records)
{
    endpoint_list_release(records->list);
    records->list = NULL;
}

struct address_record *address_records_at(struct address_records *records, size_t at)
{
    return &records->records[at < ENDPOINTS_MAX ? at : ENDPOINTS_MAX];
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
    struct address_record before[ENDPOINTS_MAX];
    struct endpoint_list *old = records->list;

    memcpy(before, records->records, sizeof before);
    memset(records->records, 0, sizeof before);
    for (size_t i = 0; old && i < list->count; i++) {
        size_t at = endpoint_list_find(old, &list->endpoints[i]);
        if (at < old->count)
            records->records[i] = before[at];
    }
    records->list = endpoint_list_share(list);
    endpoint_list_release(old);
}
