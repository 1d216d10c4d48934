/* What a worker knows of each endpoint: its send window, and when its last ack came. A record outlives the
 * connections to its endpoint. The record is kept as long as DNS has the endpoint. Pure. */
#ifndef HUSK_DELIVERY_ADDRESS_RECORDS_H
#define HUSK_DELIVERY_ADDRESS_RECORDS_H

#include "delivery/message.h"
#include "delivery/send_window.h"
#include "link/endpoint.h"

struct address_record {
    struct send_window window;
    uint64_t acked_us; /* when an ack came last, by the reactor's now_us; 0: never */

    /* Since that ack: the message that has failed alone, and whether another one has failed too. */
    uint64_t failed_sender, failed_ordinal; /* sender 0: none */
    bool have_several_failed;
};

/* Initialise with zeros. */
struct address_records {
    struct endpoint_list *list;     /* shared: what the indexes of `records` mean; NULL: not yet */
    struct address_record *records; /* owned: one for each endpoint of the list; NULL: out of memory */
    struct address_record unknown;  /* for connections to endpoints without a record */
};

void address_records_deinit(struct address_records *records);

/* The record of the endpoint at index `at` of the list; the record for unknown endpoints if it has no
 * record. Borrowed until the list changes. */
struct address_record *address_records_at(struct address_records *records, size_t at);

/* An ack has come from the endpoint. */
void address_record_note_ack(struct address_record *record, uint64_t now_us);
/* A message has failed although it was sent alone. */
void address_record_note_failure(struct address_record *record, const struct message *message);
/* Whether another message has failed at the endpoint since its last ack. */
bool address_record_others_fail(const struct address_record *record, const struct message *message);

/* The endpoints have changed: the records move to their new indexes. */
void address_records_move(struct address_records *records, struct endpoint_list *list);

#endif
