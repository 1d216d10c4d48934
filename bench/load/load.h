/* Shared by the load generators: loopback sockets, the clock, and the protocol with run.py.
 *
 * A generator opens its connections, prints "ready" and the number of messages it will send, waits for a line
 * on standard input, sends, prints one line of JSON, and keeps its connections open until standard input
 * ends. run.py reads the CPU clocks of the proxies between these two lines, so it measures nothing else.
 *
 * A failure ends the program with one line on standard error: a benchmark that continues without a connection
 * measures something else. No wait is longer than LOAD_TIMEOUT_SECONDS. */
#ifndef HUSK_BENCH_LOAD_LOAD_H
#define HUSK_BENCH_LOAD_LOAD_H

#include <stddef.h>
#include <stdint.h>

enum { LOAD_TIMEOUT_SECONDS = 60, LOAD_BUFFER_BYTES = 256 * 1024 };

_Noreturn void load_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A number from the command line, at least `min`. */
uint64_t load_number(const char *text, uint64_t min);

/* Zeroed memory; never NULL. */
void *load_allocate(size_t count, size_t size);

uint64_t load_now_ns(void); /* CLOCK_MONOTONIC */
void load_sleep_until(uint64_t at_ns);

/* Prints "ready" and `messages`; returns when run.py sends a line. */
void load_wait_for_start(uint64_t messages);
/* Waits until standard input ends. */
void load_hold(void);

/* Listens on 127.0.0.1:port; the socket is non-blocking. */
int load_listen(uint16_t port);
/* Connects to 127.0.0.1:port; the socket blocks, at most LOAD_TIMEOUT_SECONDS. */
int load_connect(uint16_t port);
void load_set_nonblocking(int fd);

/* Writes all bytes to a blocking or non-blocking socket. */
void load_write_all(int fd, const void *bytes, size_t length);
/* Waits until poll(2) reports one of `events`. */
void load_wait_for(int fd, short events);

#endif
