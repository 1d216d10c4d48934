/* Connections of agents to a proxy, opened before anything is measured. */
#ifndef HUSK_BENCH_LOAD_CONNECTIONS_H
#define HUSK_BENCH_LOAD_CONNECTIONS_H

#include <stdint.h>

/* Opens `count` non-blocking connections to 127.0.0.1:port and has one message acknowledged on each. After
 * that, every proxy between the generator and the sink has opened its own connections. The caller frees the
 * array. */
int *connections_open(uint16_t port, uint64_t count);

#endif
