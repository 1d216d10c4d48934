/* The shared key of one side, with the user names and passwords that belong to it: loaded as one set from the
 * environment and from files, and replaced when a file changes.
 *
 * A set does not change after loading. A slot holds the set in use: the control thread replaces the set, and
 * a worker takes the set when a shared-key handshake begins. Wipes secrets when the last reference is
 * released. */
#ifndef HUSK_LINK_SHARED_KEY_H
#define HUSK_LINK_SHARED_KEY_H

#include "base/fault.h"
#include "forward/handshake.h"

#include <pthread.h>
#include <stddef.h>

/* A user that an agent may be (--accept-user). */
struct shared_key_user {
    const char *name; /* at most HANDSHAKE_NAME_BYTES_MAX bytes */
    const char *password_env;
};

/* Where a set comes from. Everything is borrowed. At most one of env, file and is_empty is set. */
struct shared_key_options {
    const char *setting;  /* how the settings of this side begin: "shared-key" or "accept-key" */
    const char *env;      /* name of an environment variable */
    const char *file;     /* path; the key is the first line */
    bool is_empty;        /* the key is empty */
    const char *hostname; /* husk's own name in the handshake */
    const char *username, *password_env; /* upstream side; NULL: none */
    const struct shared_key_user *users; /* downstream side; user_count 0: agents need no user */
    size_t user_count;
};

/* One immutable set. */
struct shared_key;

/* Reads the environment and the file, and copies the names of `options`. NULL on failure; the fault names the
 * setting and what is wrong. The caller owns one reference. */
MUST_CHECK struct shared_key *shared_key_load(const struct shared_key_options *options, struct fault *fault);
void shared_key_release(struct shared_key *key); /* NULL is fine. From any thread. */
/* Lives as long as `key`. */
const struct handshake_options *shared_key_handshake(const struct shared_key *key);

struct shared_key_slot {
    pthread_mutex_t lock;
    struct shared_key *in_use; /* under lock; NULL: this side has no shared key */
};

void shared_key_slot_init(struct shared_key_slot *slot);
/* Releases the key. Safe on all zeros. */
void shared_key_slot_clear(struct shared_key_slot *slot);

/* Sets the key of handshakes that begin from now on. Takes over the caller's reference. From any thread. */
void shared_key_slot_replace(struct shared_key_slot *slot, struct shared_key *key);
/* The slot is not empty. The caller releases the key. From any thread. */
struct shared_key *shared_key_slot_take(struct shared_key_slot *slot);

#endif
