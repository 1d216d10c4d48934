#include "control/file_watch.h"

#include "trust/file_stamp.h"

#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

enum { EVENTS_BYTES = 4096 };

static const uint32_t folder_events = IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE | IN_MOVED_FROM;

/* Watches the folder that has the name now. For a folder that is watched already, nothing changes. */
static void folder_watch(struct file_watch *watch)
{
    char *folder = strdup(watch->options.path);

    if (folder && watch->folder >= 0) {
        char *slash = strrchr(folder, '/');
        if (slash)
            slash[slash == folder] = '\0';
        (void)inotify_add_watch(watch->folder, slash ? folder : ".", folder_events);
    }
    free(folder);
}

/* Notes how the file is. True: it differs from what was told, and has not changed since the last look. */
static bool is_due(struct file_watch *watch)
{
    uint64_t stamp = file_stamp(watch->options.path);
    bool is_still = stamp == watch->seen;

    watch->seen = stamp;
    return stamp && stamp != watch->known && is_still;
}

/* Looks at the file again when it can stand still. */
static void settle_begin(struct file_watch *watch)
{
    ev_timer_stop(watch->loop, &watch->settle);
    ev_timer_set(&watch->settle, (double)watch->options.settle_ms / 1000, 0);
    ev_timer_start(watch->loop, &watch->settle);
}

static void look(struct file_watch *watch)
{
    if (is_due(watch)) {
        watch->known = watch->seen;
        watch->options.on_changed(watch->options.owner);
    } else if (watch->seen && watch->seen != watch->known) {
        settle_begin(watch);
    }
}

static void on_event(struct ev_loop *loop, ev_io *event, int events)
{
    struct file_watch *watch = event->data;
    char bytes[EVENTS_BYTES];

    uint64_t before = watch->seen;

    (void)loop, (void)events;
    while (read(watch->folder, bytes, sizeof bytes) > 0)
        ;
    /* Changes of other files in the folder do not put the file off. */
    (void)is_due(watch);
    if (watch->seen != before)
        settle_begin(watch);
}

static void on_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct file_watch *watch = timer->data;

    (void)loop, (void)events;
    folder_watch(watch);
    if (!ev_is_active(&watch->settle))
        look(watch);
}

static void on_settled(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    look(timer->data);
}

void file_watch_open(struct file_watch *watch, struct ev_loop *loop, const struct file_watch_options *options)
{
    double seconds = (double)options->interval_ms / 1000;

    *watch = (struct file_watch) { .options = *options,
                                   .loop = loop,
                                   .folder = inotify_init1(IN_NONBLOCK | IN_CLOEXEC) };
    file_watch_note(watch);
    ev_timer_init(&watch->settle, on_settled, 0, 0);
    ev_timer_init(&watch->tick, on_tick, seconds, seconds);
    ev_io_init(&watch->event, on_event, watch->folder, EV_READ);
    watch->settle.data = watch->tick.data = watch->event.data = watch;
    ev_timer_start(loop, &watch->tick);
    if (watch->folder < 0)
        return;
    folder_watch(watch);
    ev_io_start(loop, &watch->event);
}

void file_watch_note(struct file_watch *watch)
{
    watch->known = watch->seen = file_stamp(watch->options.path);
}

void file_watch_close(struct file_watch *watch)
{
    if (!watch->loop)
        return;
    ev_timer_stop(watch->loop, &watch->tick);
    ev_timer_stop(watch->loop, &watch->settle);
    ev_io_stop(watch->loop, &watch->event);
    if (watch->folder >= 0)
        close(watch->folder);
    *watch = (struct file_watch) { 0 };
}
