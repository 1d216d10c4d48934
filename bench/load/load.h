/* What the load generators share: loopback sockets, the clock, and how run.py steers them.
 *
 * A generator opens its connections, says "ready" and what it will send, waits for a line on standard input,
 * works, says one line of JSON, and holds its connections until standard input ends. So run.py reads the
 * proxies' clocks between two lines, and nothing else is in what it measures.
 *
 * A failure ends the program with one line on standard error: a benchmark that goes on without a connection
 * measures something else. No wait is longer than LOAD_PATIENCE_SECONDS. */
#ifndef HUSK_BENCH_LOAD_LOAD_H
#define HUSK_BENCH_LOAD_LOAD_H

#include <stddef.h>
#include <stdint.h>

enum { LOAD_PATIENCE_SECONDS = 60, LOAD_BUFFER_BYTES = 256 * 1024 };

_Noreturn void load_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A number from the command line, at least `min`. */
uint64_t load_number(const char *text, uint64_t min);

/* Memory that is zeroed and never NULL. */
void *load_allocate(size_t count, size_t size);

uint64_t load_now_ns(void); /* CLOCK_MONOTONIC */
void load_sleep_until(uint64_t at_ns);

/* Says that it is ready to send `messages`; returns when told to begin. */
void load_wait_for_start(uint64_t messages);
/* Returns when standard input has ended. */
void load_hold(void);

/* Listens on 127.0.0.1:port; the socket is non-blocking. */
int load_listen(uint16_t port);
/* Connects to 127.0.0.1:port; the socket blocks, for LOAD_PATIENCE_SECONDS at most. */
int load_connect(uint16_t port);
void load_set_nonblocking(int fd);

/* Writes all, waiting as long as the patience lasts, whether the socket blocks or not. */
void load_write_all(int fd, const void *bytes, size_t length);
/* Waits until `events` of poll(2) are there. */
void load_wait_for(int fd, short events);

/* Opens `count` connections, and has one message acknowledged on each: every proxy between here and the sink
 * has its own connections open then. They do not block. The caller frees the array. */
int *load_open_connections(uint16_t port, uint64_t count);

#endif
