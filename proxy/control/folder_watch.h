/* Watches folders by inotify, and tells that something in one of them has changed.
 *
 * Owns an inotify descriptor, on the loop of the control thread. Tells nothing where inotify reports nothing
 * (network file systems, a folder above that is replaced, no descriptors): the owner looks at its files in
 * intervals, too. */
#ifndef HUSK_CONTROL_FOLDER_WATCH_H
#define HUSK_CONTROL_FOLDER_WATCH_H

#include <ev.h>

/* Zero-initialise. */
struct folder_watch {
    struct ev_loop *loop; /* NULL: not open */
    int descriptor;       /* -1: none */
    ev_io event;
    void (*on_event)(void *owner);
    void *owner;
};

/* on_event is called for each change in a folder that was added. The watch must not move in memory
 * afterwards. */
void folder_watch_open(struct folder_watch *watch, struct ev_loop *loop, void (*on_event)(void *owner),
                       void *owner);
/* Adds the folder of the file `path`, that of the file which a symlink `path` leads to, and `path` itself if
 * it is a folder. For a folder that was added before, nothing changes; add it again at times, because a
 * folder that was replaced is another one. */
void folder_watch_add(struct folder_watch *watch, const char *path);
/* Safe on all zeros. */
void folder_watch_close(struct folder_watch *watch);

#endif
