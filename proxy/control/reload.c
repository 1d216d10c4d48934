#include "control/reload.h"

#include "base/clock.h"
#include "trust/credentials_files.h"
#include "trust/file_stamp.h"

#include <string.h>
#include <unistd.h>

enum {
    RETRY_MIN_MS = 1000,
    SETTLE_MS = 100,    /* between two looks at files that change */
    FIRST_LOADS_MAX = 5 /* while the files change */
};

/* A set that is not in use yet. */
struct loaded {
    struct credentials *credentials[SIDE_COUNT];
    uint64_t credentials_stamps[SIDE_COUNT];
    struct shared_key *keys[SIDE_COUNT];
};

/* ---- the files ---- */

static uint64_t credentials_stamp(const struct reload *reload, const struct credentials_options *options)
{
    uint64_t stamp = credentials_files_stamp(options);

    if (options->svid.socket)
        stamp += workload_apis_answers(&reload->options.reloads->workload_apis, options->svid.socket);
    return stamp;
}

static uint64_t files_stamp(const struct reload *reload)
{
    uint64_t stamp = 0;

    for (enum side side = 0; side < SIDE_COUNT; side++) {
        const char *key = reload->options.keys[side].file;
        stamp = stamp * 31 + credentials_stamp(reload, &reload->options.credentials[side]);
        stamp = stamp * 31 + (key ? file_stamp(key) : 0);
    }
    return stamp;
}

/* ---- a set ---- */

static bool may_share(const struct reload *reload, enum side side, const struct credentials_options *options,
                      uint64_t stamp)
{
    return reload->round == reload->options.reloads->round && reload->credentials_stamps[side] == stamp &&
           !credentials_are_withdrawn(reload->credentials[side]) &&
           credentials_options_equal(&reload->options.credentials[side], options);
}

/* The credentials of these files that a route has loaded in this round; NULL: there are none. */
static struct credentials *credentials_find(const struct reloads *reloads,
                                            const struct credentials_options *options, uint64_t stamp)
{
    const struct reload_entry *entry;

    LIST_FOREACH (entry, &reloads->of_stamps[stamp % RELOADS_SLOTS], sibling) {
        if (may_share(entry->reload, entry->side, options, stamp))
            return credentials_share(entry->reload->credentials[entry->side]);
    }
    return NULL;
}

static void set_release(const struct loaded *set)
{
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        credentials_release(set->credentials[side]);
        shared_key_release(set->keys[side]);
    }
}

/* Where the credentials come from: files, or the newest answer of a Workload API. */
static struct credentials *source_load(const struct reload *reload, const struct credentials_options *options,
                                       struct log *log, struct fault *fault)
{
    struct credentials_options with_tokens = *options;
    struct svid_message answer;

    with_tokens.tokens = reload->options.reloads->tokens;
    if (!options->svid.socket)
        return credentials_load(&with_tokens, log, fault);
    if (!workload_apis_answer(&reload->options.reloads->workload_apis, options->svid.socket, &answer, fault))
        return NULL;
    return credentials_load_from(options, &answer, log, fault);
}

/* Notes of the set go to the log, unless they are there already. */
static struct credentials *credentials_read(const struct reload *reload,
                                            const struct credentials_options *options, uint64_t stamp,
                                            struct fault *fault)
{
    uint64_t *noted = &reload->options.reloads->noted[stamp % RELOADS_SLOTS];
    struct log quiet;

    log_init(&quiet, STDERR_FILENO, LOG_ERROR, LOG_TEXT);
    struct credentials *credentials =
        source_load(reload, options, *noted == stamp ? &quiet : reload->log, fault);
    log_deinit(&quiet);
    if (credentials)
        *noted = stamp;
    return credentials;
}

static bool side_load(const struct reload *reload, enum side side, struct loaded *set, struct fault *fault)
{
    const struct credentials_options *credentials = &reload->options.credentials[side];
    const struct shared_key_options *key = &reload->options.keys[side];

    if (key->setting && !(set->keys[side] = shared_key_load(key, fault)))
        return false;
    if (!credentials_options_are_set(credentials))
        return true;
    uint64_t stamp = credentials_stamp(reload, credentials);
    set->credentials_stamps[side] = stamp;
    /* A side that has no credentials yet waits for the next answer. */
    if (credentials->svid.socket && reload->credentials[side] &&
        workload_apis_has_withdrawn(&reload->options.reloads->workload_apis, &credentials->svid))
        return (set->credentials[side] = credentials_withdraw(credentials->role, fault)) != NULL;
    set->credentials[side] = credentials_find(reload->options.reloads, credentials, stamp);
    return set->credentials[side] ||
           (set->credentials[side] = credentials_read(reload, credentials, stamp, fault)) != NULL;
}

/* All sides or none. */
static bool set_load(const struct reload *reload, struct loaded *set, struct fault *fault)
{
    *set = (struct loaded) { 0 };
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        if (side_load(reload, side, set, fault))
            continue;
        log_translate(reload->log, side, fault->text, sizeof fault->text);
        set_release(set);
        return false;
    }
    return true;
}

/* Takes a reference to `credentials`; NULL: none. */
static void side_use(struct reload *reload, enum side side, struct credentials *credentials, uint64_t stamp)
{
    struct reload_entry *entry = &reload->entries[side];

    if (reload->credentials[side])
        LIST_REMOVE(entry, sibling);
    credentials_release(reload->credentials[side]);
    reload->credentials[side] = credentials;
    reload->credentials_stamps[side] = stamp;
    *entry = (struct reload_entry) { .reload = reload, .side = side };
    if (credentials)
        LIST_INSERT_HEAD(&reload->options.reloads->of_stamps[stamp % RELOADS_SLOTS], entry, sibling);
}

static void set_use(struct reload *reload, const struct loaded *set)
{
    reload->round = reload->options.reloads->round;
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        side_use(reload, side, set->credentials[side], set->credentials_stamps[side]);
        shared_key_slot_replace(&reload->keys[side], set->keys[side]);
    }
}

enum load_result { LOAD_DONE, LOAD_FAILED, LOAD_MIXED };

/* MIXED: a file has changed meanwhile, and so nothing is loaded: the set could have parts of two sets. Files
 * that never rest are loaded nevertheless. */
static enum load_result set_load_once(struct reload *reload, struct loaded *set, struct fault *fault)
{
    uint64_t stamp = files_stamp(reload);
    bool is_loaded = set_load(reload, set, fault);
    uint64_t after = files_stamp(reload), now_ms = clock_monotonic_ms();

    if (after == stamp || settling_is_overdue(&reload->settling, now_ms)) {
        settling_note(&reload->settling, stamp);
        return is_loaded ? LOAD_DONE : LOAD_FAILED;
    }
    (void)settling_look(&reload->settling, after, now_ms);
    if (is_loaded)
        set_release(set);
    return LOAD_MIXED;
}

/* ---- the folders of the files ---- */

static bool is_watching(const struct reload *reload)
{
    return reload->loop && reload->options.reloads->interval_ms && reload->state != RELOAD_STOPPED;
}

static void on_path(void *owner, const char *path)
{
    folder_watch_add(owner, path);
}

/* A folder that was replaced since the last call is another one. */
static void folders_add(const struct reload *reload)
{
    struct folder_watch *folders = &reload->options.reloads->folders;

    if (!is_watching(reload) || !folders->loop)
        return;
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        const struct credentials_options *credentials = &reload->options.credentials[side];
        const char *key = reload->options.keys[side].file;
        credentials_files_visit(credentials, on_path, folders);
        if (credentials->directory)
            folder_watch_add(folders, credentials->directory);
        for (size_t i = 0; i < credentials->revocation.count; i++)
            folder_watch_add(folders, credentials->revocation.paths[i]);
        if (key)
            folder_watch_add(folders, key);
    }
}

static void on_look(struct ev_loop *loop, ev_timer *timer, int events);

static void look_in(struct reloads *reloads, struct ev_loop *loop, uint64_t delay_ms)
{
    ev_timer_stop(loop, &reloads->look);
    ev_timer_init(&reloads->look, on_look, (double)delay_ms / 1000, 0);
    reloads->look.data = reloads;
    ev_timer_start(loop, &reloads->look);
}

/* More events do not put the look off. */
static void on_folder_event(void *owner)
{
    struct reloads *reloads = owner;
    struct ev_loop *loop = reloads->folders.loop;

    if (ev_timer_remaining(loop, &reloads->look) * 1000 > SETTLE_MS)
        look_in(reloads, loop, SETTLE_MS);
}

/* Files that have changed since the last look may be half written: they are looked at again. */
static void on_look(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct reloads *reloads = timer->data;
    struct reload *reload;
    bool is_changing = false, is_new = !reloads->folders.loop;

    (void)events;
    if (is_new)
        folder_watch_open(&reloads->folders, loop, on_folder_event, reloads);
    LIST_FOREACH (reload, &reloads->watching, watching) {
        if (!is_watching(reload))
            continue;
        if (is_new)
            folders_add(reload);
        reload_look(reload);
        is_changing = is_changing || settling_is_changing(&reload->settling);
    }
    look_in(reloads, loop, is_changing ? SETTLE_MS : reloads->interval_ms);
}

/* The files of all routes are others: no folder of a file that is gone stays watched. */
static void folders_renew(struct reloads *reloads, struct ev_loop *loop)
{
    const struct reload *reload;

    ev_timer_stop(loop, &reloads->look);
    folder_watch_close(&reloads->folders);
    LIST_FOREACH (reload, &reloads->watching, watching) {
        if (is_watching(reload)) {
            look_in(reloads, loop, SETTLE_MS);
            return;
        }
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
               "reload failed, the credentials in use are kept%s: %s",
               fault->is_final ? "" : " and husk tries again", fault->text);
}

static void retry_start(struct reload *reload, uint64_t delay_ms)
{
    if (!reload->loop)
        return;
    ev_timer_stop(reload->loop, &reload->retry);
    ev_timer_set(&reload->retry, (double)delay_ms / 1000, 0);
    ev_timer_start(reload->loop, &reload->retry);
}

static void retry_schedule(struct reload *reload)
{
    if (reload->fault.is_final) { /* until a file changes, or somebody asks */
        if (reload->loop)
            ev_timer_stop(reload->loop, &reload->retry);
        return;
    }
    retry_start(reload, reload->retry_ms);
    reload->retry_ms *= 2;
    if (reload->retry_ms > reload->options.retry_max_ms)
        reload->retry_ms = reload->options.retry_max_ms;
}

/* No failure: the files are loaded when they stand still. */
static void mixed_note(struct reload *reload)
{
    if (reload->state == RELOAD_LOADED)
        reload->fault.text[0] = '\0';
    reload->state = RELOAD_RETRYING;
    retry_start(reload, SETTLE_MS);
}

/* A route without TLS and keys has nothing to load. */
static bool has_source(const struct reload_options *options)
{
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        if (credentials_options_are_set(&options->credentials[side]) || options->keys[side].setting)
            return true;
    }
    return false;
}

static void reload_attempt(struct reload *reload)
{
    struct loaded set;
    struct fault fault;

    enum load_result result = set_load_once(reload, &set, &fault);
    folders_add(reload);
    if (result == LOAD_MIXED) {
        mixed_note(reload);
        return;
    }
    if (result == LOAD_FAILED) {
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
    if (reload_is_withdrawn(reload))
        log_say_of(reload->log, LOG_WARN, reload->options.route,
                   "credentials withdrawn: no peer is accepted");
    else
        log_say_of(reload->log, LOG_INFO, reload->options.route, "credentials reloaded");
}

void reloads_begin(struct reloads *reloads)
{
    reloads->round++;
    memset(reloads->noted, 0, sizeof reloads->noted);
}

/* The files are new, or somebody asks for them: the pauses begin with the shortest again. */
void reload_now(struct reload *reload)
{
    if (reload->state == RELOAD_STOPPED || !has_source(&reload->options))
        return;
    reload->retry_ms =
        reload->options.retry_max_ms < RETRY_MIN_MS ? reload->options.retry_max_ms : RETRY_MIN_MS;
    reload_attempt(reload);
}

bool reload_is_withdrawn(const struct reload *reload)
{
    return credentials_are_withdrawn(reload->credentials[SIDE_DOWNSTREAM]) ||
           credentials_are_withdrawn(reload->credentials[SIDE_UPSTREAM]);
}

bool reload_needs_workload_api(const struct reload *reload, const char *socket)
{
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        const char *own = reload->options.credentials[side].svid.socket;
        if (own && (!socket || strcmp(own, socket) == 0))
            return true;
    }
    return false;
}

void reload_retry(struct reload *reload)
{
    if (reload->state == RELOAD_RETRYING)
        reload_attempt(reload);
}

void reload_look(struct reload *reload)
{
    if (settling_look(&reload->settling, files_stamp(reload), clock_monotonic_ms()))
        reload_now(reload);
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
    enum load_result result = LOAD_MIXED;
    struct loaded set;

    *reload = (struct reload) { .options = *options,
                                .log = log,
                                .settling.timeout_ms = options->settle_timeout_ms };
    for (enum side side = 0; side < SIDE_COUNT; side++)
        shared_key_slot_init(&reload->keys[side]);
    fault_set(fault, "the files change while husk reads them");
    for (unsigned i = 0; i < FIRST_LOADS_MAX && result == LOAD_MIXED; i++)
        result = set_load_once(reload, &set, fault);
    if (result != LOAD_DONE)
        return false;
    set_use(reload, &set);
    return true;
}

void reload_close(struct reload *reload)
{
    if (!reload->options.reloads)
        return;
    if (reload->loop) {
        ev_timer_stop(reload->loop, &reload->retry);
        LIST_REMOVE(reload, watching);
        folders_renew(reload->options.reloads, reload->loop);
        reload->loop = NULL;
    }
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        side_use(reload, side, NULL, 0);
        shared_key_slot_clear(&reload->keys[side]);
    }
    reload->options.reloads = NULL;
}

void reload_adopt(struct reload *reload, struct reload *other)
{
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        struct shared_key *key = other->keys[side].in_use;
        struct credentials *credentials = other->credentials[side];
        side_use(reload, side, credentials ? credentials_share(credentials) : NULL,
                 other->credentials_stamps[side]);
        other->keys[side].in_use = NULL;
        if (key)
            shared_key_slot_replace(&reload->keys[side], key);
    }
    reload->options = other->options;
    reload->settling = other->settling;
    reload->round = other->round;
    reload->state = RELOAD_LOADED;
    reload_close(other);
    if (!reload->loop)
        return;
    ev_timer_stop(reload->loop, &reload->retry);
    folders_renew(reload->options.reloads, reload->loop);
}

void reload_watch(struct reload *reload, struct ev_loop *loop)
{
    reload->loop = loop;
    ev_timer_init(&reload->retry, on_retry, 0, 0);
    reload->retry.data = reload;
    LIST_INSERT_HEAD(&reload->options.reloads->watching, reload, watching);
    folders_renew(reload->options.reloads, loop);
}

void reload_stop(struct reload *reload)
{
    reload->state = RELOAD_STOPPED;
}
