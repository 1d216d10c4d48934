/* What a worker knows of each upstream address: its send window, and when its last ack came. A record
 * outlives connections, and changes of DNS as long as the address stays. Pure. */
#ifndef HUSK_DELIVERY_ADDRESS_RECORDS_H
#define HUSK_DELIVERY_ADDRESS_RECORDS_H

#include "delivery/send_window.h"
#include "link/endpoint.h"

struct address_record {
    struct send_window window;
    uint64_t acked_us; /* when an ack came last, by the reactor's now_us; 0: never */
};

/* Initialise with zeros. */
struct address_records {
    struct endpoint_list *list; /* shared: what the indexes of `records` mean; NULL: not yet */
    struct address_record
        records[ENDPOINTS_MAX + 1]; /* the last one is for connections to unknown addresses */
};

void address_records_deinit(struct address_records *records);

/* The record of the endpoint at index `at` of the list; any other index: the record for unknown addresses.
 * Borrowed until the list changes. */
struct address_record *address_records_at(struct address_records *records, size_t at);

/* The endpoints have changed: the records move to the new indexes of their addresses. */
void address_records_move(struct address_records *records, struct endpoint_list *list);

#endif
