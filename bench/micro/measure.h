/* Times an operation for the micro-benchmarks: runs batches for some seconds and prints one line for the
 * fastest: name, ns per operation and, where bytes are moved, GB/s. micro.py reads these lines. */
#ifndef HUSK_BENCH_MICRO_MEASURE_H
#define HUSK_BENCH_MICRO_MEASURE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline double measure_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Seconds for each line: the program's only argument. */
static inline double measure_seconds(int count, char **arguments)
{
    return count > 1 ? strtod(arguments[1], NULL) : 1;
}

/* One call of `batch` does `operations`, on `bytes` bytes in all (0: prints no GB/s). */
struct measure {
    const char *name;
    void (*batch)(void *subject);
    void *subject;
    double operations, bytes;
};

static inline void measure_run(const struct measure *measure, double seconds)
{
    double best = 1e18, until = measure_now_ns() + seconds * 1e9;

    do {
        double start = measure_now_ns(), took;
        measure->batch(measure->subject);
        took = measure_now_ns() - start;
        best = took < best ? took : best;
    } while (measure_now_ns() < until);
    printf("%-48s %10.1f ns", measure->name, best / measure->operations);
    if (measure->bytes > 0)
        printf(" %8.2f GB/s", measure->bytes / best);
    putchar('\n');
}

#endif
