/* proxy/forward/ledger.c: which entry settles, without a search through those that wait. */
#include "forward/ledger.h"

#include "forward/ack.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

enum { ENTRIES = 3000, SENDERS = 7, SLOT_MAX = 16 };

struct fixture {
    struct ledger ledger;
    struct ledger_entry entries[ENTRIES]; /* entry i ends at offset i + 1 */
    uint8_t ids[ENTRIES][16];
    struct ledger_entry *second; /* see order_hide */
};

static struct fixture fixture;

static int set_up(void **state)
{
    fixture = (struct fixture) { 0 };
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    while (f->ledger.first)
        ledger_remove(&f->ledger, f->ledger.first);
    assert_null(f->ledger.of_ids);
    assert_int_equal(f->ledger.count + f->ledger.bytes + f->ledger.ack_bytes, 0);
    return 0;
}

/* Entry `at` expects the ack of a str that is the text of `id`. */
static void file(struct fixture *f, unsigned at, unsigned id)
{
    struct ledger_entry *entry = &f->entries[at];
    int length = snprintf((char *)f->ids[at] + 1, sizeof f->ids[at] - 1, "%u", id);

    f->ids[at][0] = (uint8_t)(0xa0 | length);
    *entry = (struct ledger_entry) {
        .id = f->ids[at], .id_length = (size_t)length + 1, .size = 1, .sender = at % SENDERS + 1
    };
    ledger_file(&f->ledger, entry, at + 1, at);
}

static void file_without_ack(struct fixture *f, unsigned at)
{
    f->entries[at] = (struct ledger_entry) { .size = 1, .sender = at % SENDERS + 1 };
    ledger_file(&f->ledger, &f->entries[at], at + 1, at);
}

static struct ledger_entry *settle(struct fixture *f, unsigned at, uint64_t sender)
{
    size_t length = strlen((char *)f->ids[at] + 1) + 1;

    return ledger_settle_ack(&f->ledger, f->ids[at], length, sender);
}

static unsigned slot_length(const struct ledger_slot *slot)
{
    unsigned length = 0;

    for (const struct ledger_entry *entry = slot->first; entry; entry = entry->next_of_id)
        length++;
    return length;
}

/* Between both calls, a search in the order in which messages were sent ends the test. */
static void order_hide(struct fixture *f)
{
    f->second = f->ledger.first->next;
    f->ledger.first->next = (struct ledger_entry *)1;
}

static void order_show(struct fixture *f)
{
    f->ledger.first->next = f->second;
}

static void expect_short_slots(const struct fixture *f)
{
    assert_in_range(f->ledger.slot_count, 1, 2 * f->ledger.count);
    for (size_t at = 0; at < f->ledger.slot_count; at++)
        assert_in_range(slot_length(&f->ledger.of_ids[at]), 0, SLOT_MAX);
}

static void acks_come_in_any_order(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < ENTRIES; i++)
        file(f, i, i);
    expect_short_slots(f);
    for (unsigned i = ENTRIES - 1; i >= 2; i -= 2) {
        order_hide(f);
        struct ledger_entry *settled = settle(f, i, 0);
        order_show(f);
        assert_ptr_equal(settled, &f->entries[i]);
    }
    for (unsigned i = 0; i < ENTRIES; i++)
        assert_ptr_equal(settle(f, i, 0), i % 2 && i > 1 ? NULL : &f->entries[i]);
}

/* An agent that knew the key could choose ids of one slot. */
static void the_key_decides_which_ids_share_a_slot(void **state)
{
    enum { COLLIDING = 400, SLOTS = 1024 };
    static const struct hash_key known = { { 1, 2 } }, other = { { 3, 4 } };
    struct fixture *f = *state;

    ledger_init(&f->ledger, &known);
    for (unsigned at = 0, id = 0; at < COLLIDING; id++) {
        char text[16];
        int length = snprintf(text, sizeof text, "%u", id);
        if (hash_bytes(&known, text, (size_t)length) % SLOTS == 0)
            file(f, at++, id);
    }
    assert_int_equal(slot_length(&f->ledger.of_ids[0]), COLLIDING);
    while (f->ledger.first)
        ledger_remove(&f->ledger, f->ledger.first);
    ledger_init(&f->ledger, &other);
    for (unsigned at = 0; at < COLLIDING; at++)
        ledger_file(&f->ledger, &f->entries[at], at + 1, at);
    expect_short_slots(f);
}

static void few_entries_need_no_memory(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 16; i++)
        file(f, i, i);
    assert_null(f->ledger.of_ids);
    assert_ptr_equal(settle(f, 9, 0), &f->entries[9]);
    assert_ptr_equal(ledger_oldest_of(&f->ledger, 3), &f->entries[2]);
}

static void of_equal_ids_the_oldest_settles(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < ENTRIES; i++)
        file(f, i, i % 10);
    for (unsigned i = 0; i < 100; i++)
        assert_ptr_equal(settle(f, i, 0), &f->entries[i]);
    assert_ptr_equal(settle(f, 103, 100 % SENDERS + 1)->sender, 100 % SENDERS + 1);
    assert_null(settle(f, 0, SENDERS + 1)); /* no such sender */
}

static void an_id_of_the_other_type_is_found(void **state)
{
    static const uint8_t as_bin[] = { 0xc4, 2, '5', '0' };
    struct fixture *f = *state;

    for (unsigned i = 0; i < ENTRIES; i++)
        file(f, i, i);
    assert_ptr_equal(ledger_settle_ack(&f->ledger, as_bin, sizeof as_bin, 0), &f->entries[50]);
    assert_null(ledger_settle_ack(&f->ledger, as_bin, sizeof as_bin, 0));
}

static void the_oldest_entry_of_a_sender_is_found(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < ENTRIES; i++)
        file(f, i, i);
    for (unsigned i = 1; i < ENTRIES; i++) { /* not the first one: sender 1 keeps it */
        if (i % SENDERS)
            ledger_remove(&f->ledger, &f->entries[i]);
        unsigned next = i + SENDERS < ENTRIES ? i + SENDERS : ENTRIES;
        order_hide(f);
        struct ledger_entry *oldest = ledger_oldest_of(&f->ledger, i % SENDERS + 1);
        order_show(f);
        if (i % SENDERS)
            assert_ptr_equal(oldest, next < ENTRIES ? &f->entries[next] : NULL);
        else
            assert_ptr_equal(oldest, &f->entries[0]);
    }
}

static void entries_without_an_ack_settle_in_their_order(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < ENTRIES; i++) {
        if (i % 3 == 2)
            file_without_ack(f, i);
        else
            file(f, i, i);
    }
    for (unsigned i = 2; i < ENTRIES; i += 3) {
        assert_null(ledger_settle_taken(&f->ledger, i));
        order_hide(f);
        struct ledger_entry *settled = ledger_settle_taken(&f->ledger, i + 1);
        order_show(f);
        assert_ptr_equal(settled, &f->entries[i]);
    }
    assert_null(ledger_settle_taken(&f->ledger, UINT64_MAX));
    assert_ptr_equal(ledger_oldest_awaiting(&f->ledger), &f->entries[0]);
}

static void without_entries_that_expect_an_ack_none_is_searched_for(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < ENTRIES; i++)
        file_without_ack(f, i);
    order_hide(f);
    assert_null(ledger_oldest_awaiting(&f->ledger));
    order_show(f);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(acks_come_in_any_order),
        TEST(the_key_decides_which_ids_share_a_slot),
        TEST(few_entries_need_no_memory),
        TEST(of_equal_ids_the_oldest_settles),
        TEST(an_id_of_the_other_type_is_found),
        TEST(the_oldest_entry_of_a_sender_is_found),
        TEST(entries_without_an_ack_settle_in_their_order),
        TEST(without_entries_that_expect_an_ack_none_is_searched_for),
    };

    return cmocka_run_group_tests_name("ledger", tests, NULL, NULL);
}
