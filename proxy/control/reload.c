#include "control/reload.h"

#include "trust/file_stamp.h"

#include <string.h>

enum { RETRY_MIN_MS = 1000 };

/* A set that is not in use yet. */
struct loaded {
    struct credentials *credentials[SIDE_COUNT];
    struct shared_key *keys[SIDE_COUNT];
};

/* ---- the files ---- */

static uint64_t files_stamp(const struct reload *reload)
{
    uint64_t stamp = 0;

    for (enum side side = 0; side < SIDE_COUNT; side++) {
        const struct credentials_options *options = &reload->options.credentials[side];
        const char *const paths[] = { options->cert_file, options->key_file, options->ca_file,
                                      options->passphrase_file, reload->options.keys[side].file };
        for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
            stamp = stamp * 31 + (paths[i] ? file_stamp(paths[i]) : 0);
    }
    return stamp;
}

static void set_release(const struct loaded *set)
{
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        credentials_release(set->credentials[side]);
        shared_key_release(set->keys[side]);
    }
}

static bool side_load(const struct reload *reload, enum side side, struct loaded *set, struct fault *fault)
{
    const struct credentials_options *credentials = &reload->options.credentials[side];
    const struct shared_key_options *key = &reload->options.keys[side];

    if (key->setting && !(set->keys[side] = shared_key_load(key, fault)))
        return false;
    return !credentials->cert_file ||
           (set->credentials[side] = credentials_load(credentials, reload->log, fault)) != NULL;
}

/* All sides or none. */
static bool set_load(const struct reload *reload, struct loaded *set, struct fault *fault)
{
    *set = (struct loaded) { 0 };
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        if (side_load(reload, side, set, fault))
            continue;
        set_release(set);
        return false;
    }
    return true;
}

static void set_use(struct reload *reload, const struct loaded *set)
{
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        credentials_release(reload->credentials[side]);
        reload->credentials[side] = set->credentials[side];
        shared_key_slot_replace(&reload->keys[side], set->keys[side]);
    }
}

/* ---- loading again ---- */

/* Logs and counts a failure once, however often the retries fail in the same way. */
static void failure_note(struct reload *reload, const struct fault *fault)
{
    bool is_known = reload->state == RELOAD_RETRYING && strcmp(reload->fault.text, fault->text) == 0;

    reload->state = RELOAD_RETRYING;
    reload->fault = *fault;
    if (is_known)
        return;
    reload->failed++;
    log_say_of(reload->log, LOG_ERROR, reload->options.route,
               "reload failed, the credentials in use are kept and husk tries again: %s", fault->text);
}

static void retry_schedule(struct reload *reload)
{
    if (reload->loop) {
        ev_timer_stop(reload->loop, &reload->retry);
        ev_timer_set(&reload->retry, (double)reload->retry_ms / 1000, 0);
        ev_timer_start(reload->loop, &reload->retry);
    }
    reload->retry_ms *= 2;
    if (reload->retry_ms > reload->options.retry_max_ms)
        reload->retry_ms = reload->options.retry_max_ms;
}

/* A route without TLS and keys has nothing to load. */
static bool has_files(const struct reload_options *options)
{
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        if (options->credentials[side].cert_file || options->keys[side].setting)
            return true;
    }
    return false;
}

static void reload_attempt(struct reload *reload)
{
    struct loaded set;
    struct fault fault;

    reload->stamps.loaded = reload->stamps.seen = files_stamp(reload);
    if (!set_load(reload, &set, &fault)) {
        failure_note(reload, &fault);
        retry_schedule(reload);
        return;
    }
    set_use(reload, &set);
    reload->state = RELOAD_LOADED;
    if (reload->loop)
        ev_timer_stop(reload->loop, &reload->retry);
    reload->options.on_loaded(reload->options.owner);
    reload->succeeded++;
    log_say_of(reload->log, LOG_INFO, reload->options.route, "credentials reloaded");
}

/* The files are new, or somebody asks for them: the pauses begin with the shortest again. */
void reload_now(struct reload *reload)
{
    if (reload->state == RELOAD_STOPPED || !has_files(&reload->options))
        return;
    reload->retry_ms =
        reload->options.retry_max_ms < RETRY_MIN_MS ? reload->options.retry_max_ms : RETRY_MIN_MS;
    reload_attempt(reload);
}

void reload_retry(struct reload *reload)
{
    if (reload->state == RELOAD_RETRYING)
        reload_attempt(reload);
}

bool reload_is_due(const struct reload_stamps *stamps, uint64_t stamp)
{
    return stamp != stamps->loaded && stamp == stamps->seen;
}

void reload_look(struct reload *reload)
{
    uint64_t stamp = files_stamp(reload);

    if (reload_is_due(&reload->stamps, stamp))
        reload_now(reload);
    reload->stamps.seen = stamp;
}

static void on_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    reload_look(timer->data);
}

static void on_retry(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    reload_retry(timer->data);
}

/* ---- life ---- */

bool reload_open(struct reload *reload, const struct reload_options *options, struct log *log,
                 struct fault *fault)
{
    struct loaded set;

    *reload = (struct reload) { .options = *options, .log = log };
    for (enum side side = 0; side < SIDE_COUNT; side++)
        shared_key_slot_init(&reload->keys[side]);
    reload->stamps.loaded = reload->stamps.seen = files_stamp(reload);
    if (!set_load(reload, &set, fault))
        return false;
    set_use(reload, &set);
    return true;
}

void reload_close(struct reload *reload)
{
    if (reload->loop) {
        ev_timer_stop(reload->loop, &reload->tick);
        ev_timer_stop(reload->loop, &reload->retry);
        reload->loop = NULL;
    }
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        credentials_release(reload->credentials[side]);
        reload->credentials[side] = NULL;
        shared_key_slot_clear(&reload->keys[side]);
    }
}

void reload_adopt(struct reload *reload, struct reload *other)
{
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        struct shared_key *key = other->keys[side].in_use;
        credentials_release(reload->credentials[side]);
        reload->credentials[side] = other->credentials[side];
        other->credentials[side] = NULL;
        other->keys[side].in_use = NULL;
        if (key)
            shared_key_slot_replace(&reload->keys[side], key);
    }
    reload->options = other->options;
    reload->stamps = other->stamps;
    reload->state = RELOAD_LOADED;
    if (reload->loop)
        ev_timer_stop(reload->loop, &reload->retry);
}

void reload_watch(struct reload *reload, struct ev_loop *loop)
{
    double seconds = (double)reload->options.interval_ms / 1000;

    reload->loop = loop;
    ev_timer_init(&reload->tick, on_tick, seconds, seconds);
    ev_timer_init(&reload->retry, on_retry, 0, 0);
    reload->tick.data = reload->retry.data = reload;
    if (seconds > 0)
        ev_timer_start(loop, &reload->tick);
}

void reload_stop(struct reload *reload)
{
    reload->state = RELOAD_STOPPED;
}
