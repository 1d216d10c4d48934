/* The credentials and shared keys of a route, loaded as one set from their files, and again when the files
 * change.
 *
 * Owns the set in use, the timer that looks at the files and the timer of retries, on the loop of the control
 * thread. A set that fails to load changes nothing: the last one stays in use, and
 * husk tries again until a set is loaded. Knows nothing of who uses the credentials: `on_loaded` announces a
 * new set. */
#ifndef HUSK_CONTROL_RELOAD_H
#define HUSK_CONTROL_RELOAD_H

#include "base/fault.h"
#include "base/log.h"
#include "link/shared_key.h"
#include "trust/credentials.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

struct reload_options {
    const char *route;                             /* borrowed: its name, for the log */
    const struct credentials_options *credentials; /* borrowed: SIDE_COUNT of them; cert_file NULL: that side
                                                      is plain */
    const struct shared_key_options *keys;         /* borrowed: SIDE_COUNT of them; setting NULL: no key */
    uint64_t interval_ms;           /* between two looks at the files; 0: only when reload_now is called */
    uint64_t retry_max_ms;          /* longest pause between two attempts after a failure */
    void (*on_loaded)(void *owner); /* `credentials` of struct reload are new */
    void *owner;
};

/* Stamps of all files together. */
struct reload_stamps {
    uint64_t loaded; /* of the last attempt to load, good or bad */
    uint64_t seen;   /* at the last look */
};

enum reload_state {
    RELOAD_LOADED,   /* the set in use is the newest */
    RELOAD_RETRYING, /* the last attempt has failed */
    RELOAD_STOPPED,
};

struct reload {
    struct reload_options options;
    struct log *log;                             /* borrowed */
    struct credentials *credentials[SIDE_COUNT]; /* the set in use; NULL: that side is plain */
    struct shared_key_slot keys[SIDE_COUNT];     /* an empty slot: that side has no key */
    struct reload_stamps stamps;
    enum reload_state state;
    struct fault fault;   /* of the last attempt that failed, as it was logged */
    uint64_t retry_ms;    /* the next pause between two attempts */
    struct ev_loop *loop; /* NULL: not watching */
    ev_timer tick, retry;
    uint64_t succeeded; /* reloads; the first load is not counted */
    uint64_t failed;    /* failures of a new kind; a retry that fails in the same way is not counted */
};

/* Loads the first set; on_loaded is not called. The fault names the file. The struct does not move
 * afterwards. */
MUST_CHECK bool reload_open(struct reload *reload, const struct reload_options *options, struct log *log,
                            struct fault *fault);
/* Stops watching and releases the set. Safe on all zeros, and after a failure to open. */
void reload_close(struct reload *reload);

/* Goes on with the options and the set of `other`, which was just opened and is empty afterwards. on_loaded
 * is not called. A side that has no shared key any more keeps its last one: a worker may still take it. */
void reload_adopt(struct reload *reload, struct reload *other);
/* Begins to watch the files. */
void reload_watch(struct reload *reload, struct ev_loop *loop);
/* From now on nothing is loaded. */
void reload_stop(struct reload *reload);

/* Loads the files now, on request. */
void reload_now(struct reload *reload);
/* Looks at the files, and loads them if they are due: what the timer does. */
void reload_look(struct reload *reload);
/* Loads the files again after a failure: what the timer of retries does. Each failure doubles the pause up to
 * retry_max_ms. */
void reload_retry(struct reload *reload);

/* Whether files with this stamp are to be loaded: they have changed since the last load, but not since the
 * last look. Several files are seldom replaced in one moment. */
bool reload_is_due(const struct reload_stamps *stamps, uint64_t stamp);

#endif
