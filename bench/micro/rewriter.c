/* The speed of planning a chunk id into a message. Usage: rewriter [seconds per line] */
#include "forward/rewriter.h"
#include "micro/measure.h"

#include <string.h>

enum { PLANS = 10000 };

struct subject {
    struct scanner message;
    const char *prefix;
    uint8_t chunk_value[CHUNK_ID_VALUE_BYTES];
    uint64_t planned; /* so that the compiler removes nothing */
};

static void plan(void *argument)
{
    struct subject *subject = argument;
    struct rewrite rewrite;

    for (unsigned i = 0; i < PLANS; i++) {
        rewrite_plan(&rewrite, &subject->message, subject->prefix, strlen(subject->prefix),
                     subject->chunk_value);
        subject->planned += (uint64_t)rewrite.growth;
    }
}

static void write_ids(void *argument)
{
    struct subject *subject = argument;
    uint8_t random[16] = { 0 };

    for (unsigned i = 0; i < PLANS; i++) {
        memcpy(random, &i, sizeof i);
        chunk_id_write(subject->chunk_value, random);
    }
}

static void scan(struct scanner *scanner, const char *bytes, size_t length)
{
    const struct scanner_limits limits = { .tag_bytes = 1024, .message_bytes = 1 << 20, .depth = 64 };
    enum scanner_status status = SCANNER_MORE;

    scanner_init(scanner, &limits);
    for (size_t at = 0; at < length && status != SCANNER_REFUSED;)
        at += scanner_feed(scanner, (const uint8_t *)bytes + at, length - at, &status);
    if (status != SCANNER_END)
        abort();
}

int main(int count, char **arguments)
{
    static const char bare[] = "\x92\xa4"
                               "kube"
                               "\xc4\x02xx";
    static const char with_option[] = "\x93\xa4"
                                      "kube"
                                      "\xc4\x02xx"
                                      "\x81\xa4size\x01";
    double seconds = measure_seconds(count, arguments);
    struct subject subject = { .prefix = "" };
    struct measure measure = { "id into a message without option", plan, &subject, PLANS, 0 };

    write_ids(&subject);
    scan(&subject.message, bare, sizeof bare - 1);
    measure_run(&measure, seconds);
    scan(&subject.message, with_option, sizeof with_option - 1);
    measure.name = "id into an option";
    measure_run(&measure, seconds);
    subject.prefix = "cluster-1.";
    measure.name = "id into an option, and a tag prefix";
    measure_run(&measure, seconds);
    measure = (struct measure) { "writing an id", write_ids, &subject, PLANS, 0 };
    measure_run(&measure, seconds);
    return subject.planned == 0;
}
