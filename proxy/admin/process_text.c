#include "admin/process_text.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static bool resident_bytes(double *value)
{
    FILE *statm = fopen("/proc/self/statm", "re");
    uint64_t pages;

    if (!statm)
        return false;
    bool found = fscanf(statm, "%*u %" SCNu64, &pages) == 1;
    fclose(statm);
    if (found)
        *value = (double)pages * (double)sysconf(_SC_PAGESIZE);
    return found;
}

static bool open_fds(double *value)
{
    DIR *directory = opendir("/proc/self/fd");
    double count = -1; /* the directory itself is open, too */

    if (!directory)
        return false;
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(directory);
    *value = count;
    return true;
}

static bool max_fds(double *value)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return false;
    *value = (double)limit.rlim_cur;
    return true;
}

static bool cpu_seconds(double *value)
{
    struct rusage usage;

    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return false;
    *value = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
             (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    return true;
}

/* Field 22 of /proc/self/stat is the start time in clock ticks since boot; "btime" in /proc/stat is the time
 * of the boot (proc(5)). */
static bool start_time_seconds(double *value)
{
    char line[1024];
    uint64_t ticks = 0;
    uint64_t boot_seconds = 0;
    FILE *stat = fopen("/proc/self/stat", "re");

    if (!stat)
        return false;
    /* The program's name may contain blanks and parentheses: the fields begin after the last parenthesis. */
    const char *fields = fgets(line, sizeof line, stat) ? strrchr(line, ')') : NULL;
    fclose(stat);
    if (!fields || sscanf(fields,
                          ") %*c" /* 3: state */
                          "%*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s"
                          "%" SCNu64,
                          &ticks) != 1)
        return false;
    stat = fopen("/proc/stat", "re");
    if (!stat)
        return false;
    while (boot_seconds == 0 && fgets(line, sizeof line, stat))
        if (sscanf(line, "btime %" SCNu64, &boot_seconds) != 1)
            boot_seconds = 0;
    fclose(stat);
    *value = (double)boot_seconds + (double)ticks / (double)sysconf(_SC_CLK_TCK);
    return boot_seconds != 0;
}

struct fact {
    const char *name;
    const char *help;
    const char *type;
    bool (*read)(double *value);
};

static const struct fact facts[] = {
    { "process_cpu_seconds_total", "Processor time used, in seconds.", "counter", cpu_seconds },
    { "process_open_fds", "Open file descriptors.", "gauge", open_fds },
    { "process_max_fds", "Maximum number of open file descriptors.", "gauge", max_fds },
    { "process_resident_memory_bytes", "Resident memory, in bytes.", "gauge", resident_bytes },
    { "process_start_time_seconds", "Start time of the process, in seconds since the epoch.", "gauge",
      start_time_seconds },
};

size_t process_text_render(char *text, size_t size)
{
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        const struct fact *fact = &facts[i];
        double value;

        if (!fact->read(&value))
            continue;
        int wrote = snprintf(text + used, size - used, "# HELP %s %s\n# TYPE %s %s\n%s %.15g\n", fact->name,
                             fact->help, fact->name, fact->type, fact->name, value);
        if (wrote < 0 || (size_t)wrote >= size - used) {
            text[used] = '\0';
            break;
        }
        used += (size_t)wrote;
    }
    return used;
}
