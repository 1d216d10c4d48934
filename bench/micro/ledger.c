/* The speed of filing and settling messages. Usage: ledger [seconds per line] */
#include "forward/ledger.h"
#include "forward/rewriter.h"
#include "micro/measure.h"

#include <string.h>

enum { UNDER_WAY = 1024, ROUNDS = 16, MESSAGE_BYTES = 512 };

struct subject {
    struct ledger ledger;
    struct ledger_entry entries[UNDER_WAY];
    uint8_t ids[UNDER_WAY][CHUNK_ID_VALUE_BYTES];
};

static void file_all(struct subject *subject)
{
    for (unsigned i = 0; i < UNDER_WAY; i++)
        ledger_file(&subject->ledger, &subject->entries[i], (i + 1) * MESSAGE_BYTES, 0);
}

/* Acks come in the order of sending, as aggregators send them. */
static void settle_in_order(void *argument)
{
    struct subject *subject = argument;

    for (unsigned round = 0; round < ROUNDS; round++) {
        file_all(subject);
        for (unsigned i = 0; i < UNDER_WAY; i++)
            if (!ledger_settle_ack(&subject->ledger, subject->ids[i], CHUNK_ID_VALUE_BYTES, 0))
                abort();
    }
}

/* Messages that expect no ack. The socket takes one after the other. */
static void settle_taken(void *argument)
{
    struct subject *subject = argument;

    for (unsigned round = 0; round < ROUNDS; round++) {
        file_all(subject);
        for (unsigned i = 0; i < UNDER_WAY; i++)
            if (!ledger_settle_taken(&subject->ledger, subject->entries[i].end))
                abort();
    }
}

int main(int count, char **arguments)
{
    static struct subject subject;
    double seconds = measure_seconds(count, arguments);
    struct hash_key key;
    struct measure measure = { "filed, settled by its ack, 1024 under way", settle_in_order, &subject,
                               UNDER_WAY * ROUNDS, 0 };

    if (!hash_key_init(&key))
        return 1;
    ledger_init(&subject.ledger, &key);
    for (unsigned i = 0; i < UNDER_WAY; i++) {
        uint8_t random[16] = { 0 };
        memcpy(random, &i, sizeof i);
        chunk_id_write(subject.ids[i], random);
        subject.entries[i] = (struct ledger_entry) { .id = subject.ids[i],
                                                     .id_length = CHUNK_ID_VALUE_BYTES,
                                                     .size = MESSAGE_BYTES };
    }
    measure_run(&measure, seconds);
    for (unsigned i = 0; i < UNDER_WAY; i++)
        subject.entries[i].id_length = 0;
    measure.name = "filed, settled by being sent, 1024 under way";
    measure.batch = settle_taken;
    measure_run(&measure, seconds);
    return 0;
}
