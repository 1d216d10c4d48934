/* Two clocks: monotonic for durations, wall for certificates and log lines. */
#ifndef HUSK_BASE_CLOCK_H
#define HUSK_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Milliseconds of CLOCK_MONOTONIC. */
uint64_t clock_monotonic_ms(void);
/* Microseconds of CLOCK_MONOTONIC. */
uint64_t clock_monotonic_us(void);
/* The time on CLOCK_MONOTONIC in so many milliseconds. */
struct timespec clock_monotonic_in(uint64_t ms);
/* Milliseconds since the epoch. */
int64_t clock_wall_ms(void);
/* Seconds since the epoch. */
int64_t clock_wall_seconds(void);

#endif
