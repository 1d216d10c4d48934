#include "control/file_watch.h"

#include "base/clock.h"
#include "trust/file_stamp.h"

/* A missing file is no change: another one will come. A file that changes is looked at again. */
static void look(struct file_watch *watch)
{
    struct settling *settling = &watch->settling;
    uint64_t stamp = file_stamp(watch->options.path);

    if (settling_look(settling, stamp ? stamp : settling->loaded, clock_monotonic_ms())) {
        settling_note(settling, stamp);
        watch->options.on_changed(watch->options.owner);
    } else if (settling_is_changing(settling)) {
        ev_timer_set(&watch->settle, (double)watch->options.settle_ms / 1000, 0);
        ev_timer_start(watch->loop, &watch->settle);
    }
}

static void look_unless_settling(struct file_watch *watch)
{
    if (!ev_is_active(&watch->settle))
        look(watch);
}

static void on_event(void *owner)
{
    look_unless_settling(owner);
}

static void on_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct file_watch *watch = timer->data;

    (void)loop, (void)events;
    folder_watch_add(&watch->folder, watch->options.path);
    look_unless_settling(watch);
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
                                   .settling.timeout_ms = options->settle_timeout_ms };
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
    settling_note(&watch->settling, file_stamp(watch->options.path));
}

bool file_watch_has_changed(const struct file_watch *watch)
{
    return file_stamp(watch->options.path) != watch->settling.loaded;
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
