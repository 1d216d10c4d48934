/* Fields in the records of anything that the scanner accepts as a message, in slices of any size. The result
 * is MessagePack in which each record has each field once and all its other bytes; it does not depend on the
 * slices.
 *
 * The first 2 bytes of an input choose the number of fields, and the size of the slices. */
#include "forward/body_fields.h"
#include "support/fields_check.h"

#include <stdlib.h>
#include <string.h>

enum {
    CHOICE_BYTES = 2,
    INPUT_BYTES_MAX = 4096,
    CUTS_MAX = INPUT_BYTES_MAX,
    MESSAGE_MAX = 256 * 1024,
    INFLATED_MAX = 64 * 1024,
};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void expect(bool right)
{
    if (!right)
        abort();
}

/* Puts the fields into the message at the front of the input, in slices of `step` bytes (0: one slice).
 * made[0] gets the message, made[1] the message with the fields. */
static enum body_fields_status run(const struct record_fields *fields, const uint8_t *bytes, size_t length,
                                   unsigned step, struct bytes made[2])
{
    static const struct body_fields_options options = { MESSAGE_MAX, INFLATED_MAX };
    struct buffer_pool pool = { 0 };
    struct body_rewriter rewriter = { 0 };
    enum body_fields_status status = BODY_FIELDS_NO_EVENTS;
    size_t cuts[CUTS_MAX], count = 0;
    struct scanner scanner;
    struct buffer buffer;

    for (size_t at = step; step && at < length; at += step)
        cuts[count++] = at;
    buffer_init(&buffer, &pool);
    body_check_fill(&buffer, bytes, length, cuts, count);
    made[0].length = made[1].length = 0;
    if (body_check_scan(&scanner, &buffer, 0)) {
        const struct batch_message message = { &buffer, 0, &scanner };
        struct body_result result;
        status = body_fields_add(&rewriter, &message, fields, &options, &result);
        expect((status == BODY_FIELDS_ADDED) == (result.bytes.length > 0));
        expect(status != BODY_FIELDS_NO_MEMORY);
        body_check_gather(&made[1], &result.bytes);
        made[0].length = buffer_peek(&buffer, 0, made[0].at, (size_t)scanner.length);
        buffer_clear(&result.bytes);
    }
    buffer_clear(&buffer);
    body_rewriter_deinit(&rewriter);
    buffer_pool_deinit(&pool);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct record_fields fields;

    if (length < CHOICE_BYTES || length > INPUT_BYTES_MAX)
        return 0;
    fields_check_make(&fields, 1 + bytes[0] % RECORD_FIELDS_MAX);
    unsigned step = bytes[1];
    bytes += CHOICE_BYTES;
    length -= CHOICE_BYTES;
    struct bytes *made = malloc(4 * sizeof *made);
    expect(made != NULL);

    enum body_fields_status status = run(&fields, bytes, length, 0, made);
    /* A body that is both broken and too long may be found to be either first. */
    expect((run(&fields, bytes, length, step, made + 2) == BODY_FIELDS_ADDED) ==
           (status == BODY_FIELDS_ADDED));
    expect(made[1].length == made[3].length && memcmp(made[1].at, made[3].at, made[1].length) == 0);
    if (status == BODY_FIELDS_ADDED)
        expect(!fields_check_difference(&made[0], &made[1], &fields));
    free(made);
    record_fields_deinit(&fields);
    return 0;
}
