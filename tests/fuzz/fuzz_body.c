/* The body rewriter over anything that the scanner accepts as a message, in slices of any size. The result
 * has the same entries without metadata and the same option, and does not depend on the slices.
 *
 * The first 2 bytes of an input choose the options of the rewriter, and the size of the slices. */
#include "support/body_check.h"

#include <stdlib.h>
#include <string.h>

enum { CHOICE_BYTES = 2, INPUT_BYTES_MAX = 4096, CUTS_MAX = INPUT_BYTES_MAX, INFLATED_MAX = 512 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void expect(bool right)
{
    if (!right)
        abort();
}

struct input {
    const uint8_t *bytes;
    size_t length;
};

/* Rewrites the input in slices of `step` bytes (0: one slice). */
static enum body_status run(const struct body_options *options, const struct input *input, unsigned step,
                            struct bytes *made, struct body_result *result)
{
    struct buffer_pool pool = { 0 };
    struct body_rewriter rewriter = { .options = *options };
    enum body_status status = BODY_UNCHANGED;
    size_t cuts[CUTS_MAX], count = 0;
    struct scanner scanner;
    struct buffer buffer;

    for (size_t at = step; step && at < input->length; at += step)
        cuts[count++] = at;
    buffer_init(&buffer, &pool);
    body_check_fill(&buffer, input->bytes, input->length, cuts, count);
    made->length = 0;
    *result = (struct body_result) { 0 };
    if (body_check_scan(&scanner, &buffer, 0)) {
        status = body_rewrite(&rewriter, &buffer, 0, &scanner, result);
        expect((status == BODY_REWRITTEN) == (result->bytes.length > 0));
        bool is_valid = !result->faults[EVENT_FAULT_RECORD] && !result->faults[EVENT_FAULT_TIME] &&
                        !result->faults[EVENT_FAULT_ENTRY];
        expect(status != BODY_REWRITTEN || result->is_compressed || result->is_stripped || !is_valid);
        body_check_gather(made, &result->bytes);
        buffer_clear(&result->bytes);
    }
    buffer_clear(&buffer);
    body_rewriter_deinit(&rewriter);
    buffer_pool_deinit(&pool);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct body_options options = { .compress_min = BODY_COMPRESS_MIN, .inflated_max = INFLATED_MAX };
    struct bytes *messages;
    struct body_result result, again;
    enum body_status status;
    unsigned step;

    if (length < CHOICE_BYTES || length > INPUT_BYTES_MAX)
        return 0;
    options.compress = bytes[0] % 3U;
    options.strip_metadata = bytes[0] >> 2 & 1;
    options.skip_invalid = bytes[0] >> 3 & 1;
    step = bytes[1];
    bytes += CHOICE_BYTES;
    length -= CHOICE_BYTES;
    messages = malloc(3 * sizeof *messages);
    expect(messages != NULL);

    const struct input input = { bytes, length };
    status = run(&options, &input, 0, &messages[1], &result);
    /* If a body is both broken and no log entries, either may be found first. */
    expect((run(&options, &input, step, &messages[2], &again) == BODY_REWRITTEN) ==
           (status == BODY_REWRITTEN));
    expect(messages[1].length == messages[2].length &&
           memcmp(messages[1].at, messages[2].at, messages[1].length) == 0);
    if (status == BODY_REWRITTEN) {
        struct buffer_pool pool = { 0 };
        struct scanner scanner;
        struct buffer buffer;

        buffer_init(&buffer, &pool);
        body_check_fill(&buffer, bytes, length, NULL, 0);
        expect(body_check_scan(&scanner, &buffer, 0));
        messages[0].length = buffer_peek(&buffer, 0, messages[0].at, (size_t)scanner.length);
        buffer_clear(&buffer);
        buffer_pool_deinit(&pool);
        expect(!body_check_difference(&messages[0], &messages[1], &result, &options));
    }
    free(messages);
    return 0;
}
