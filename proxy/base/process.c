#include "base/process.h"

#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

enum { TRIM_CONNECTIONS = 500 /* the memory of so many ended connections is worth a trim */ };

void process_prepare(void)
{
    struct rlimit files;
    int fd;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN); /* until a handler is installed, as the next one */
    signal(SIGUSR2, SIG_IGN);
#ifdef HUSK_SANITIZED
    (void)poll(NULL, 0, 0); /* a signal in the first blocking call is lost by ThreadSanitizer of GCC 12 */
#endif
    /* A connection that got the number of a closed standard stream would receive the log. */
    while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= STDERR_FILENO)
        continue;
    if (fd >= 0)
        close(fd);
    prctl(PR_SET_DUMPABLE, 0); /* keeps keys out of core dumps and out of reach of other processes */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

void process_end(int status)
{
    fflush(NULL);
    _exit(status);
}

static int on_library(struct dl_phdr_info *library, size_t size, void *page_bytes)
{
    uintptr_t page = *(const uintptr_t *)page_bytes;

    (void)size;
    for (unsigned i = 0; i < library->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &library->dlpi_phdr[i];
        uintptr_t start = (library->dlpi_addr + header->p_vaddr) & ~(page - 1);
        uintptr_t end = library->dlpi_addr + header->p_vaddr + header->p_filesz;
        if (header->p_type == PT_LOAD && !(header->p_flags & PF_W))
            (void)madvise((void *)start, end - start, MADV_DONTNEED); /* file-backed and never written */
    }
    return 0;
}

void process_release_startup_pages(void)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

    malloc_trim(0);
    dl_iterate_phdr(on_library, &page);
}

void process_trim_memory(struct process_memory *memory, uint64_t connections)
{
    if (connections + TRIM_CONNECTIONS <= memory->peak_connections) {
        malloc_trim(0);
        memory->peak_connections = connections;
    }
    if (connections > memory->peak_connections)
        memory->peak_connections = connections;
}
