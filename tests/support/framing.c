#include "support/framing.h"

#include "support/messages.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

enum { BUFFER_BYTES = 100 };

/* ---- callbacks ---- */

static void note(struct framing *f, const char *text)
{
    assert_true(strlen(f->trace) + strlen(text) + 2 < sizeof f->trace);
    strcat(f->trace, text);
    strcat(f->trace, " ");
}

static void on_message(void *owner, struct message *message)
{
    struct framing *f = owner;
    bool is_empty = message_is_empty(message);
    char text[64];

    if (is_empty) {
        snprintf(text, sizeof text, "s%.*s", message->entry.id_length ? (int)message->entry.id_length - 1 : 0,
                 (const char *)message->entry.id + 1);
        note(f, text);
    }
    for (unsigned i = 0; i < message->count && !is_empty; i++)
        note(f, "m");
    assert_true(message_write(message, &f->messages));
    message_free(message);
    if (f->sets_source)
        framer_set_source(&f->framer, f->source_after_message);
}

static void large_take(struct framing *f, size_t bytes)
{
    buffer_consume(framer_bytes(&f->framer), bytes);
    f->large_taken += bytes;
}

/* As cut_through does: the option stays. */
static enum end_reason on_large(void *owner, const struct scanner *scanner)
{
    struct framing *f = owner;
    uint64_t end = scanner->option.start ? scanner->option.start : scanner->length;
    size_t space = (size_t)end - f->large_taken;

    f->large_calls++;
    large_take(f, space < f->take_limit ? space : f->take_limit);
    return END_NONE;
}

static enum end_reason on_large_end(void *owner, const struct scanner *scanner)
{
    struct framing *f = owner;

    note(f, "e");
    large_take(f, (size_t)scanner->length - f->large_taken);
    f->large_taken = 0;
    return END_NONE;
}

static enum end_reason on_frame(void *owner, const struct link_request *frame)
{
    struct framing *f = owner;
    char text[32];

    snprintf(text, sizeof text, "%c%llu", frame->names_gone ? 'g' : 'f',
             (unsigned long long)(frame->names_gone ? frame->gone : frame->sender));
    note(f, text);
    if (f->sets_source)
        framer_set_source(&f->framer, f->source_after_frame);
    return f->frame_verdict;
}

static void on_large_dropped(void *owner)
{
    struct framing *f = owner;

    note(f, "x");
    f->large_taken = 0;
}

static void on_invalid(void *owner, const struct framer_invalid *invalid)
{
    char text[64];

    for (enum event_fault fault = 0; fault < EVENT_FAULT_COUNT; fault++) {
        if (!invalid->faults[fault])
            continue;
        snprintf(text, sizeof text, "i%u:%s:%.*s", (unsigned)invalid->faults[fault], event_fault_name(fault),
                 (int)invalid->tag_length, (const char *)invalid->tag);
        note(owner, text);
    }
}

static void on_refused(void *owner, const struct framer_refusal *refusal)
{
    struct framing *f = owner;
    char text[64];

    snprintf(text, sizeof text, "r%.*s:%s", refusal->id_length ? (int)refusal->id_length - 1 : 0,
             (const char *)refusal->id + 1, end_reason_name(refusal->reason));
    note(f, text);
    f->large_taken = 0;
}

static const struct framer_events events = {
    .on_message = on_message,
    .on_large = on_large,
    .on_large_end = on_large_end,
    .on_frame = on_frame,
    .on_large_dropped = on_large_dropped,
    .on_invalid = on_invalid,
    .on_refused = on_refused,
};

/* ---- life ---- */

static void link_open(struct framing *f)
{
    framer_init(&f->framer, &f->shared, &f->pool, f, &f->permit);
    framer_set_source(&f->framer, FRAMER_FROM_LINK);
}

void framing_open(struct framing *f)
{
    struct message_rule *rule;
    struct fault fault;

    *f = (struct framing) {
        .route = { .delivery = ROUTE_PASSTHROUGH, /* no id of husk's, so that the bytes stay as they are */
                   .scanner = { .tag_bytes = FRAMING_TAG_BYTES,
                                .message_bytes = FRAMING_MESSAGE_BYTES,
                                .depth = 8 },
                   .retain_bytes = 100000,
                   .cut_through_bytes = FRAMING_CUT_THROUGH_BYTES,
                   .batch_bytes = 10000,
                   .buffer_bytes = BUFFER_BYTES },
        .shared = { .events = &events,
                    .route = &f->route,
                    .building = { &f->route, &f->bodies, &f->ids, &f->pool, NULL } },
        .take_limit = SIZE_MAX,
    };
    rule = message_policy_add(&f->policy, "any");
    assert_non_null(rule);
    assert_true(peer_policy_add(&rule->who, PEER_RULE_ANY, NULL, &fault));
    assert_true(message_rule_set_tags(rule, "a,b", &fault));
    assert_int_equal(message_permit_open(&f->permit, &f->policy, &f->meters, NULL, FRAMING_NOW_MS), END_NONE);
    body_filter_init(&f->bodies, &f->route, &f->metrics);
    buffer_init(&f->messages, &f->pool);
    link_open(f);
}

void framing_close(struct framing *f)
{
    framer_deinit(&f->framer);
    framer_shared_deinit(&f->shared);
    body_filter_deinit(&f->bodies);
    buffer_clear(&f->messages);
    buffer_pool_deinit(&f->pool);
    message_permit_close(&f->permit);
    message_meters_deinit(&f->meters);
    message_policy_deinit(&f->policy);
}

void framing_restart(struct framing *f)
{
    framer_deinit(&f->framer);
    link_open(f);
    f->stream_length = 0;
}

/* ---- what goes in ---- */

void framing_put(struct framing *f, const void *bytes, size_t length)
{
    assert_true(f->stream_length + length <= FRAMING_STREAM_BYTES);
    memcpy(f->stream + f->stream_length, bytes, length);
    f->stream_length += length;
}

void framing_fill(struct framing *f, unsigned count, char byte)
{
    while (count--)
        framing_put(f, &byte, 1);
}

/* The husk sends the bytes `from` to `end` of the stream. */
enum end_reason framing_receive(struct framing *f, size_t from, size_t end)
{
    assert_true(buffer_append(framer_bytes(&f->framer), f->stream + from, end - from));
    return framer_advance(&f->framer, FRAMING_NOW_MS);
}

void framing_expect_trace(struct framing *f, const char *trace)
{
    assert_string_equal(f->trace, trace);
    f->trace[0] = '\0';
}

/* The stream gives `trace`, and nothing of it is left. */
void framing_expect_end(struct framing *f, const char *trace)
{
    framing_expect_trace(f, trace);
    assert_false(framer_is_mid_message(&f->framer));
    assert_int_equal(framer_bytes(&f->framer)->length, 0);
    framer_return_scan(&f->framer);
    assert_null(f->framer.scan);
}

/* The stream gives `trace` and the bytes of these messages wherever it is cut, and byte by byte. */
void framing_expect_at_every_cut(struct framing *f, const char *trace, const void *messages, size_t length)
{
    for (size_t cut = 0; cut < f->stream_length; cut++) {
        assert_int_equal(framing_receive(f, 0, cut), END_NONE);
        assert_int_equal(framing_receive(f, cut, f->stream_length), END_NONE);
        framing_expect_end(f, trace);
        messages_expect_buffer(&f->messages, messages, length);
        buffer_clear(&f->messages);
    }
    for (size_t at = 0; at < f->stream_length; at++)
        assert_int_equal(framing_receive(f, at, at + 1), END_NONE);
    framing_expect_end(f, trace);
    messages_expect_buffer(&f->messages, messages, length);
    buffer_clear(&f->messages);
}

/* The whole stream at once ends the connection for `reason`. */
void framing_expect_failure(struct framing *f, enum end_reason reason, const char *trace)
{
    assert_int_equal(framing_receive(f, 0, f->stream_length), reason);
    framing_expect_trace(f, trace);
}
