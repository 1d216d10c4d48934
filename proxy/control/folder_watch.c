#include "control/folder_watch.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

enum { EVENTS_BYTES = 4096 };

static const uint32_t folder_events =
    IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE | IN_MOVED_FROM | IN_ONLYDIR;

static void on_readable(struct ev_loop *loop, ev_io *event, int events)
{
    const struct folder_watch *watch = event->data;
    char bytes[EVENTS_BYTES];

    (void)loop, (void)events;
    while (read(watch->descriptor, bytes, sizeof bytes) > 0)
        ;
    watch->on_event(watch->owner);
}

void folder_watch_open(struct folder_watch *watch, struct ev_loop *loop, void (*on_event)(void *owner),
                       void *owner)
{
    *watch = (struct folder_watch) { .loop = loop,
                                     .descriptor = inotify_init1(IN_NONBLOCK | IN_CLOEXEC),
                                     .on_event = on_event,
                                     .owner = owner };
    ev_io_init(&watch->event, on_readable, watch->descriptor, EV_READ);
    watch->event.data = watch;
    if (watch->descriptor >= 0)
        ev_io_start(loop, &watch->event);
}

static void folder_add(const struct folder_watch *watch, const char *path)
{
    const char *slash = strrchr(path, '/');
    char folder[PATH_MAX];

    snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash ? slash - path : 1),
             slash ? path : ".");
    (void)inotify_add_watch(watch->descriptor, folder, folder_events);
}

void folder_watch_add(struct folder_watch *watch, const char *path)
{
    char target[PATH_MAX];

    if (watch->descriptor < 0)
        return;
    (void)inotify_add_watch(watch->descriptor, path, folder_events);
    folder_add(watch, path);
    if (realpath(path, target))
        folder_add(watch, target);
}

void folder_watch_close(struct folder_watch *watch)
{
    if (!watch->loop)
        return;
    ev_io_stop(watch->loop, &watch->event);
    if (watch->descriptor >= 0)
        close(watch->descriptor);
    *watch = (struct folder_watch) { 0 };
}
