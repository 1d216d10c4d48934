/* The cost of counting. Usage: metrics [seconds per line] */
#include "base/metrics.h"
#include "micro/measure.h"

enum { COUNTS = 1000000 };

static void count_many(void *argument)
{
    metrics_counter *counter = argument;

    for (unsigned i = 0; i < COUNTS; i++)
        metrics_add(counter, 1);
}

static void observe_many(void *argument)
{
    for (unsigned i = 0; i < COUNTS; i++)
        metrics_observe(argument, &metrics_ack_bounds, i % 100000);
}

int main(int count, char **arguments)
{
    static struct metrics metrics;
    double seconds = measure_seconds(count, arguments);

    measure_run(&(struct measure) { "a counter", count_many, &metrics.messages.received, COUNTS, 0 },
                seconds);
    measure_run(
        &(struct measure) { "an ack's latency", observe_many, &metrics.messages.ack_latency, COUNTS, 0 },
        seconds);
    return 0;
}
