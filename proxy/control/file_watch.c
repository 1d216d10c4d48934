#include "control/file_watch.h"

#include "trust/file_stamp.h"

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

/* Changes of other files in the folder do not put the file off. */
static void on_event(void *owner)
{
    struct file_watch *watch = owner;
    uint64_t before = watch->seen;

    (void)is_due(watch);
    if (watch->seen != before)
        settle_begin(watch);
}

static void on_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct file_watch *watch = timer->data;

    (void)loop, (void)events;
    folder_watch_add(&watch->folder, watch->options.path);
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

    *watch = (struct file_watch) { .options = *options, .loop = loop };
    file_watch_note(watch);
    ev_timer_init(&watch->settle, on_settled, 0, 0);
    ev_timer_init(&watch->tick, on_tick, seconds, seconds);
    watch->settle.data = watch->tick.data = watch;
    ev_timer_start(loop, &watch->tick);
    folder_watch_open(&watch->folder, loop, on_event, watch);
    folder_watch_add(&watch->folder, options->path);
}

void file_watch_note(struct file_watch *watch)
{
    watch->known = watch->seen = file_stamp(watch->options.path);
}

bool file_watch_has_changed(const struct file_watch *watch)
{
    return file_stamp(watch->options.path) != watch->known;
}

void file_watch_close(struct file_watch *watch)
{
    if (!watch->loop)
        return;
    ev_timer_stop(watch->loop, &watch->tick);
    ev_timer_stop(watch->loop, &watch->settle);
    folder_watch_close(&watch->folder);
    *watch = (struct file_watch) { 0 };
}
