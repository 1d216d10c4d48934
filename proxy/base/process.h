/* Properties of the whole process: descriptors, signals, limits, core dumps, memory.
 *
 * Knows nothing of what the process does. */
#ifndef HUSK_BASE_PROCESS_H
#define HUSK_BASE_PROCESS_H

#include <stdint.h>

/* Makes the process independent of how it was started: opens closed standard streams on /dev/null, ignores
 * SIGPIPE, SIGHUP and SIGUSR2, forbids core dumps, raises the limit of descriptors to the maximum. Call it
 * once, before anything opens a descriptor. */
void process_prepare(void);

/* Ends the process at once, without the exit handlers of libraries: threads may still run in them. */
_Noreturn void process_end(int status);

/* Gives pages of code and constants that only the start needed back to the page cache. The kernel maps a page
 * again when it is needed again. Without this call, start-up code of libraries is most of an idle process. */
void process_release_startup_pages(void);

/* The highest number of connections since memory was last given back. Zero-initialise. */
struct process_memory {
    uint64_t peak_connections;
};

/* Gives free memory back to the kernel after many connections have ended: the allocator would keep it. Call
 * it now and then. */
void process_trim_memory(struct process_memory *memory, uint64_t connections);

#endif
