/* Watches one file. Reports that the file was replaced or written, as soon as the file no longer changes.
 *
 * Owns a watch of the folder of the file, and timers, on the loop of the control thread: an editor and
 * Kubernetes replace a file by renaming something in its folder. Where inotify reports nothing
 * (control/folder_watch.h), a timer looks at the file in intervals. A folder that was replaced is watched
 * from the next look on. */
#ifndef HUSK_CONTROL_FILE_WATCH_H
#define HUSK_CONTROL_FILE_WATCH_H

#include "control/folder_watch.h"
#include "control/settling.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

struct file_watch_options {
    const char *path;           /* borrowed */
    uint64_t interval_ms;       /* between two looks at the file */
    uint64_t settle_ms;         /* how long the file must not change before on_changed */
    uint64_t settle_timeout_ms; /* after the first change: a file that never rests is told nevertheless */
    void (*on_changed)(void *owner);
    void *owner;
};

/* Zero-initialise. */
struct file_watch {
    struct file_watch_options options;
    struct ev_loop *loop;       /* NULL: not open */
    struct folder_watch folder; /* of the file */
    ev_timer tick, settle;
    struct settling settling; /* "loaded": told, or read by the caller */
};

/* Begins to watch; the present state of the file is not reported. The watch must not move in memory
 * afterwards. */
void file_watch_open(struct file_watch *watch, struct ev_loop *loop,
                     const struct file_watch_options *options);
/* The caller has read the file: its present state is not reported. */
void file_watch_note(struct file_watch *watch);
/* Whether the file has changed, and on_changed has not been called yet. */
bool file_watch_has_changed(const struct file_watch *watch);
/* Safe on all zeros. */
void file_watch_close(struct file_watch *watch);

#endif
