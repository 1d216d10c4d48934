/* What the process is to run: the options of the process and of its routes, from a file or from the options
 * of a command.
 *
 * A plan does not change. Whoever uses its options shares it. Belongs to the control thread. */
#ifndef HUSK_PLAN_H
#define HUSK_PLAN_H

#include "config/config_file.h"
#include "config/mistakes.h"
#include "config/settings.h"
#include "options.h"

#include <stddef.h>

/* A route of a plan. */
struct plan_route {
    struct options options; /* first, for plan_of */
    struct plan *plan;      /* borrowed */
};

struct plan {
    unsigned references;
    const char *path;        /* of the file, borrowed; NULL: the plan comes from a command */
    struct config_file file; /* of one route, without a tree, if the plan comes from a command */
    struct process_options process;
    struct plan_route *routes; /* one for each route of `file` */
    size_t count;
};

/* Reads the file at `path` (borrowed), and interprets it. Limits of the routes are divided by the `workers`
 * that run; 0: by the workers of the file. Adds every mistake to `mistakes`. Returns one reference; NULL:
 * there was a mistake. */
struct plan *plan_from_file(const char *path, unsigned workers, struct mistakes *mistakes);

/* Reads the options of client or server. Returns one reference to a plan that must be interpreted; NULL:
 * wrong usage. */
struct plan *plan_from_words(enum config_mode mode, const struct settings_words *words, struct fault *fault);
/* Interprets what plan_from_words has read: call it once. Adds every mistake to `mistakes`, and returns
 * whether there was none. */
MUST_CHECK bool plan_interpret(struct plan *plan, struct mistakes *mistakes);

/* Reads and interprets the options of client or server. Adds every mistake to `mistakes`. Returns one
 * reference; NULL: there was a mistake. */
struct plan *plan_from_options(enum config_mode mode, const struct settings_words *words,
                               struct mistakes *mistakes);

struct plan *plan_share(struct plan *plan);
/* The plan that has these options. */
struct plan *plan_of(const struct options *options);

/* Whether two routes, which may belong to different plans, have the same settings. Settings of the process do
 * not matter. */
bool plan_routes_equal(const struct options *a, const struct options *b);

/* Calls `differs` for each setting of the process that differs between two plans. */
void plan_compare_process(const struct plan *a, const struct plan *b,
                          void (*differs)(void *owner, const struct setting *setting), void *owner);
/* NULL is fine. */
void plan_release(struct plan *plan);

#endif
