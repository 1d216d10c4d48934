#include "control/reload.h"

#include "trust/file_stamp.h"

#include <signal.h>

/* ---- the files ---- */

static uint64_t files_stamp(const struct reload *reload)
{
    uint64_t stamp = 0;

    for (enum side side = 0; side < SIDE_COUNT; side++) {
        const struct credentials_options *options = &reload->options.credentials[side];
        const char *const paths[] = { options->cert_file, options->key_file, options->ca_file,
                                      options->passphrase_file };
        for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
            stamp = stamp * 31 + (paths[i] ? file_stamp(paths[i]) : 0);
    }
    return stamp;
}

/* All sides or none. */
static bool set_load(const struct reload *reload, struct credentials *loaded[SIDE_COUNT], struct fault *fault)
{
    for (enum side side = 0; side < SIDE_COUNT; side++)
        loaded[side] = NULL;
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        const struct credentials_options *options = &reload->options.credentials[side];
        if (!options->cert_file)
            continue;
        loaded[side] = credentials_load(options, reload->log, fault);
        if (!loaded[side]) {
            for (enum side done = 0; done < side; done++)
                credentials_release(loaded[done]);
            return false;
        }
    }
    return true;
}

static void set_replace(struct reload *reload, struct credentials *const loaded[SIDE_COUNT])
{
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        credentials_release(reload->credentials[side]);
        reload->credentials[side] = loaded[side];
    }
}

/* ---- loading again ---- */

static void reload_run(struct reload *reload)
{
    struct credentials *loaded[SIDE_COUNT];
    struct fault fault;

    if (reload->is_stopped)
        return;
    reload->stamps.loaded = reload->stamps.seen = files_stamp(reload);
    if (!set_load(reload, loaded, &fault)) {
        reload->failed++;
        log_say(reload->log, LOG_ERROR, "reload failed, the credentials in use are kept: %s", fault.text);
        return;
    }
    set_replace(reload, loaded);
    reload->options.on_loaded(reload->options.owner);
    reload->succeeded++;
    log_say(reload->log, LOG_INFO, "credentials reloaded");
}

bool reload_is_due(const struct reload_stamps *stamps, uint64_t stamp)
{
    return stamp != stamps->loaded && stamp == stamps->seen;
}

void reload_look(struct reload *reload)
{
    uint64_t stamp = files_stamp(reload);

    if (reload_is_due(&reload->stamps, stamp))
        reload_run(reload);
    reload->stamps.seen = stamp;
}

static void on_hangup(struct ev_loop *loop, ev_signal *watcher, int events)
{
    (void)loop, (void)events;
    reload_run(watcher->data);
}

static void on_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    reload_look(timer->data);
}

/* ---- life ---- */

bool reload_open(struct reload *reload, const struct reload_options *options, struct log *log,
                 struct fault *fault)
{
    struct credentials *loaded[SIDE_COUNT];

    *reload = (struct reload) { .options = *options, .log = log };
    reload->stamps.loaded = reload->stamps.seen = files_stamp(reload);
    if (!set_load(reload, loaded, fault))
        return false;
    set_replace(reload, loaded);
    return true;
}

void reload_close(struct reload *reload)
{
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        credentials_release(reload->credentials[side]);
        reload->credentials[side] = NULL;
    }
}

void reload_watch(struct reload *reload, struct ev_loop *loop)
{
    double seconds = (double)reload->options.interval_ms / 1000;

    ev_signal_init(&reload->hangup, on_hangup, SIGHUP);
    ev_timer_init(&reload->tick, on_tick, seconds, seconds);
    reload->hangup.data = reload->tick.data = reload;
    ev_signal_start(loop, &reload->hangup);
    if (seconds > 0)
        ev_timer_start(loop, &reload->tick);
}

void reload_stop(struct reload *reload)
{
    reload->is_stopped = true;
}
