/* proxy/delivery/framer.c: which messages come out of an agent's bytes, and in which batches. */
#include "delivery/framer.h"

#include "support/messages.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

enum { NOW_MS = 1000, FOUND_MAX = 32, RETAIN_BYTES = 100000, CUT_THROUGH_BYTES = 50000, BUFFER_BYTES = 1000 };

struct fixture {
    struct route_options route;
    struct buffer_pool pool;
    struct body_filter bodies;
    struct body_metrics metrics;
    struct chunk_ids ids;
    struct framer_shared shared;
    struct message_permit permit;
    struct framer framer;
    struct message *found[FOUND_MAX];
    unsigned found_count;
    /* A large message. */
    unsigned large_calls, large_ends;
    size_t take_limit; /* most bytes that on_large takes */
    size_t large_taken;
    enum end_reason large_verdict;
};

static struct fixture fixture;

static void on_message(void *owner, struct message *message)
{
    struct fixture *f = owner;

    assert_in_range(f->found_count, 0, FOUND_MAX - 1);
    f->found[f->found_count++] = message;
}

static void large_take(struct fixture *f, size_t bytes)
{
    buffer_consume(framer_bytes(&f->framer), bytes);
    f->large_taken += bytes;
}

static enum end_reason on_large(void *owner, const struct scanner *scanner)
{
    struct fixture *f = owner;
    size_t scanned = (size_t)scanner->length - f->large_taken;

    f->large_calls++;
    large_take(f, scanned < f->take_limit ? scanned : f->take_limit);
    return f->large_verdict;
}

static enum end_reason on_large_end(void *owner, const struct scanner *scanner)
{
    struct fixture *f = owner;

    f->large_ends++;
    large_take(f, (size_t)scanner->length - f->large_taken);
    return f->large_verdict;
}

static const struct framer_events events = {
    .on_message = on_message,
    .on_large = on_large,
    .on_large_end = on_large_end,
};

static int set_up(void **state)
{
    struct fixture *f = &fixture;

    *f = (struct fixture) {
        .route = { .delivery = ROUTE_AT_LEAST_ONCE,
                   .scanner = { .tag_bytes = 20, .message_bytes = 1 << 20, .depth = 8 },
                   .retain_bytes = RETAIN_BYTES,
                   .cut_through_bytes = CUT_THROUGH_BYTES,
                   .batch_bytes = 10000,
                   .buffer_bytes = BUFFER_BYTES },
        .shared = { .events = &events,
                    .route = &f->route,
                    .building = { &f->route, &f->bodies, &f->ids, &f->pool, NULL } },
        .take_limit = SIZE_MAX,
    };
    body_filter_init(&f->bodies, &f->route, &f->metrics);
    framer_init(&f->framer, &f->shared, &f->pool, f, &f->permit);
    *state = f;
    return 0;
}

static void found_free(struct fixture *f)
{
    while (f->found_count)
        message_free(f->found[--f->found_count]);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    found_free(f);
    framer_deinit(&f->framer);
    framer_shared_deinit(&f->shared);
    body_filter_deinit(&f->bodies);
    buffer_pool_deinit(&f->pool);
    return 0;
}

/* The agent sends a message with this tag. */
static void send(struct fixture *f, const char *tag, const char *chunk)
{
    messages_append(framer_bytes(&f->framer), tag, "x", chunk);
}

static void send_bytes(struct fixture *f, const void *bytes, size_t length)
{
    assert_true(buffer_append(framer_bytes(&f->framer), bytes, length));
}

static enum end_reason advance(struct fixture *f)
{
    return framer_advance(&f->framer, NOW_MS);
}

/* The messages found have these numbers of Forward messages. */
static void expect_counts(const struct fixture *f, const unsigned *counts, unsigned count)
{
    assert_int_equal(f->found_count, count);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(f->found[i]->count, counts[i]);
        assert_int_equal(f->found[i]->events, counts[i]);
    }
}

#define EXPECT_COUNTS(f, ...)                                                                                \
    expect_counts(f, (const unsigned[]) { __VA_ARGS__ },                                                     \
                  sizeof((const unsigned[]) { __VA_ARGS__ }) / sizeof(unsigned))

/* ---- batches ---- */

static void messages_that_come_together_are_a_batch(void **state)
{
    struct fixture *f = *state;

    assert_true(framer_is_untouched(&f->framer));
    for (unsigned i = 0; i < 5; i++)
        send(f, "t", NULL);
    assert_false(framer_is_untouched(&f->framer));
    assert_int_equal(advance(f), END_NONE);
    EXPECT_COUNTS(f, 5);
    assert_int_equal(f->found[0]->ack, MESSAGE_OUR_ACK);
    assert_int_equal(f->found[0]->entry.id_length, CHUNK_ID_VALUE_BYTES);
    assert_true(f->found[0]->is_protected);
    send(f, "t", NULL);
    assert_int_equal(advance(f), END_NONE);
    EXPECT_COUNTS(f, 5, 1);
    assert_false(framer_is_untouched(&f->framer));
    assert_memory_not_equal(f->found[0]->entry.id, f->found[1]->entry.id, CHUNK_ID_VALUE_BYTES);
}

static void a_message_with_a_chunk_id_ends_a_batch(void **state)
{
    struct fixture *f = *state;

    send(f, "t", NULL);
    send(f, "t", NULL);
    send(f, "t", "a");
    send(f, "t", "b");
    send(f, "t", NULL);
    assert_int_equal(advance(f), END_NONE);
    EXPECT_COUNTS(f, 2, 1, 1, 1);
    assert_int_equal(f->found[0]->ack, MESSAGE_OUR_ACK); /* an ack speaks for its own message */
    assert_int_equal(f->found[1]->ack, MESSAGE_AGENT_ACK);
    assert_memory_equal(f->found[1]->entry.id,
                        "\xa1"
                        "a",
                        2);
    assert_int_equal(f->found[2]->ack, MESSAGE_AGENT_ACK);
    assert_int_equal(f->found[3]->ack, MESSAGE_OUR_ACK);
}

static void a_batch_is_not_longer_than_batch_bytes(void **state)
{
    struct fixture *f = *state;

    f->route.batch_bytes = 150;
    for (unsigned i = 0; i < 20; i++)
        send(f, "t", NULL);
    assert_int_equal(advance(f), END_NONE);
    assert_in_range(f->found_count, 2, 10);
    for (unsigned i = 0; i < f->found_count; i++)
        assert_in_range(f->found[i]->entry.size, 1, 150);
}

static void a_message_longer_than_batch_bytes_goes_alone(void **state)
{
    struct fixture *f = *state;
    char text[201] = { 0 };

    memset(text, 'x', 200);
    f->route.batch_bytes = 150;
    send(f, "t", NULL);
    send(f, "t", NULL);
    messages_append(framer_bytes(&f->framer), "t", text, NULL);
    send(f, "t", NULL);
    assert_int_equal(advance(f), END_NONE);
    EXPECT_COUNTS(f, 2, 1, 1);
    assert_true(f->found[0]->is_batch);
    assert_false(f->found[1]->is_batch);
}

static void only_messages_with_the_same_tag_are_a_batch(void **state)
{
    struct fixture *f = *state;

    send(f, "t", NULL);
    send(f, "t", NULL);
    send(f, "u", NULL);
    send(f, "t", NULL);
    send(f, "t", NULL);
    assert_int_equal(advance(f), END_NONE);
    EXPECT_COUNTS(f, 2, 1, 2);
}

/* A message that no other one joins stays as it is. */
static void a_single_message_is_not_encoded(void **state)
{
    struct fixture *f = *state;

    send(f, "t", NULL);
    send(f, "u", NULL);
    assert_int_equal(advance(f), END_NONE);
    EXPECT_COUNTS(f, 1, 1);
    for (unsigned i = 0; i < 2; i++) {
        assert_false(f->found[i]->is_batch);
        assert_memory_equal(f->found[i]->flat,
                            i ? "\x94\xa1u\x01\x81\xa1m\xa1x" : "\x94\xa1t\x01\x81\xa1m\xa1x", 9);
    }
}

static void a_batch_of_a_calling_husk_can_be_split(void **state)
{
    static const char batch[] = "\x93\xa1t\xc4\x06\x92\x01\x80\x92\x02\x80\x82\xa5"
                                "chunk\xb8"
                                "0123456789012345678901~1\xa4size\x02";
    struct fixture *f = *state;

    send_bytes(f, batch, sizeof batch - 1);
    assert_int_equal(advance(f), END_NONE);
    EXPECT_COUNTS(f, 2);
    assert_int_equal(f->found[0]->ack, MESSAGE_AGENT_ACK);
    assert_true(f->found[0]->is_batch);
    messages_expect_bytes(f->found[0], batch, sizeof batch - 1);
}

static void without_batches_each_message_is_handed_up_alone(void **state)
{
    struct fixture *f = *state;

    f->route.batch_bytes = 0;
    for (unsigned i = 0; i < 3; i++)
        send(f, "t", NULL);
    assert_int_equal(advance(f), END_NONE);
    EXPECT_COUNTS(f, 1, 1, 1);
}

static void a_prefix_goes_into_a_batch_once(void **state)
{
    struct fixture *f = *state;
    char prefix[] = "pre.";

    f->permit.prefix = prefix;
    f->permit.prefix_length = 4;
    for (unsigned i = 0; i < 3; i++)
        send(f, "one", NULL);
    assert_int_equal(advance(f), END_NONE);
    EXPECT_COUNTS(f, 3);
    assert_memory_equal(f->found[0]->flat, "\x93\xa7pre.one\xc6", 10);
}

static void a_prefix_goes_into_every_message(void **state)
{
    struct fixture *f = *state;
    char prefix[] = "pre.";

    f->permit.prefix = prefix;
    f->permit.prefix_length = 4;
    send(f, "one", NULL);
    send(f, "two", "id");
    assert_int_equal(advance(f), END_NONE);
    EXPECT_COUNTS(f, 1, 1);
    assert_memory_equal(f->found[0]->flat + 1, "\xa7pre.one", 8);
    assert_memory_equal(f->found[1]->flat + 1, "\xa7pre.two", 8);
}

static void whole_messages_go_up_before_the_next_one_is_whole(void **state)
{
    struct fixture *f = *state;

    send(f, "t", NULL);
    send(f, "t", NULL);
    send_bytes(f, "\x93\xa1t", 3);
    assert_int_equal(advance(f), END_NONE);
    EXPECT_COUNTS(f, 2);
    assert_true(framer_is_mid_message(&f->framer));
    assert_int_equal(framer_bytes(&f->framer)->length, 3);
    send_bytes(f, "\x01\x80", 2);
    assert_int_equal(advance(f), END_NONE);
    EXPECT_COUNTS(f, 2, 1);
    assert_false(framer_is_mid_message(&f->framer));
    assert_int_equal(framer_bytes(&f->framer)->length, 0);
}

static void passthrough_asks_for_no_ack(void **state)
{
    struct fixture *f = *state;

    f->route.delivery = ROUTE_PASSTHROUGH;
    send(f, "t", NULL);
    send(f, "t", NULL);
    assert_int_equal(advance(f), END_NONE);
    EXPECT_COUNTS(f, 2);
    assert_int_equal(f->found[0]->ack, MESSAGE_NO_ACK);
    assert_int_equal(f->found[0]->entry.id_length, 0);
    assert_false(f->found[0]->is_protected);
}

static void in_passthrough_a_message_with_a_chunk_id_is_alone(void **state)
{
    struct fixture *f = *state;

    f->route.delivery = ROUTE_PASSTHROUGH;
    send(f, "t", NULL);
    send(f, "t", NULL);
    send(f, "t", "id");
    send(f, "t", NULL);
    assert_int_equal(advance(f), END_NONE);
    EXPECT_COUNTS(f, 2, 1, 1);
    assert_int_equal(f->found[0]->ack, MESSAGE_NO_ACK);
    assert_int_equal(f->found[1]->ack, MESSAGE_AGENT_ACK);
    assert_false(f->found[1]->is_protected);
}

static void a_batch_does_not_grow_beyond_what_can_be_retained(void **state)
{
    struct fixture *f = *state;

    f->route.retain_bytes = 150;
    for (unsigned i = 0; i < 20; i++)
        send(f, "t", NULL);
    assert_int_equal(advance(f), END_NONE);
    assert_in_range(f->found_count, 2, 10);
    for (unsigned i = 0; i < f->found_count; i++) {
        assert_true(f->found[i]->is_protected);
        assert_in_range(f->found[i]->entry.size, 1, 150);
    }
}

static void a_message_that_cannot_be_retained_is_not_protected(void **state)
{
    struct fixture *f = *state;

    f->route.retain_bytes = 1;
    send(f, "t", NULL);
    assert_int_equal(advance(f), END_NONE);
    EXPECT_COUNTS(f, 1);
    assert_false(f->found[0]->is_protected);
    assert_int_equal(f->found[0]->ack, MESSAGE_NO_ACK);
}

/* ---- any cut ---- */

static const char stream[] = "\x93\xa1"
                             "a\x01\x80"
                             "\x94\xa1"
                             "b\x01\x80\x81\xa5"
                             "chunk\xa2id"
                             "\x92\xa1"
                             "c\x92\x92\x01\x80\x92\x02\x81\xa1k\xa1v"
                             "\x93\xa1"
                             "d\xc4\x05\x92\x01\x81\xa1k\x81\xa5"
                             "chunk\xc4\x02"
                             "bi";

/* Hands the stream to a framer in two pieces and returns the bytes of all messages; `ids` counts those that
 * the agent wants acks of. */
static size_t frame(struct fixture *f, size_t cut, uint8_t *bytes, unsigned *ids)
{
    size_t length = 0;
    const size_t ends[] = { cut, sizeof stream - 1 };

    *ids = 0;
    for (size_t i = 0, at = 0; i < 2; at = ends[i++]) {
        send_bytes(f, stream + at, ends[i] - at);
        assert_int_equal(advance(f), END_NONE);
    }
    for (unsigned i = 0; i < f->found_count; i++) {
        memcpy(bytes + length, f->found[i]->flat, f->found[i]->flat_length);
        length += f->found[i]->flat_length;
        *ids += f->found[i]->ack == MESSAGE_AGENT_ACK;
    }
    found_free(f);
    assert_false(framer_is_mid_message(&f->framer));
    assert_int_equal(framer_bytes(&f->framer)->length, 0);
    return length;
}

static void messages_are_the_same_wherever_the_bytes_are_cut(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[sizeof stream];
    unsigned ids;

    f->route.delivery = ROUTE_PASSTHROUGH; /* no id of husk's, so that the bytes stay as they are */
    for (size_t cut = 0; cut < sizeof stream; cut++) {
        assert_int_equal(frame(f, cut, bytes, &ids), sizeof stream - 1);
        assert_memory_equal(bytes, stream, sizeof stream - 1);
        assert_int_equal(ids, 2);
        framer_return_scan(&f->framer);
    }
}

/* ---- large messages ---- */

/* ["t", bin32 of `length` bytes]: its head is 8 bytes long. */
static void send_large_head(struct fixture *f, uint32_t length)
{
    uint8_t head[] = { 0x92,
                       0xa1,
                       't',
                       0xc6,
                       (uint8_t)(length >> 24),
                       (uint8_t)(length >> 16),
                       (uint8_t)(length >> 8),
                       (uint8_t)length };

    send_bytes(f, head, sizeof head);
}

static void send_zeros(struct fixture *f, size_t length)
{
    static const uint8_t zeros[1000];

    for (size_t part; length; length -= part) {
        part = length < sizeof zeros ? length : sizeof zeros;
        send_bytes(f, zeros, part);
    }
}

static void a_large_message_goes_up_while_it_is_read(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(framer_window(&f->framer), BUFFER_BYTES);
    send_large_head(f, CUT_THROUGH_BYTES);
    send_zeros(f, 100);
    assert_int_equal(advance(f), END_NONE);
    assert_int_equal(framer_announced_bytes(&f->framer), CUT_THROUGH_BYTES + 8);
    assert_int_equal(f->large_calls, 1);
    assert_int_equal(f->large_taken, 108);
    assert_int_equal(framer_window(&f->framer), BUFFER_BYTES + MESSAGE_OPTION_BYTES_MAX);
    send_zeros(f, 1000);
    assert_int_equal(advance(f), END_NONE);
    assert_int_equal(f->large_calls, 2);
    assert_int_equal(f->large_taken, 1108);
    send_zeros(f, CUT_THROUGH_BYTES - 1100);
    send(f, "next", NULL);
    assert_int_equal(advance(f), END_NONE);
    assert_int_equal(f->large_ends, 1);
    assert_int_equal(f->large_calls, 2);
    assert_int_equal(f->large_taken, CUT_THROUGH_BYTES + 8);
    EXPECT_COUNTS(f, 1);
    assert_false(framer_is_mid_message(&f->framer));
    framer_return_scan(&f->framer);
    assert_int_equal(framer_window(&f->framer), BUFFER_BYTES);
}

static void a_message_that_can_be_held_is_not_cut_through(void **state)
{
    struct fixture *f = *state;

    send_large_head(f, CUT_THROUGH_BYTES - 8);
    send_zeros(f, 100);
    assert_int_equal(advance(f), END_NONE);
    assert_int_equal(framer_window(&f->framer), CUT_THROUGH_BYTES + BUFFER_BYTES);
    send_zeros(f, CUT_THROUGH_BYTES - 108);
    assert_int_equal(advance(f), END_NONE);
    assert_int_equal(f->large_calls + f->large_ends, 0);
    assert_int_equal(f->found_count, 1);
    assert_true(f->found[0]->entry.size > CUT_THROUGH_BYTES);
}

static void the_owner_of_a_large_message_may_take_its_bytes_late(void **state)
{
    struct fixture *f = *state;

    f->take_limit = 0;
    send(f, "before", NULL);
    send_large_head(f, CUT_THROUGH_BYTES);
    assert_int_equal(advance(f), END_NONE);
    EXPECT_COUNTS(f, 1);
    send_zeros(f, 500);
    assert_int_equal(advance(f), END_NONE);
    assert_int_equal(framer_bytes(&f->framer)->length, 508);
    f->take_limit = 300;
    send_zeros(f, 500);
    assert_int_equal(advance(f), END_NONE);
    assert_int_equal(framer_bytes(&f->framer)->length, 708);
    f->take_limit = SIZE_MAX;
    send_zeros(f, 1);
    assert_int_equal(advance(f), END_NONE);
    assert_int_equal(framer_bytes(&f->framer)->length, 0);
    assert_int_equal(f->large_taken, 1009);
    send_zeros(f, CUT_THROUGH_BYTES - 1001);
    assert_int_equal(advance(f), END_NONE);
    assert_int_equal(f->large_ends, 1);
}

static void a_large_message_that_cannot_go_on_ends_the_agent(void **state)
{
    struct fixture *f = *state;

    f->large_verdict = END_BAD_OPTION;
    send_large_head(f, CUT_THROUGH_BYTES);
    assert_int_equal(advance(f), END_BAD_OPTION);
    f->large_verdict = END_NONE;
    send_zeros(f, 1);
    assert_int_equal(advance(f), END_NONE);
    f->large_verdict = END_NO_MEMORY;
    send_zeros(f, CUT_THROUGH_BYTES - 1);
    assert_int_equal(advance(f), END_NO_MEMORY);
    assert_int_equal(f->large_ends, 1);
}

/* ---- refusals ---- */

static void bytes_that_are_no_messages_are_refused(void **state)
{
    static const struct {
        const char *bytes;
        enum end_reason reason;
    } cases[] = {
        { "{\"a\": 1}", END_JSON },
        { "\x01", END_NOT_FORWARD },
        { "\x92\xb5"
          "123456789012345678901",
          END_TAG_TOO_LONG },
        { "\x92\xa1t\xc6\x7f\xff\xff\xff", END_MESSAGE_TOO_LONG },
        { "\x93\xa1t\x01\x81\xa1k\x91\x91\x91\x91\x91\x91\x91\x91\xc0", END_MESSAGE_TOO_DEEP },
        { "\x93\xa1t\xa0\x81\xa5"
          "chunk\xda\x04\x01",
          END_BAD_OPTION },
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct framer framer;
        framer_init(&framer, &f->shared, &f->pool, f, &f->permit);
        assert_true(buffer_append(framer_bytes(&framer), cases[i].bytes, strlen(cases[i].bytes)));
        assert_int_equal(framer_advance(&framer, NOW_MS), cases[i].reason);
        framer_deinit(&framer);
    }
    assert_int_equal(f->found_count, 0);
}

static void whole_messages_in_front_of_a_refused_one_go_up(void **state)
{
    struct fixture *f = *state;

    send(f, "t", NULL);
    send(f, "t", NULL);
    send_bytes(f, "{", 1); /* not the first byte: not JSON */
    assert_int_equal(advance(f), END_NOT_FORWARD);
    EXPECT_COUNTS(f, 2);
}

static void a_tag_that_is_not_allowed_is_refused(void **state)
{
    struct fixture *f = *state;
    struct message_policy policy = { 0 };
    struct message_meters meters = { 0 };
    const struct identity identity = { .spki = "00" };
    struct message_rule *rule = message_policy_add(&policy, "any");
    struct fault fault;

    assert_non_null(rule);
    assert_true(peer_policy_add(&rule->who, PEER_RULE_ANY, NULL, &fault));
    assert_true(message_rule_set_tags(rule, "good.**", &fault));
    assert_int_equal(message_permit_open(&f->permit, &policy, &meters, &identity, NOW_MS), END_NONE);
    send(f, "good.x", NULL);
    send(f, "bad.x", NULL);
    assert_int_equal(advance(f), END_TAG_NOT_ALLOWED);
    EXPECT_COUNTS(f, 1);
    message_permit_close(&f->permit);
    message_meters_deinit(&meters);
    message_policy_deinit(&policy);
}

/* ---- rate limits ---- */

static void a_rate_limit_makes_the_next_message_wait(void **state)
{
    struct fixture *f = *state;
    struct message_policy policy = { 0 };
    struct message_meters meters = { 0 };
    const struct identity identity = { .spki = "00" };
    struct message_rule *rule = message_policy_add(&policy, "any");
    struct fault fault;

    assert_non_null(rule);
    assert_true(peer_policy_add(&rule->who, PEER_RULE_ANY, NULL, &fault));
    rule->messages_per_second = 10;
    rule->burst_ms = 200; /* two at once */
    assert_int_equal(message_permit_open(&f->permit, &policy, &meters, &identity, NOW_MS), END_NONE);
    for (unsigned i = 0; i < 3; i++)
        send(f, "t", NULL);
    assert_int_equal(advance(f), END_NONE);
    EXPECT_COUNTS(f, 2); /* what is whole does not wait with it */
    assert_int_equal(framer_wait_ms(&f->framer, NOW_MS), 100);
    assert_int_equal(framer_advance(&f->framer, NOW_MS + 99), END_NONE);
    EXPECT_COUNTS(f, 2);
    assert_int_equal(framer_advance(&f->framer, NOW_MS + 100), END_NONE);
    EXPECT_COUNTS(f, 2, 1);
    assert_int_equal(framer_wait_ms(&f->framer, NOW_MS + 100), 0); /* nothing more was sent */
    /* A message that has begun is read to its end. */
    send_bytes(f, "\x93\xa1t", 3);
    assert_int_equal(framer_wait_ms(&f->framer, NOW_MS + 100), 100);
    assert_int_equal(framer_advance(&f->framer, NOW_MS + 200), END_NONE);
    assert_true(framer_is_mid_message(&f->framer));
    message_permit_charge(&f->permit, 1, 1, NOW_MS + 200); /* by another connection */
    send_bytes(f, "\x01\x80", 2);
    assert_int_equal(framer_wait_ms(&f->framer, NOW_MS + 200), 0);
    assert_int_equal(framer_advance(&f->framer, NOW_MS + 200), END_NONE);
    EXPECT_COUNTS(f, 2, 1, 1);
    message_permit_close(&f->permit);
    message_meters_deinit(&meters);
    message_policy_deinit(&policy);
}

/* ---- a batch that waits ---- */

enum { DELAY_MS = 100 };

static enum end_reason advance_at(struct fixture *f, uint64_t now_ms)
{
    enum end_reason reason = framer_advance(&f->framer, now_ms);

    framer_return_scan(&f->framer); /* as between two steps of the connection */
    return reason;
}

static void a_batch_waits_for_further_messages(void **state)
{
    struct fixture *f = *state;

    f->route.batch_delay_ms = DELAY_MS;
    for (unsigned i = 0; i < 5; i++) {
        send(f, "t", NULL);
        assert_int_equal(advance_at(f, NOW_MS + 10 * i), END_NONE);
        assert_true(framer_has_batch(&f->framer));
        assert_int_equal(framer_deadline(&f->framer), NOW_MS + DELAY_MS);
        assert_false(framer_is_untouched(&f->framer));
        assert_false(framer_is_mid_message(&f->framer));
        assert_in_range(framer_held_bytes(&f->framer), 9, 200);
    }
    assert_int_equal(advance_at(f, NOW_MS + DELAY_MS - 1), END_NONE);
    assert_int_equal(f->found_count, 0);
    assert_int_equal(advance_at(f, NOW_MS + DELAY_MS), END_NONE);
    EXPECT_COUNTS(f, 5);
    assert_true(f->found[0]->is_batch);
    assert_false(framer_has_batch(&f->framer));
    assert_int_equal(framer_deadline(&f->framer), 0);
    assert_int_equal(framer_held_bytes(&f->framer), 0);
}

static void a_message_that_has_waited_alone_is_not_encoded(void **state)
{
    struct fixture *f = *state;

    f->route.batch_delay_ms = DELAY_MS;
    send(f, "t", NULL);
    assert_int_equal(advance_at(f, NOW_MS), END_NONE);
    assert_int_equal(f->found_count, 0);
    assert_int_equal(advance_at(f, NOW_MS + DELAY_MS), END_NONE);
    EXPECT_COUNTS(f, 1);
    assert_memory_equal(f->found[0]->flat, "\x94\xa1t\x01\x81\xa1m\xa1x", 9);
}

static void a_batch_that_waits_is_flushed(void **state)
{
    struct fixture *f = *state;

    f->route.batch_delay_ms = DELAY_MS;
    assert_int_equal(framer_flush(&f->framer), END_NONE);
    send(f, "t", NULL);
    send(f, "t", NULL);
    assert_int_equal(advance_at(f, NOW_MS), END_NONE);
    assert_int_equal(framer_flush(&f->framer), END_NONE);
    EXPECT_COUNTS(f, 2);
    assert_false(framer_has_batch(&f->framer));
    send(f, "t", NULL);
    assert_int_equal(advance_at(f, NOW_MS + 50), END_NONE);
    assert_int_equal(framer_deadline(&f->framer), NOW_MS + 50 + DELAY_MS); /* a new batch, a new delay */
}

/* What cannot join a batch goes up at once, and the batch before it. */
static void a_batch_does_not_wait_when_another_message_follows(void **state)
{
    struct fixture *f = *state;

    f->route.batch_delay_ms = DELAY_MS;
    send(f, "t", NULL);
    send(f, "t", NULL);
    assert_int_equal(advance_at(f, NOW_MS), END_NONE);
    send(f, "u", NULL); /* waits now */
    assert_int_equal(advance_at(f, NOW_MS), END_NONE);
    EXPECT_COUNTS(f, 2);
    send(f, "u", "asks"); /* an ack is not delayed */
    assert_int_equal(advance_at(f, NOW_MS), END_NONE);
    EXPECT_COUNTS(f, 2, 1, 1);
    assert_int_equal(f->found[2]->ack, MESSAGE_AGENT_ACK);
    assert_false(framer_has_batch(&f->framer));
    f->route.batch_bytes = 150;
    for (unsigned i = 0; i < 40; i++) {
        send(f, "t", NULL);
        assert_int_equal(advance_at(f, NOW_MS), END_NONE);
    }
    assert_in_range(f->found_count, 5, 20); /* batches that are full */
    for (unsigned i = 3; i < f->found_count; i++)
        assert_in_range(f->found[i]->entry.size, 50, 150);
}

static void a_batch_waits_in_front_of_an_incomplete_message(void **state)
{
    struct fixture *f = *state;

    f->route.batch_delay_ms = DELAY_MS;
    size_t window = framer_window(&f->framer);
    send(f, "t", NULL);
    send_bytes(f, "\x93\xa1t\x01", 4);
    assert_int_equal(advance_at(f, NOW_MS), END_NONE);
    assert_true(framer_is_mid_message(&f->framer));
    assert_int_equal(framer_waiting_bytes(&f->framer), 9);
    assert_in_range(framer_window(&f->framer), window + 9, SIZE_MAX);
    assert_int_equal(framer_flush(&f->framer), END_NONE); /* in the middle of the next message */
    EXPECT_COUNTS(f, 1);
    send_bytes(f, "\x80", 1);
    assert_int_equal(advance_at(f, NOW_MS), END_NONE);
    assert_int_equal(advance_at(f, NOW_MS + DELAY_MS), END_NONE);
    EXPECT_COUNTS(f, 1, 1);
    assert_int_equal(f->found[1]->events, 1);
}

/* Joins two messages that each were read in two pieces. */
static void messages_that_come_in_pieces_are_a_batch(void **state)
{
    struct fixture *f = *state;

    f->route.batch_delay_ms = DELAY_MS;
    for (unsigned i = 0; i < 3; i++) {
        send_bytes(f, "\x93\xa1t", 3);
        assert_int_equal(advance_at(f, NOW_MS), END_NONE);
        send_bytes(f, "\x01\x80", 2);
        assert_int_equal(advance_at(f, NOW_MS), END_NONE);
    }
    assert_int_equal(advance_at(f, NOW_MS + DELAY_MS), END_NONE);
    EXPECT_COUNTS(f, 3);
    assert_memory_equal(f->found[0]->flat, "\x93\xa1t\xc6\0\0\0\x09\x92\x01\x80\x92\x01\x80\x92\x01\x80", 17);
}

static void a_large_message_does_not_overtake_a_batch_that_waits(void **state)
{
    struct fixture *f = *state;

    f->route.batch_delay_ms = DELAY_MS;
    send(f, "t", NULL);
    send(f, "t", NULL);
    assert_int_equal(advance_at(f, NOW_MS), END_NONE);
    send_bytes(f, "\x92\xa1t\xc6\0\1\0\0", 8);
    assert_int_equal(advance_at(f, NOW_MS), END_NONE);
    EXPECT_COUNTS(f, 2);
    assert_int_equal(f->large_calls, 1);
    assert_int_equal(f->large_taken, 8);
}

static void a_batch_that_waits_is_handed_up_when_bytes_are_refused(void **state)
{
    struct fixture *f = *state;

    f->route.batch_delay_ms = DELAY_MS;
    send(f, "t", NULL);
    send(f, "t", NULL);
    assert_int_equal(advance_at(f, NOW_MS), END_NONE);
    send_bytes(f, "\xc1", 1);
    assert_int_equal(advance(f), END_NOT_FORWARD);
    EXPECT_COUNTS(f, 2);
}

static void two_agents_have_a_batch_each(void **state)
{
    struct fixture *f = *state;
    struct framer other;

    f->route.batch_delay_ms = DELAY_MS;
    framer_init(&other, &f->shared, &f->pool, f, &f->permit);
    for (unsigned i = 0; i < 3; i++) {
        send(f, "t", NULL);
        assert_int_equal(advance_at(f, NOW_MS), END_NONE);
        messages_append(framer_bytes(&other), "t", "other", NULL);
        assert_int_equal(framer_advance(&other, NOW_MS), END_NONE);
    }
    assert_int_equal(framer_flush(&f->framer), END_NONE);
    assert_int_equal(framer_flush(&other), END_NONE);
    EXPECT_COUNTS(f, 3, 3);
    assert_true(f->found[0]->entry.size < f->found[1]->entry.size);
    framer_deinit(&other);
}

/* ---- the state of the scan ---- */

static void the_scan_is_shared_by_agents_between_messages(void **state)
{
    struct fixture *f = *state;
    struct framer other;

    send(f, "t", NULL);
    assert_int_equal(advance(f), END_NONE);
    const struct scanner *scan = f->framer.scan;
    assert_non_null(scan);
    framer_return_scan(&f->framer);
    assert_null(f->framer.scan);
    assert_ptr_equal(f->shared.spare, scan);
    framer_init(&other, &f->shared, &f->pool, f, &f->permit);
    assert_true(buffer_append(framer_bytes(&other), "\x93", 1));
    assert_int_equal(framer_advance(&other, NOW_MS), END_NONE);
    assert_ptr_equal(other.scan, scan);
    assert_null(f->shared.spare);
    framer_return_scan(&other); /* in the middle of a message: the scan stays */
    assert_ptr_equal(other.scan, scan);
    send(f, "t", NULL);
    assert_int_equal(advance(f), END_NONE);
    assert_ptr_not_equal(f->framer.scan, scan);
    framer_deinit(&other);
    assert_ptr_equal(f->shared.spare, scan);
    framer_return_scan(&f->framer); /* one spare is kept */
}

static void only_the_first_byte_of_an_agent_can_be_json(void **state)
{
    struct fixture *f = *state;

    send(f, "t", NULL);
    assert_int_equal(advance(f), END_NONE);
    framer_return_scan(&f->framer);
    send_bytes(f, "{", 1);
    assert_int_equal(advance(f), END_NOT_FORWARD);
}

static void no_bytes_need_no_scan(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(advance(f), END_NONE);
    assert_null(f->framer.scan);
    assert_true(framer_is_untouched(&f->framer));
    assert_false(framer_is_mid_message(&f->framer));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(messages_that_come_together_are_a_batch),
        TEST(a_message_with_a_chunk_id_ends_a_batch),
        TEST(a_batch_is_not_longer_than_batch_bytes),
        TEST(a_message_longer_than_batch_bytes_goes_alone),
        TEST(only_messages_with_the_same_tag_are_a_batch),
        TEST(a_single_message_is_not_encoded),
        TEST(a_batch_of_a_calling_husk_can_be_split),
        TEST(a_prefix_goes_into_a_batch_once),
        TEST(without_batches_each_message_is_handed_up_alone),
        TEST(a_prefix_goes_into_every_message),
        TEST(whole_messages_go_up_before_the_next_one_is_whole),
        TEST(passthrough_asks_for_no_ack),
        TEST(in_passthrough_a_message_with_a_chunk_id_is_alone),
        TEST(a_batch_does_not_grow_beyond_what_can_be_retained),
        TEST(a_message_that_cannot_be_retained_is_not_protected),
        TEST(messages_are_the_same_wherever_the_bytes_are_cut),
        TEST(a_large_message_goes_up_while_it_is_read),
        TEST(a_message_that_can_be_held_is_not_cut_through),
        TEST(the_owner_of_a_large_message_may_take_its_bytes_late),
        TEST(a_large_message_that_cannot_go_on_ends_the_agent),
        TEST(bytes_that_are_no_messages_are_refused),
        TEST(whole_messages_in_front_of_a_refused_one_go_up),
        TEST(a_tag_that_is_not_allowed_is_refused),
        TEST(a_rate_limit_makes_the_next_message_wait),
        TEST(a_batch_waits_for_further_messages),
        TEST(a_message_that_has_waited_alone_is_not_encoded),
        TEST(a_batch_that_waits_is_flushed),
        TEST(a_batch_does_not_wait_when_another_message_follows),
        TEST(a_batch_waits_in_front_of_an_incomplete_message),
        TEST(messages_that_come_in_pieces_are_a_batch),
        TEST(a_large_message_does_not_overtake_a_batch_that_waits),
        TEST(a_batch_that_waits_is_handed_up_when_bytes_are_refused),
        TEST(two_agents_have_a_batch_each),
        TEST(the_scan_is_shared_by_agents_between_messages),
        TEST(only_the_first_byte_of_an_agent_can_be_json),
        TEST(no_bytes_need_no_scan),
    };

    return cmocka_run_group_tests_name("framer", tests, NULL, NULL);
}
