/* The credentials and shared keys of a route, loaded as one set from their files, and again when the files
 * change.
 *
 * Owns the set in use and the timer of retries, on the loop of the control thread. All reloads share one
 * watch of folders, which notices a change at once, and the timer that looks at the files. Files are loaded
 * when they have rested, and a set is used only if no file has changed while husk read the files: so no set
 * has parts of two sets. Files that never rest are loaded as they are, after settle_timeout_ms. A set that
 * fails to load changes nothing: the last one stays in use, and husk tries again until a set is loaded.
 * Routes with equal files share their credentials. Knows nothing of who uses the credentials: `on_loaded`
 * announces a new set. Credentials from a SPIFFE Workload API are loaded in the same way; a new answer is a
 * change of the files. Credentials in use that a Workload API has withdrawn, or leaves out of its newest
 * answer, are replaced by a set that refuses every peer. */
#ifndef HUSK_CONTROL_RELOAD_H
#define HUSK_CONTROL_RELOAD_H

#include "base/fault.h"
#include "base/log.h"
#include "control/folder_watch.h"
#include "control/settling.h"
#include "control/workload_apis.h"
#include "link/shared_key.h"
#include "trust/credentials.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct reload;

/* The credentials of one side of a reload. Listed while there are some. */
struct reload_entry {
    LIST_ENTRY(reload_entry) sibling;
    const struct reload *reload; /* borrowed */
    enum side side;
};

enum { RELOADS_SLOTS = 1024 };

/* The open reloads of all routes: each set of equal files is loaded once, and shared. Zero-initialise, but
 * for `interval_ms` and `tokens`. */
struct reloads {
    uint64_t interval_ms; /* between two looks at the files, if no folder tells of a change; 0: only when
                             reload_now is called */
    LIST_HEAD(, reload_entry) of_stamps[RELOADS_SLOTS]; /* by the stamp of the files */
    struct tokens *tokens;                              /* borrowed: for keys in tokens */
    struct workload_apis workload_apis;                 /* where credentials come from that are no files */
    unsigned round;                                     /* sets are shared within one round */
    /* Stamps of sets whose notes, such as a weak certificate, were logged in this round. A retry that loads
     * the files again does not repeat the notes. */
    uint64_t noted[RELOADS_SLOTS];
    LIST_HEAD(, reload) watching;
    struct folder_watch folders; /* of the files of those that watch */
    ev_timer look;               /* the next look at the files; runs while a reload watches */
};

struct reload_options {
    struct reloads *reloads;                       /* borrowed */
    const char *route;                             /* borrowed: its name, for the log */
    const struct credentials_options *credentials; /* borrowed: SIDE_COUNT of them; not set: that side is
                                                      plain */
    const struct shared_key_options *keys;         /* borrowed: SIDE_COUNT of them; setting NULL: no key */
    uint64_t settle_timeout_ms;     /* after the first change: files that never rest are loaded as they are */
    uint64_t retry_max_ms;          /* longest pause between two attempts after a failure */
    void (*on_loaded)(void *owner); /* `credentials` of struct reload are new */
    void *owner;
};

enum reload_state {
    RELOAD_LOADED,   /* the set in use is the newest */
    RELOAD_RETRYING, /* the last attempt has failed */
    RELOAD_STOPPED,
};

struct reload {
    struct reload_options options;
    LIST_ENTRY(reload) watching;                 /* in `reloads`, while `loop` is set */
    struct log *log;                             /* borrowed */
    struct credentials *credentials[SIDE_COUNT]; /* the set in use; NULL: that side is plain */
    uint64_t credentials_stamps[SIDE_COUNT];     /* of their files, before they were loaded */
    struct reload_entry entries[SIDE_COUNT];     /* in `reloads` */
    unsigned round;                              /* in which they were loaded */
    struct shared_key_slot keys[SIDE_COUNT];     /* an empty slot: that side has no key */
    struct settling settling;                    /* of all files together */
    enum reload_state state;
    struct fault fault;   /* of the last attempt that failed, as it was logged */
    uint64_t retry_ms;    /* the next pause between two attempts */
    struct ev_loop *loop; /* NULL: not watching */
    ev_timer retry;
    uint64_t succeeded; /* reloads; the first load is not counted */
    uint64_t failed;    /* failures of a new kind; a retry that fails in the same way is not counted */
};

/* Loads the first set; on_loaded is not called. The fault names the file. The struct does not move until
 * reload_close, which is to be called also after a failure. */
MUST_CHECK bool reload_open(struct reload *reload, const struct reload_options *options, struct log *log,
                            struct fault *fault);
/* Stops watching and releases the set. Safe on all zeros. */
void reload_close(struct reload *reload);

/* Goes on with the options and the set of `other`, which was just opened and is closed afterwards. on_loaded
 * is not called. A side that has no shared key any more keeps its last one: a worker may still take it. */
void reload_adopt(struct reload *reload, struct reload *other);
/* Begins to watch the files. */
void reload_watch(struct reload *reload, struct ev_loop *loop);
/* From now on nothing is loaded. */
void reload_stop(struct reload *reload);

/* Whether the Workload API has withdrawn the credentials of a side: the side then accepts no peer. */
bool reload_is_withdrawn(const struct reload *reload);
/* Whether the credentials of a side are from this Workload API; NULL: from any. */
bool reload_needs_workload_api(const struct reload *reload, const char *socket);

/* Begins a round: sets of the rounds before are not shared any more, even where the files look unchanged, and
 * their notes are logged again. */
void reloads_begin(struct reloads *reloads);
/* Loads the files now, on request. */
void reload_now(struct reload *reload);
/* Looks at the files, and loads them if they are due: what the timer does. */
void reload_look(struct reload *reload);
/* Loads the files again after a failure: what the timer of retries does. Each failure doubles the pause up to
 * retry_max_ms. */
void reload_retry(struct reload *reload);

#endif
