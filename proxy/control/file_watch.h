/* Watches one file, and tells when it was replaced or written, once it stands still.
 *
 * Owns an inotify descriptor and timers, on the loop of the control thread. The descriptor watches the folder
 * of the file: an editor and Kubernetes replace a file by renaming something in its folder. Where inotify
 * tells nothing (network file systems, a symlink that leads elsewhere, no descriptors), the file is looked at
 * in intervals. A folder that was replaced is watched from the next look on. */
#ifndef HUSK_CONTROL_FILE_WATCH_H
#define HUSK_CONTROL_FILE_WATCH_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

struct file_watch_options {
    const char *path;     /* borrowed */
    uint64_t interval_ms; /* between two looks at the file */
    uint64_t settle_ms;   /* so long the file must stand still before on_changed */
    void (*on_changed)(void *owner);
    void *owner;
};

/* Zero-initialise. */
struct file_watch {
    struct file_watch_options options;
    struct ev_loop *loop; /* NULL: not open */
    int folder;           /* inotify; -1: none */
    ev_io event;
    ev_timer tick, settle;
    uint64_t known, seen; /* stamps of the file: when it was last told, and at the last look */
};

/* Begins to watch: the file as it is now is known. The watch must not move in memory afterwards. */
void file_watch_open(struct file_watch *watch, struct ev_loop *loop,
                     const struct file_watch_options *options);
/* The file as it is now is known: somebody has read it without being told. */
void file_watch_note(struct file_watch *watch);
/* Safe on all zeros. */
void file_watch_close(struct file_watch *watch);

#endif
